//go:build peers

package main

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/bench/system"
)

// TestPeers starts every system, with every check and step, each for a moment.
func TestPeers(t *testing.T) {
	for _, name := range system.Names() {
		t.Run(name, func(t *testing.T) {
			var out, progress bytes.Buffer
			args := strings.Fields("--quick --duration 200ms --warm-up 0s --citizens 50 " +
				"--concurrency 1,8 --systems " + name)
			args = append(args, "--json", filepath.Join(t.TempDir(), "report.json"))
			if err := run(t.Context(), args, &out, &progress); err != nil {
				t.Fatalf("%v\n%s\n%s", err, &progress, &out)
			}
			if strings.Contains(out.String(), "SKIPPED") {
				t.Skip(out.String())
			}
			if !slices.Contains(strings.Fields(out.String()), name) ||
				!strings.Contains(progress.String(), "acknowledged messages are on 3 replicas") {
				t.Errorf("%s\n%s", &progress, &out)
			}
		})
	}
}
