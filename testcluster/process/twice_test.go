package process_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestTwice starts a federation on the directory of one that runs: it is refused, and the one
// that runs keeps what it wrote.
func TestTwice(t *testing.T) {
	t.Parallel()
	f := startLocal(t, "--regions", "lazio", "--nodes", "1", "--citizens", "1")
	before := f.file()
	out, err := exec.Command(staffetta, "local", "--dir", f.dir, "--http",
		freeHTTP(t)).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "runs in "+f.dir+" already") {
		t.Errorf("a second federation in the directory: %v\n%s", err, out)
	}
	if after := f.file(); after.Nodes[0].PID != before.Nodes[0].PID {
		t.Errorf("local.json names process %d of the node, want %d", after.Nodes[0].PID,
			before.Nodes[0].PID)
	}
	f.interrupt()
	f.start()
}
