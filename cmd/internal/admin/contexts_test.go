package admin

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/cmd/internal/clitest"
)

// contextHome gives the test contexts of its own and the files of an operator and a node of a
// federation that does not run.
func contextHome(t *testing.T) (pki func(string) string) {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(t.TempDir(), "config"))
	dir := filepath.Join(t.TempDir(), "italia")
	admin(t, "init", "--out", dir, "--federation", "italia", "--region", "lazio=12",
		"--node", "lazio-1=lazio@127.0.0.1:7400", "--operator", "ada")
	return func(name string) string { return filepath.Join(dir, "pki", name) }
}

// admin runs a command of admin that must succeed.
func admin(t *testing.T, args ...string) string {
	t.Helper()
	out, err := tryAdmin(t, args...)
	if err != nil {
		t.Fatalf("admin %v: %v", args, err)
	}
	return out
}

func tryAdmin(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out, errs bytes.Buffer
	err := cli.Run(t.Context(), newRoot, append([]string{"admin"}, args...), strings.NewReader(""), &out, &errs)
	return out.String(), err
}

func TestContexts(t *testing.T) {
	pki := contextHome(t)
	add := func(name string, more ...string) []string {
		return append([]string{"context", "add", name, "--cert", pki("ada.crt"), "--key",
			pki("ada.key"), "--ca", pki("ca.crt"), "--node", "127.0.0.1:1"}, more...)
	}
	if got := admin(t, "context", "list"); !strings.HasPrefix(got, "no context") {
		t.Errorf("before the first: %q", got)
	}
	if got := admin(t, add("italia")...); !strings.Contains(got, "which is the current one") {
		t.Errorf("the first: %q", got)
	}
	if got := admin(t, add("other", "--node", "127.0.0.1:2,[::1]:3")...); !strings.Contains(got,
		"the current one is italia") {
		t.Errorf("the second: %q", got)
	}
	admin(t, add("other", "--node", "127.0.0.1:2,[::1]:3", "--replace")...)
	var list []contextView
	if err := json.Unmarshal([]byte(admin(t, "context", "list", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || !list[0].Current || list[1].Current || list[0].Name != "italia" ||
		strings.Join(list[1].Nodes, " ") != "127.0.0.1:1 127.0.0.1:2 [::1]:3" ||
		list[0].Key != pki("ada.key") || !strings.Contains(list[0].Identity, "ada") {
		t.Errorf("list %+v", list)
	}
	if got := admin(t, "context", "list"); !strings.Contains(got, "*  italia") {
		t.Errorf("list:\n%s", got)
	}
	admin(t, "context", "use", "other")
	admin(t, "context", "remove", "other")
	path, err := contextsPath()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(b), "current") || strings.Contains(string(b), "other") {
		t.Errorf("after the current one was removed, %v:\n%s", err, b)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	os.Remove(pki("ada.crt"))
	if got := admin(t, "context", "list"); !strings.Contains(got, "unusable: ") {
		t.Errorf("with a certificate that is gone:\n%s", got)
	}
}

func TestContextsAreRefused(t *testing.T) {
	pki := contextHome(t)
	good := []string{"--cert", pki("ada.crt"), "--key", pki("ada.key"), "--ca", pki("ca.crt"),
		"--node", "127.0.0.1:1"}
	admin(t, append([]string{"context", "add", "italia"}, good...)...)
	for _, c := range []struct {
		args []string
		want string
	}{
		{append([]string{"add", "italia"}, good...), "already: --replace"},
		{append([]string{"add", "Italia!"}, good...), "no name of a context"},
		{append([]string{"add", "x", "--node", "nowhere"}, good...), `"nowhere" is not host:port`},
		{append([]string{"add", "x", "--cert", pki("lazio-1.crt"), "--key", pki("lazio-1.key")},
			good[4:]...), "not for an operator"},
		{append([]string{"add", "x", "--cert", pki("lazio-1.crt")}, good[2:]...), "key"},
		{[]string{"add", "x", "--dir", t.TempDir()}, "founding"},
		{[]string{"add", "x", "--cert", pki("ada.crt")}, "they must all be set"},
		{[]string{"add", "x"}, "at least one of the flags"},
		{append([]string{"add", "x", "--dir", "y"}, good...), "none of the others"},
		{[]string{"use", "x"}, `no context "x": there are italia`},
		{[]string{"remove", "x"}, `no context "x"`},
	} {
		if _, err := tryAdmin(t, append([]string{"context"}, c.args...)...); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.args, err, c.want)
		}
	}
	path, _ := contextsPath()
	for text, want := range map[string]string{
		"current = x\n":           "current context x is not there",
		"[a]\nsecret = x\n":       "line 2: unknown name secret",
		"[a b]\n":                 "line 1: [a b] is no name",
		"other = x\n[a]\nnode=b ": "line 1: unknown name other",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := tryAdmin(t, "context", "list"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// TestOperatorOf: where an operator's command gets what it is not told, by the strength of the
// place.
func TestOperatorOf(t *testing.T) {
	pki := contextHome(t)
	files := []string{"--cert", pki("ada.crt"), "--key", pki("ada.key"), "--ca", pki("ca.crt")}
	admin(t, append([]string{"context", "add", "current", "--node", "current:1"}, files...)...)
	admin(t, append([]string{"context", "add", "named", "--node", "named:1"}, files...)...)
	for _, c := range []struct {
		name string
		args []string
		env  map[string]string
		want string // dir, nodes, and the directory of the key
	}{
		{"the current context", nil, nil, " [current:1] ada.key"},
		{"a named one", []string{"--context", "named"}, nil, " [named:1] ada.key"},
		{"one that a variable names", nil, map[string]string{"CONTEXT": "named"}, " [named:1] ada.key"},
		{"a named one before a variable that names another", []string{"--context", "named"},
			map[string]string{"CONTEXT": "current"}, " [named:1] ada.key"},
		{"nodes that are told", []string{"--node", "told:1"}, nil, " [told:1] ada.key"},
		{"a named one before variables", []string{"--context", "named"},
			map[string]string{"NODE": "env:1", "DIR": "d"}, " [named:1] ada.key"},
		{"variables before the current one", nil, map[string]string{"NODE": "env:1"},
			" [env:1] ada.key"},
		{"a key of its own certificate", []string{"--cert", "c", "--key", "k.key"}, nil,
			" [current:1] k.key"},
		{"a certificate without its key", []string{"--cert", "c"}, nil, " [current:1] ."},
		{"a local federation", []string{"--dir", "d"}, nil, "d [] ."},
		{"a local federation that a variable names", nil, map[string]string{"DIR": "d"}, "d [] ."},
		{"a certificate before a variable's directory", files, map[string]string{"DIR": "d"},
			" [current:1] ada.key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, text := range c.env {
				t.Setenv("STAFFETTA_ADMIN_"+name, text)
			}
			var f operatorFlags
			cmd := &cobra.Command{Use: "probe", RunE: func(*cobra.Command, []string) error { return nil }}
			f.register(cmd)
			if _, _, err := clitest.Execute(t, Contexts, cmd, "", c.args...); err != nil {
				t.Fatal(err)
			}
			got := f.dir + " [" + strings.Join(f.nodes, " ") + "] " + filepath.Base(f.key)
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	for _, args := range [][]string{{"--context", "nosuch"}, {"--context", "named", "--dir", "d"}} {
		if _, err := tryAdmin(t, append([]string{"status"}, args...)...); err == nil {
			t.Errorf("%v passes", args)
		}
	}
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	if _, err := tryAdmin(t, "status"); err == nil || !strings.Contains(err.Error(), "context add") {
		t.Errorf("without anything: got %v", err)
	}
}
