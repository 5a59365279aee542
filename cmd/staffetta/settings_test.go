package main

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/cmd/internal/clitest"
)

// TestEveryFlagHasAPlace: each flag of each command has a variable that is no other's, unless it
// is the same fact; no command has a hook of its own, which would replace the one that reads them.
func TestEveryFlagHasAPlace(t *testing.T) {
	type fact struct{ scope, name string }
	owners := map[string]fact{}
	root, flags := newRootCommand(), 0
	cli.WalkFlags(root, func(cmd *cobra.Command, f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		flags++
		name, here := cli.VariableOf(cmd, f), fact{cli.ScopeOf(cmd, f), f.Name}
		if was, ok := owners[name]; ok && was != here {
			t.Errorf("%s stands for %+v and %+v", name, was, here)
		}
		owners[name] = here
	})
	if flags < 200 || owners["STAFFETTA_NODE_DISK_LOW"] != (fact{"node", "disk-low"}) ||
		owners["STAFFETTA_ADMIN_CERT"] != (fact{"admin", "cert"}) ||
		owners["STAFFETTA_KEY"] != (fact{"", "key"}) || owners["STAFFETTA_CONFIG"] == (fact{}) {
		t.Errorf("%d flags, %v", flags, owners)
	}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd != root && (cmd.PersistentPreRun != nil || cmd.PersistentPreRunE != nil) {
			t.Errorf("%s has a persistent hook of its own: its flags are not resolved",
				cmd.CommandPath())
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(root)
}

// TestRealCommandsTakeSettings runs real commands by what is not on their command line.
func TestRealCommandsTakeSettings(t *testing.T) {
	g := clitest.NewGateway(t)
	messages := clitest.File(t, "m.ndjson", twoMessages)
	config := clitest.File(t, "config", "key = from-file\n[send]\ngateway = "+g.URL+"\nfile = "+messages+
		"\n[node]\nlisten = 127.0.0.1:0\n")
	var out, errs bytes.Buffer
	err := run(t.Context(), []string{"send", "--config", config}, strings.NewReader(""), &out, &errs)
	if err != nil || !strings.Contains(out.String(), "2  PROCESSED") || !slices.Contains(g.Keys(), "from-file") {
		t.Errorf("%v, keys %v\n%s%s", err, g.Keys(), out.String(), errs.String())
	}
	t.Setenv("STAFFETTA_NODE_DIR", filepath.Join(t.TempDir(), "data"))
	t.Setenv("STAFFETTA_NODE_ID", "lazio-1")
	err = run(t.Context(), []string{"node"}, strings.NewReader(""), &out, &errs)
	if err == nil || !strings.Contains(err.Error(), `"region", "cert", "key", "ca" not set`) {
		t.Errorf("got %v, want what the variables do not say", err)
	}
}
