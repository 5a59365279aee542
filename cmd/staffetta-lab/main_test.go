package main

import (
	"testing"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/clitest"
)

func TestMain(m *testing.M) { clitest.Main(m, main) }

// execute runs one command by itself, and returns its output.
func execute(t *testing.T, cmd *cobra.Command, stdin string, args ...string) (stdout, stderr string,
	err error) {
	t.Helper()
	return clitest.Execute(t, nil, cmd, stdin, args...)
}
