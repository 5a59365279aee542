package main

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
)

// TestUnknownCommand: a word that is no command of a group is an error and no wish for help,
// wherever the group stands in the tree and whether help was asked for or not.
func TestUnknownCommand(t *testing.T) {
	root := newRootCommand()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd("completion")
	groups := 0
	var check func(*cobra.Command)
	check = func(group *cobra.Command) {
		for _, c := range group.Commands() {
			check(c)
		}
		if !group.HasAvailableSubCommands() {
			return
		}
		groups++
		path := strings.Fields(group.CommandPath())[1:]
		for _, args := range [][]string{append(path, "nodde"), append(path, "nodde", "--help"),
			append([]string{"help"}, append(path, "nodde")...)} {
			err := run(t.Context(), args, strings.NewReader(""), io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), `unknown command "nodde" for "`+
				group.CommandPath()+`"`) || cli.ExitCode(err) != 1 {
				t.Errorf("%q: %v", args, err)
			}
		}
	}
	check(root)
	if groups < 15 {
		t.Errorf("%d groups were found", groups)
	}
	for args, want := range map[string]string{
		"admin nodde":               "did you mean node?",
		"admin node remov lazio-3":  "did you mean remove?",
		"admin approvals 2":         `unknown command "2"`,
		"admin --config= nodde":     `unknown command "nodde"`,
		"help admin node remov":     "did you mean remove?",
		"completion nosuch":         `unknown command "nosuch"`,
		"admin node remov --nosuch": "unknown flag: --nosuch",
	} {
		err := run(t.Context(), strings.Fields(args), strings.NewReader(""), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
	for _, args := range []string{"admin", "admin node --help", "help admin node", "help", "help help",
		"help settings", "completion bash", "__complete admin nod"} {
		if err := run(t.Context(), strings.Fields(args), strings.NewReader(""), io.Discard,
			io.Discard); err != nil {
			t.Errorf("%s: %v", args, err)
		}
	}
}
