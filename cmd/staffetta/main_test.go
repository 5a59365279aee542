package main

import (
	"context"
	"io"
	"testing"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/admin"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/cmd/internal/clitest"
)

func TestMain(m *testing.M) { clitest.Main(m, main) }

// run runs one command line of the program.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	return cli.Run(ctx, newRootCommand, args, stdin, stdout, stderr)
}

// execute runs one command by itself, and returns its output.
func execute(t *testing.T, cmd *cobra.Command, stdin string, args ...string) (stdout, stderr string,
	err error) {
	t.Helper()
	return clitest.Execute(t, admin.Contexts, cmd, stdin, args...)
}
