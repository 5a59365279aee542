package admin

import (
	"testing"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/cmd/internal/clitest"
)

func TestMain(m *testing.M) { clitest.Main(m, nil) }

// newRoot is a program that has nothing but an operator's commands.
func newRoot() *cobra.Command {
	root := cli.NewRoot(&cobra.Command{Use: "staffetta"}, Contexts)
	root.AddCommand(NewCommand())
	return root
}
