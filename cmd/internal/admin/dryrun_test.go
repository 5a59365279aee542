package admin

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// onlyShows are the commands below admin that change nothing, neither in the federation nor in the
// files that another command reads.
var onlyShows = []string{"map", "status", "doctor", "explain", "audit", "whoami",
	"region list", "node list", "gateway list", "institution list", "institution show",
	"service list", "service show", "slots show", "ca list", "region-key show", "move status",
	"session list",
	"remote-content list",
	"backup list", "backup verify", "restore status", "upgrade status",
	// An operator's own file of contexts, and what waits for a second operator.
	"context list", "context use", "context remove", "context add", "approvals"}

// TestEverythingHasADryRun: every command of admin that changes something says with --dry-run what
// it would do, and every one prints JSON with --json.
func TestEverythingHasADryRun(t *testing.T) {
	commands, shown := 0, map[string]bool{}
	var look func(cmd *cobra.Command, path []string)
	look = func(cmd *cobra.Command, path []string) {
		for _, sub := range cmd.Commands() {
			look(sub, append(slices.Clone(path), sub.Name()))
		}
		name := strings.Join(path, " ")
		if !cmd.Runnable() || name == "" || path[0] == "help" || path[0] == "completion" {
			return
		}
		commands++
		shows := slices.Contains(onlyShows, name)
		shown[name] = shows
		if dry := cmd.Flags().Lookup("dry-run") != nil; !dry && !shows {
			t.Errorf("admin %s changes something, and has no --dry-run", name)
		} else if dry && shows {
			t.Errorf("admin %s only shows something, and has --dry-run", name)
		}
		if cmd.Flags().Lookup("json") == nil {
			t.Errorf("admin %s has no --json", name)
		}
	}
	look(NewCommand(), nil)
	for _, name := range onlyShows {
		if !shown[name] {
			t.Errorf("admin %s is no command", name)
		}
	}
	if commands < 50 {
		t.Errorf("%d commands were looked at", commands)
	}
}
