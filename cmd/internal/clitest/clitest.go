// Package clitest has what tests of command lines share.
package clitest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
)

// Execute runs one command by itself, below a root with the given contexts, and returns its output.
func Execute(t *testing.T, contexts func(*cobra.Command) cli.ContextSource, cmd *cobra.Command,
	stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	root := cli.NewRoot(&cobra.Command{Use: "staffetta"}, contexts)
	root.AddCommand(cmd)
	root.SetArgs(append([]string{cmd.Name()}, args...))
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&errs)
	err = root.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

// EachCommand calls do with a command and all below it, but for those that are hidden.
func EachCommand(cmd *cobra.Command, do func(*cobra.Command)) {
	if cmd.Hidden {
		return
	}
	do(cmd)
	for _, c := range cmd.Commands() {
		EachCommand(c, do)
	}
}

// File writes a file that only its owner may read, and returns its path.
func File(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// AsProgram is the variable that makes the tests' executable be the program, for it and all
// processes that it starts, so that no test has to link the program once more.
const AsProgram = "TEST_AS_STAFFETTA"

// Main runs the tests of a program whose main function is given, or the program, by AsProgram.
// Tests run away from what their user has set for the federations that are operated from this
// machine: a command under test would go there.
func Main(m *testing.M, main func()) {
	if os.Getenv(AsProgram) != "" {
		main()
		return
	}
	os.Exit(isolated(m))
}

func isolated(m *testing.M) int {
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, cli.VariablePrefix) {
			os.Unsetenv(name)
		}
	}
	dir, err := os.MkdirTemp("", "staffetta-config-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv("XDG_CONFIG_HOME", dir)
	return m.Run()
}
