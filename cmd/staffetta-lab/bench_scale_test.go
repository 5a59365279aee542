package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/cmd/internal/clitest"
	"github.com/staffetta/staffetta/internal/scale"
)

// TestScaleFlags: what cannot be run is refused before anything is made.
func TestScaleFlags(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"region", "--scale", "-1"}, "scale -1"},
		{[]string{"directory", "--scale", "2.5"}, "scale 2.5"},
		{[]string{"region", "--scale", "nan"}, "scale NaN"},
		{[]string{"region", "--read-for", "24h"}, "reading for 24h"},
		{[]string{"region", "--idempotency-keys", "120"}, "120 percent"},
		{[]string{"region", "--citizens", "20000001"}, "20000001 citizens"},
		{[]string{"catch-up", "--outage", "1s"}, "outage of 1s"},
		{[]string{"catch-up", "--scale", "3"}, "scale 3"},
		{[]string{"catch-up", "--citizens", "0"}, "--citizens 0"},
	} {
		dir := filepath.Join(t.TempDir(), "run")
		_, _, err := execute(t, newBenchScaleCommand(), "", append(tt.args, "--dir", dir)...)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: error %v, want one that says %q", tt.args, err, tt.want)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%q made its directory", tt.args)
		}
	}
}

// runScale runs a process, since runs start others of themselves.
func runScale(t *testing.T, report any, args ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, append([]string{"bench", "scale"}, args...)...)
	var said bytes.Buffer
	cmd.Env, cmd.Stderr = append(os.Environ(), clitest.AsProgram+"=1"), &said
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, report)
	}
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, &said)
	}
}

// TestScaleRuns makes small runs as a user does, cold starts included. Their files stay when told
// to, and go when not.
func TestScaleRuns(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	var r scale.RegionReport
	runScale(t, &r, "region", "--scale", "0.0001", "--citizens", "300", "--read-for",
		"500ms", "--dir", dir, "--json", "--keep")
	if !r.Complete || r.Full.Citizens != 300 || r.Full.Cold == nil || r.Full.Cold.ReplayEntries == 0 {
		t.Errorf("region %+v", r)
	}
	var d scale.DirectoryReport
	runScale(t, &d, "directory", "--scale", "0.0001", "--dir", dir, "--json")
	if !d.Complete || d.Cold == nil || d.Cold.LookUps == nil || d.Cold.LookUps.Known.Count == 0 {
		t.Errorf("directory %+v", d)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if want := filepath.Join(dir, "region"); err != nil || len(names) != 1 || names[0] != want {
		t.Errorf("kept %q (%v), want %q", names, err, want)
	}
}

// TestScaleCatchUp kills a node of a federation and starts it again.
func TestScaleCatchUp(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	var r scale.CatchUpReport
	runScale(t, &r, "catch-up", "--outage", "3s", "--citizens", "20", "--concurrency", "16",
		"--dir", dir, "--json")
	if r.MissedEntries == 0 || r.CatchUpSeconds < r.ReadySeconds || r.ReadySeconds == 0 ||
		r.Full == 0 || r.Alone == 0 || r.During == 0 {
		t.Errorf("report %+v", r)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s is still there", dir)
	}
}
