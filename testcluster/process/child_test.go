package process

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestChildEnds has a process that ends by itself: nobody is left to believe that it runs.
func TestChildEnds(t *testing.T) {
	var pids []int
	c := &child{id: "x", binary: "/bin/sh", args: []string{"-c", "exit 3"},
		logPath: filepath.Join(t.TempDir(), "log"), event: t.Logf}
	c.changed = func() { pids = append(pids, c.PID()) }
	if err := c.run(t.Context()); err != nil {
		t.Errorf("a child that is not started again: %v", err)
	}
	if len(pids) != 2 || pids[0] == 0 || pids[1] != 0 {
		t.Errorf("told of processes %v, want one and then none", pids)
	}
}

func TestEnvironment(t *testing.T) {
	for _, tt := range []struct {
		own   []string
		cores int
		want  string
	}{
		{[]string{"A=b"}, 2, "A=b GOMAXPROCS=1"},
		{[]string{"A=b"}, 16, "A=b GOMAXPROCS=4"},
		{[]string{"GOMAXPROCS=7", "A=b"}, 2, "GOMAXPROCS=7 A=b"},
	} {
		if got := strings.Join(environment(tt.own, tt.cores), " "); got != tt.want {
			t.Errorf("%q with %d cores: %q, want %q", tt.own, tt.cores, got, tt.want)
		}
	}
}
