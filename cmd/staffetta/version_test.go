package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/wire"
)

func TestVersion(t *testing.T) {
	out, _, err := execute(t, newVersionCommand(), "", "--json")
	var r versionReport
	if err != nil || json.Unmarshal([]byte(out), &r) != nil || r.Logs != wire.Version ||
		r.LogsMin != wire.VersionMin || r.Version == "" || !strings.HasPrefix(r.Go, "go1.") {
		t.Errorf("%v, %+v:\n%s", err, r, out)
	}
	info := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "c0ffee"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"},
		{Key: "vcs.modified", Value: "true"}}}
	var text bytes.Buffer
	if err := newVersionReport(info).write(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"staffetta v1.2.3\n",
		"c0ffee of 2026-01-02T03:04:05Z, and changes\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	text.Reset()
	newVersionReport(nil).write(&text)
	if !strings.Contains(text.String(), "staffetta unknown\ncommit    unknown") {
		t.Errorf("without build information:\n%s", text.String())
	}
}

// TestManual: each command has a page with all its flags; where a reader of such pages is
// installed, it finds nothing to complain of.
func TestManual(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	root := newRootCommand()
	root.SetArgs([]string{"man", dir})
	root.SetOut(new(bytes.Buffer))
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	node, err := os.ReadFile(filepath.Join(dir, "staffetta-node.1"))
	if err != nil || !strings.Contains(string(node), ".B \\-\\-disk\\-low watermark\n") ||
		!strings.Contains(string(node), "Variable: STAFFETTA_NODE_DISK_LOW.") ||
		!strings.Contains(string(node), "Default: 1GiB,15%.") ||
		strings.Contains(string(node), "clock\\-offset") {
		t.Errorf("staffetta-node.1, %v:\n%s", err, node)
	}
	var pages []string
	eachCommand(newRootCommand(), func(cmd *cobra.Command) {
		path := filepath.Join(dir, manName(cmd)+".1")
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s has no page: %v", cmd.CommandPath(), err)
			return
		}
		pages = append(pages, path)
	})
	if groff, err := exec.LookPath("groff"); err == nil { // which names the page in what it says
		out, err := exec.Command(groff, append([]string{"-k", "-man", "-Tutf8", "-ww", "-z"},
			pages...)...).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%v\n%s", err, out)
		}
	}
	for text, want := range map[string]string{".TH": `\&.TH`, `a\b-c`: `a\eb\-c`, "'x": `\(aqx`} {
		if got := manText(text); got != want {
			t.Errorf("manText(%q) is %q, want %q", text, got, want)
		}
	}
}

// eachCommand calls do with a command and those below it that help shows.
func eachCommand(cmd *cobra.Command, do func(*cobra.Command)) {
	if cmd.Hidden {
		return
	}
	do(cmd)
	for _, c := range cmd.Commands() {
		eachCommand(c, do)
	}
}

// TestHelpOfEveryCommand: a command says in a line what it does; one that runs says what that
// means and shows an example, each of which is a command line that it takes.
func TestHelpOfEveryCommand(t *testing.T) {
	line := regexp.MustCompile(`^  (staffetta|[A-Z]+=\S+ staffetta) \S`)
	eachCommand(newRootCommand(), func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: Short is %q", cmd.CommandPath(), cmd.Short)
		}
		if !cmd.Runnable() {
			return
		}
		if cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s: its help has no explanation or no example", cmd.CommandPath())
			return
		}
		own := false
		for _, example := range strings.Split(strings.ReplaceAll(cmd.Example, "\\\n", " "), "\n") {
			if example == "" || strings.HasPrefix(example, "  #") {
				continue
			}
			if !line.MatchString(example) {
				t.Errorf("%s: %q is no example", cmd.CommandPath(), example)
				continue
			}
			path := checkExample(t, cmd, strings.Fields(example))
			own = own || strings.HasPrefix(path+" ", cmd.CommandPath()+" ")
		}
		if !own {
			t.Errorf("%s: no example is one of it", cmd.CommandPath())
		}
	})
	known := map[string]bool{}
	eachCommand(newRootCommand(), func(cmd *cobra.Command) {
		_, path, _ := strings.Cut(cmd.CommandPath(), " ")
		known[path] = true
	})
	for path := range explanations {
		if !known[path] {
			t.Errorf("staffetta %s is explained, and no command", path)
		}
	}
}

// checkExample parses an example as its command does, and returns which command that is.
func checkExample(t *testing.T, cmd *cobra.Command, words []string) (path string) {
	t.Helper()
	for words[0] != "staffetta" { // a variable of the shell
		words = words[1:]
	}
	found, rest, err := newRootCommand().Find(words[1:])
	if err == nil && !found.Runnable() {
		err = errors.New("it is only a group of commands")
	}
	if err == nil {
		err = found.ParseFlags(rest)
	}
	if err == nil {
		err = errors.Join(found.ValidateArgs(found.Flags().Args()), found.ValidateFlagGroups())
	}
	if err != nil {
		t.Errorf("%s: its example %q: %v", cmd.CommandPath(), words, err)
	}
	return found.CommandPath()
}

func TestCompletion(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, strings.NewReader(""), &out, &out); err != nil ||
		!strings.Contains(out.String(), "\n  completion ") {
		t.Errorf("the help hides completion, %v:\n%s", err, out.String())
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		out.Reset()
		if err := run(t.Context(), []string{"completion", shell}, strings.NewReader(""), &out,
			&out); err != nil || !strings.Contains(out.String(), "staffetta") {
			t.Errorf("%s: %v", shell, err)
		}
	}
}
