package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/clitest"
)

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
	clitest.EachCommand(newRootCommand(), func(cmd *cobra.Command) {
		path := filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1")
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
}

// TestHelpOfEveryCommand: a command says in a line what it does; one that runs says what that
// means and shows an example, each of which is a command line that it takes.
func TestHelpOfEveryCommand(t *testing.T) {
	line := regexp.MustCompile(`^  (staffetta|[A-Z]+=\S+ staffetta) \S`)
	clitest.EachCommand(newRootCommand(), func(cmd *cobra.Command) {
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
