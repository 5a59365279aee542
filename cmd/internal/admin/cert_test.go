package admin

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/cmd/internal/clitest"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// pkiDir is a directory with an authority, and a function that runs an admin command in it.
func pkiDir(t *testing.T) (path func(string) string,
	admin func(args ...string) (out string, err error)) {
	t.Helper()
	dir := t.TempDir()
	path = func(name string) string { return filepath.Join(dir, name) }
	admin = func(args ...string) (string, error) {
		for i, a := range args {
			args[i] = strings.ReplaceAll(a, "@", dir+"/")
		}
		out, _, err := clitest.Execute(t, Contexts, NewCommand(), "", args...)
		return out, err
	}
	if _, err := admin("ca", "create", "--federation", "italia", "--ca-cert", "@ca.pem",
		"--ca-key", "@ca.key"); err != nil {
		t.Fatal(err)
	}
	return path, admin
}

const issueNode = "spiffe://italia/region/lazio/node/lazio-1"

func issue(admin func(...string) (string, error), more ...string) (string, error) {
	return admin(append([]string{"cert", "issue", "--identity", issueNode, "--ca-cert", "@ca.pem",
		"--ca-key", "@ca.key", "--cert", "@n.pem", "--key", "@n.key"}, more...)...)
}

func renew(admin func(...string) (string, error), more ...string) (string, error) {
	return admin(append([]string{"cert", "renew", "--ca-cert", "@ca.pem", "--ca-key", "@ca.key",
		"--cert", "@n.pem", "--key", "@n.key"}, more...)...)
}

func TestCertIssueAndRenew(t *testing.T) {
	path, admin := pkiDir(t)
	if _, err := issue(admin, "--dry-run"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path("n.key")); err == nil {
		t.Error("a dry run wrote a file")
	}
	out, err := issue(admin, "--json", "--days", "40")
	if err != nil {
		t.Fatal(err)
	}
	var report issued
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Identity != issueNode {
		t.Fatalf("got %s, %v", out, err)
	}
	load := func() *link.Credentials {
		t.Helper()
		c, err := link.LoadCertificate(path("n.pem"), path("n.key"), path("ca.pem"), "italia")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, _ := load().Certificate()
	if wire.FingerprintOf(first.Certificate[0]).String() != report.Fingerprint {
		t.Error("the report tells of another certificate")
	}
	if left := time.Until(first.Leaf.NotAfter); left < 39*day || left > 40*day {
		t.Errorf("valid for %s, want 40 days", left)
	}
	if age := time.Since(first.Leaf.NotBefore); age < 4*time.Minute || age > 6*time.Minute {
		t.Errorf("valid from %s ago, want five minutes", age)
	}
	if mode := modeOf(t, path("n.key")); mode != 0o600 {
		t.Errorf("the key's mode is %o", mode)
	}
	if _, err := issue(admin); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("got %v, want files never overwritten", err)
	}

	if err := os.Chmod(path("n.key"), 0o640); err != nil {
		t.Fatal(err)
	}
	if out, err := renew(admin, "--within", "30"); err != nil || !strings.Contains(out, "nothing") {
		t.Errorf("got %q, %v with 40 days left, want nothing done", out, err)
	}
	if out, err := renew(admin, "--dry-run"); err != nil || !strings.Contains(out, "nothing") {
		t.Errorf("got %q, %v, want a dry run", out, err)
	}
	if again, _ := load().Certificate(); !again.Leaf.Equal(first.Leaf) {
		t.Error("the certificate was replaced")
	}
	begin := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	if _, err := renew(admin, "--within", "41", "--valid-from", begin); err != nil {
		t.Fatal(err)
	}
	second, _ := load().Certificate()
	if second.Leaf.Equal(first.Leaf) || second.Leaf.NotBefore.Format(time.RFC3339) != begin {
		t.Errorf("got one that is valid from %s, want %s", second.Leaf.NotBefore, begin)
	}
	if mode := modeOf(t, path("n.key")); mode != 0o640 {
		t.Errorf("the renewed key's mode is %o, want that of the old one", mode)
	}
	if left, _ := filepath.Glob(path(".n*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestCertAfterRevocation makes a certificate that one who was revoked in this second can use.
func TestCertAfterRevocation(t *testing.T) {
	path, admin := pkiDir(t)
	revocation := wire.Revocation{Identity: issueNode, Before: wire.TimeOf(time.Now())}
	if _, err := issue(admin, "--valid-from", "now"); err != nil {
		t.Fatal(err)
	}
	from := beginOf(t, path("n.pem"))
	if revocation.Covers(from) || from.After(time.Now().Add(time.Second)) {
		t.Errorf("revoked as of %s, and the new one is valid from %s", revocation.Before, from)
	}
	if _, err := renew(admin); err != nil {
		t.Fatal(err)
	}
	if from := beginOf(t, path("n.pem")); !revocation.Covers(from) {
		t.Errorf("without --valid-from the new one is valid from %s", from)
	}
}

// TestCertRenewFromAnotherAuthority adds the authority to the process's file.
func TestCertRenewFromAnotherAuthority(t *testing.T) {
	path, admin := pkiDir(t)
	if _, err := issue(admin); err != nil {
		t.Fatal(err)
	}
	if _, err := admin("ca", "create", "--federation", "italia", "--ca-cert", "@new.pem",
		"--ca-key", "@new.key"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path("trusted.pem"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is there
		if _, err := admin("cert", "renew", "--ca-cert", "@new.pem", "--ca-key", "@new.key", "--cert",
			"@n.pem", "--key", "@n.key", "--ca", "@trusted.pem"); err != nil {
			t.Fatal(err)
		}
	}
	roots, err := link.ReadAuthorities(path("trusted.pem"))
	if err != nil || len(roots) != 2 {
		t.Errorf("got %d authorities, %v, want both", len(roots), err)
	}
	if _, err := link.LoadCertificate(path("n.pem"), path("n.key"), path("trusted.pem"),
		"italia"); err != nil {
		t.Error(err)
	}
}

func TestCertRefusals(t *testing.T) {
	path, admin := pkiDir(t)
	if err := os.WriteFile(path("junk"), []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path("huge"), make([]byte, 64<<10+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"is not the identity": {"cert", "issue", "--identity", "spiffe://italia/pod/x", "--ca-cert",
			"@ca.pem", "--ca-key", "@ca.key", "--cert", "@x.pem", "--key", "@x.key"},
		"--days 0": {"cert", "issue", "--identity", issueNode, "--ca-cert", "@ca.pem", "--ca-key",
			"@ca.key", "--cert", "@x.pem", "--key", "@x.key", "--days", "0"},
		"--days 1100 is not 1-1099": {"cert", "issue", "--identity", issueNode, "--ca-cert",
			"@ca.pem", "--ca-key", "@ca.key", "--cert", "@x.pem", "--key", "@x.key", "--days", "1100"},
		"no PEM certificate": {"cert", "issue", "--identity", issueNode, "--ca-cert", "@junk",
			"--ca-key", "@ca.key", "--cert", "@x.pem", "--key", "@x.key"},
		"no PEM private key": {"cert", "issue", "--identity", issueNode, "--ca-cert", "@ca.pem",
			"--ca-key", "@junk", "--cert", "@x.pem", "--key", "@x.key"},
		"more than 65536 bytes": {"cert", "issue", "--identity", issueNode, "--ca-cert", "@huge",
			"--ca-key", "@ca.key", "--cert", "@x.pem", "--key", "@x.key"},
		`--valid-from "soon"`: {"cert", "issue", "--identity", issueNode, "--ca-cert", "@ca.pem",
			"--ca-key", "@ca.key", "--cert", "@x.pem", "--key", "@x.key", "--valid-from", "soon"},
		"valid for": {"cert", "issue", "--identity", issueNode, "--ca-cert", "@ca.pem", "--ca-key",
			"@ca.key", "--cert", "@x.pem", "--key", "@x.key", "--valid-from", "2020-01-01T00:00:00Z"},
		"no such file": {"cert", "renew", "--ca-cert", "@ca.pem", "--ca-key", "@ca.key", "--cert",
			"@none.pem", "--key", "@none.key"},
		"--within -1": {"cert", "renew", "--ca-cert", "@ca.pem", "--ca-key", "@ca.key", "--cert",
			"@ca.pem", "--key", "@ca.key", "--within", "-1"},
		"ca.pem: \"CN=Staffetta": {"cert", "renew", "--ca-cert", "@ca.pem", "--ca-key", "@ca.key",
			"--cert", "@ca.pem", "--key", "@ca.key"},
		`--federation "Italia"`: {"ca", "create", "--federation", "Italia", "--ca-cert", "@y.pem",
			"--ca-key", "@y.key"},
		"exists already": {"ca", "create", "--federation", "italia", "--ca-cert", "@ca.pem",
			"--ca-key", "@y.key"},
		"--days 9999": {"ca", "create", "--federation", "italia", "--ca-cert", "@y.pem",
			"--ca-key", "@y.key", "--days", "9999"},
		"holds no PEM certificate": {"ca", "add", "@junk", "--dir", "@"},
	} {
		if out, err := admin(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, %v, want %q", out, err, want)
		}
	}
	for _, name := range []string{"x.pem", "x.key", "y.pem", "y.key"} {
		if _, err := os.Stat(path(name)); err == nil {
			t.Errorf("a refused command wrote %s", name)
		}
	}
}

func TestFindAuthority(t *testing.T) {
	m := &wire.Map{Trust: wire.Trust{Authorities: [][]byte{[]byte("a"), []byte("b")}}}
	a := wire.FingerprintOf([]byte("a"))
	for digits, want := range map[string]string{
		a.String():                      "",
		strings.ToUpper(a.String())[:8]: "",
		a.String()[:7]:                  "give 8 to 64",
		"zzzzzzzz":                      "is no fingerprint",
		a.String() + "0":                "is no fingerprint",
	} {
		got, listed, err := findAuthority(m, nil, digits)
		if want == "" && (err != nil || !listed || got != a) {
			t.Errorf("%s: got %s, %v, %v", digits, got, listed, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", digits, err, want)
		}
	}
	if _, _, err := findAuthority(m, nil, "00000000"); err == nil ||
		!strings.Contains(err.Error(), "nobody who answers believes") {
		t.Errorf("got %v for one that nobody believes", err)
	}
	nobodys := wire.FingerprintOf([]byte("c"))
	if got, listed, err := findAuthority(m, nil, nobodys.String()); listed || err != nil || got != nobodys {
		t.Errorf("got %s, %v, %v for all the digits of one that nobody believes", got, listed, err)
	}
	files := operator.Witnesses{{Identities: &wire.Identities{FileAuthorities: [][]byte{[]byte("a"),
		[]byte("c")}}}}
	if got, listed, err := findAuthority(m, files, nobodys.String()[:8]); listed || err != nil ||
		got != nobodys {
		t.Errorf("got %s, %v, %v for one of a node's file", got, listed, err)
	}
	if got, listed, err := findAuthority(m, files, a.String()[:8]); !listed || err != nil || got != a {
		t.Errorf("got %s, %v, %v for one of the list and of a file", got, listed, err)
	}
	one, two := alike()
	m.Trust.Authorities = append(m.Trust.Authorities, one, two)
	if _, _, err := findAuthority(m, nil, wire.FingerprintOf(one).String()[:8]); err == nil ||
		!strings.Contains(err.Error(), "several") {
		t.Errorf("got %v where two have these digits", err)
	}
}

// alike are two texts whose fingerprints begin with the same eight digits.
func alike() (one, two []byte) {
	seen := map[string]int{}
	for i := 0; ; i++ {
		text := fmt.Append(nil, i)
		digits := wire.FingerprintOf(text).String()[:8]
		if j, there := seen[digits]; there {
			return fmt.Append(nil, j), text
		}
		seen[digits] = i
	}
}

// TestForgetCA takes the old authority out of a process's file, once its certificate is another's.
func TestForgetCA(t *testing.T) {
	path, admin := pkiDir(t)
	if _, err := issue(admin); err != nil {
		t.Fatal(err)
	}
	old, err := link.ReadAuthorities(path("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	oldPrint := wire.FingerprintOf(old[0].Raw).String()
	if _, err := admin("ca", "create", "--federation", "italia", "--ca-cert", "@new.pem",
		"--ca-key", "@new.key"); err != nil {
		t.Fatal(err)
	}
	forget := []string{"ca", "forget", oldPrint[:8], "--ca", "@ca.pem", "--cert", "@n.pem"}
	refusedWith := func(want string, args ...string) {
		t.Helper()
		if out, err := admin(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, %v, want %q", out, err, want)
		}
	}
	refusedWith("renew it first", forget...)
	if _, err := admin("cert", "renew", "--ca-cert", "@new.pem", "--ca-key", "@new.key", "--cert",
		"@n.pem", "--key", "@n.key", "--ca", "@ca.pem"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin(append(forget, "--dry-run")...); err != nil {
		t.Error(err)
	}
	if roots, _ := link.ReadAuthorities(path("ca.pem")); len(roots) != 2 {
		t.Errorf("%d authorities after a dry run, want 2", len(roots))
	}
	if out, err := admin(forget...); err != nil || !strings.Contains(out, "done: forget: "+oldPrint) {
		t.Errorf("got %q, %v", out, err)
	}
	if roots, _ := link.ReadAuthorities(path("ca.pem")); len(roots) != 1 || roots[0].Equal(old[0]) {
		t.Errorf("%d authorities are left, want the new one", len(roots))
	}
	if _, err := link.LoadCertificate(path("n.pem"), path("n.key"), path("ca.pem"),
		"italia"); err != nil {
		t.Error(err)
	}
	refusedWith("nobody who answers believes", forget...)
	forget[2] = oldPrint
	if _, err := admin(forget...); err != nil {
		t.Errorf("the same once more, by all digits: %v", err)
	}
}

func modeOf(t *testing.T, file string) os.FileMode {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

// beginOf is the time from which a certificate is valid.
func beginOf(t *testing.T, file string) time.Time {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	told, err := describe(text)
	if err != nil {
		t.Fatal(err)
	}
	from, err := time.Parse(time.RFC3339, told.ValidFrom)
	if err != nil {
		t.Fatal(err)
	}
	return from
}
