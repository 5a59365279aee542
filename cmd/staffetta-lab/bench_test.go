package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/cmd/internal/clitest"
	"github.com/staffetta/staffetta/internal/localfile"
)

// localDir is the directory of a federation that has a gateway and no processes.
func localDir(t *testing.T, gateway, admin string) string {
	t.Helper()
	dir := t.TempDir()
	err := localfile.Write(filepath.Join(dir, localfile.Name), &localfile.File{
		Gateways: []localfile.Gateway{{ID: "g", URL: gateway, Admin: admin, PID: os.Getpid()}},
		Services: []localfile.Service{{ServiceID: "S", PrimaryKey: "local-key"}},
		Citizens: []localfile.Citizen{{FiscalCode: "AAAAAA00A00A000A", State: localfile.Active}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBenchCommand(t *testing.T) {
	g := clitest.NewGateway(t)
	t.Setenv(cli.KeyEnv, "another")
	dir := localDir(t, g.URL, g.URL)
	out, _, err := execute(t, newBenchCommand(), "", "--dir", dir, "--count", "50", "--warm-up",
		"0s", "--json", "--idempotency-keys")
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Messages int `json:"messages"`
		Verdicts struct {
			Processed int `json:"PROCESSED"`
		} `json:"verdicts"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Messages != 50 ||
		report.Verdicts.Processed != 50 || g.Messages() != 50 || !slices.Contains(g.Keys(), "local-key") {
		t.Errorf("%v, %d keys:\n%s", err, g.Messages(), out)
	}
	out, _, err = execute(t, newBenchCommand(), "", "--local", filepath.Join(dir, localfile.Name),
		"--count", "5", "--warm-up", "0s")
	if err != nil || !strings.Contains(out, "5 messages in") {
		t.Errorf("%v:\n%s", err, out)
	}
	out, _, err = execute(t, newBenchCommand(), "", "latency", "--dir", dir, "--duration", "100ms",
		"--warm-up", "0s", "--concurrency", "4")
	if err != nil || !strings.Contains(out, "times the p50 of one at a time") {
		t.Errorf("%v:\n%s", err, out)
	}
	codes := clitest.File(t, "codes", "AAAAAA00A00A000A\n\nRCCMNL83S18D969H\n")
	if _, _, err = execute(t, newBenchCommand(), "", "--gateway", g.URL, "--key", "flag",
		"--citizens", codes, "--count", "5", "--warm-up", "0s"); err != nil || !slices.Contains(g.Keys(), "flag") {
		t.Errorf("by flags: %v, keys %v", err, g.Keys())
	}
}

func TestBenchRefuses(t *testing.T) {
	t.Setenv(cli.KeyEnv, "")
	bad := clitest.File(t, "codes", "AAAAAA00A00A000A\nNOCODE\n")
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "give --dir"},
		{[]string{"--dir", t.TempDir()}, "read local federation"},
		{[]string{"--gateway", "http://x", "--key", "k"}, "no recipients"},
		{[]string{"--gateway", "http://x", "--key", "k", "--citizens", bad}, "line 2: not a"},
		{[]string{"idle"}, "give --dir"},
		{[]string{"idle", "--dir", "/nowhere"}, "read local federation"},
		{[]string{"--gateway", "http://x", "--key", "k", "--window", "-1"}, "window: -1"},
		{[]string{"latency"}, "give --dir"},
		{[]string{"fairness", "--gateway", "http://x", "--key", "k"}, "give --dir"},
		{[]string{"fairness", "--dir", localDir(t, "http://x", "http://x")}, "no second institution"},
		{[]string{"overload", "--dir", t.TempDir()}, "at least one of the flags"},
		{[]string{"overload", "--dir", t.TempDir(), "--capacity", "1", "--bulk"}, "none of the others"},
		{[]string{"overload", "--dir", localDir(t, "http://x", "http://x"), "--capacity", "-1"},
			"capacity: -1"},
		{[]string{"reads", "--dir", localDir(t, "http://x", "http://x"), "--reads", "0"}, "reads: 0"},
	} {
		_, _, err := execute(t, newBenchCommand(), "", c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.args, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "NOCODE") {
			t.Errorf("the error shows a line's text: %v", err)
		}
	}
}
