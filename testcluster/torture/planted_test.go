//go:build soak

package torture_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/planted"
	"github.com/staffetta/staffetta/testcluster/torture"
)

// plantedRuns are a short run for each planted bug, and what must be found.
var plantedRuns = []struct {
	bug      planted.Bug
	faults   []string
	duration time.Duration
	want     string
}{
	{planted.AckBeforeFsync, []string{"kill-leader", "power-cut"}, 40 * time.Second,
		`is lost|is not found|is missing`},
	{planted.DoubleApply, []string{"kill-node"}, 20 * time.Second, `one key|times|twice`},
	{planted.LostSpool, []string{"kill-region"}, 30 * time.Second, `is not found|is lost`},
	{planted.StaleOwner, []string{"cut-gateway", "island"}, 60 * time.Second,
		`is lost|is not found|is missing|not linearizable`},
	{planted.DivergentApply, []string{"kill-node"}, 20 * time.Second,
		`replicas differ|cannot go on: .* dies again and again`},
	{planted.TrustedDisk, []string{"forget-old-copy", "forget-emptied"}, 60 * time.Second,
		`of which one came back .* made .* leader`},
}

// TestPlanted: each planted bug is found by a short run, which finds nothing without it.
func TestPlanted(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "staffetta-lab")
	build := exec.Command("go", "build", "-tags", "planted", "-o", binary,
		"github.com/staffetta/staffetta/cmd/staffetta-lab")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, p := range plantedRuns {
		t.Run(string(p.bug), func(t *testing.T) {
			report := run(t, binary, p.bug, p.faults, p.duration)
			found := regexp.MustCompile(p.want)
			if !slices.ContainsFunc(report.ViolationsList, found.MatchString) {
				t.Errorf("%d violations, none of which matches %s: %.3q", report.Violations, p.want,
					report.ViolationsList)
			}
			t.Logf("%d violations, the first: %s", report.Violations, first(report.ViolationsList))
		})
		t.Run("without "+string(p.bug), func(t *testing.T) {
			report := run(t, binary, "", p.faults, p.duration)
			if !report.OK() {
				t.Errorf("%d violations without a planted bug: %.3q", report.Violations,
					report.ViolationsList)
			}
		})
	}
	if len(plantedRuns) != len(planted.Bugs) {
		t.Errorf("%d of %d planted bugs are looked for", len(plantedRuns), len(planted.Bugs))
	}
}

func run(t *testing.T, binary string, bug planted.Bug, faults []string,
	duration time.Duration) *torture.Report {
	t.Helper()
	report, err := torture.Run(t.Context(), torture.Config{Binary: binary,
		Dir: filepath.Join(t.TempDir(), "run"), Seed: 7, Duration: duration, Faults: faults,
		Regions: []string{"lazio", "sicilia"}, Timeline: os.Stderr,
		Env: []string{planted.Variable + "=" + string(bug)}})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func first(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return list[0]
}
