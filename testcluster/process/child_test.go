package process

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/founding"
)

// TestChildEnds has a process that ends by itself: nobody is left to believe that it runs.
func TestChildEnds(t *testing.T) {
	var pids []int
	var ends []error
	c := &child{id: "x", binary: "/bin/sh", args: []string{"-c", "exit 3"},
		logPath: filepath.Join(t.TempDir(), "log"), event: t.Logf}
	c.changed = func() { pids = append(pids, c.PID()) }
	c.ended = func(err error) { ends = append(ends, err) }
	if err := c.run(t.Context()); err != nil {
		t.Errorf("a child that is not started again: %v", err)
	}
	if len(pids) != 2 || pids[0] == 0 || pids[1] != 0 {
		t.Errorf("told of processes %v, want one and then none", pids)
	}
	if len(ends) != 1 || ends[0] == nil || ends[0].Error() != "exit status 3" {
		t.Errorf("told of ends %v, want exit status 3", ends)
	}
	if err := c.signal(syscall.SIGKILL); err == nil {
		t.Error("a process that does not run takes a signal")
	}
}

// TestHeldChild keeps a dead process from being started again, until it is released.
func TestHeldChild(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	began, ended := make(chan int, 9), make(chan error, 9)
	c := &child{id: "x", binary: "/bin/sh", args: []string{"-c", "exec sleep 600"}, restart: true,
		logPath: filepath.Join(t.TempDir(), "log"), event: t.Logf}
	c.changed = func() {
		if pid := c.PID(); pid != 0 {
			began <- pid
		}
	}
	c.ended = func(err error) { ended <- err }
	done := make(chan error)
	go func() { done <- c.run(ctx) }()
	first := <-began
	c.hold()
	c.hold() // a second time changes nothing
	if err := c.signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-ended
	if c.PID() != 0 {
		t.Error("a killed child runs")
	}
	select {
	case <-began:
		t.Error("a held child is started again")
	case <-time.After(restartPause + restartPause/2):
	}
	c.release()
	c.release()
	if second := <-began; second == first {
		t.Error("the process is the same")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestHeldChildEndsForGood: whoever holds a process mends why it ended for good, and has it started
// again; nobody else does.
func TestHeldChildEndsForGood(t *testing.T) {
	for _, held := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		began, ended := make(chan int, 9), make(chan error, 9)
		c := &child{id: "x", binary: "/bin/sh", args: []string{"-c", "exit 3"}, restart: true,
			logPath: filepath.Join(t.TempDir(), "log"), event: t.Logf}
		if held {
			c.hold()
		}
		c.changed = func() {
			if pid := c.PID(); pid != 0 {
				began <- pid
			}
		}
		c.ended = func(err error) { ended <- err }
		done := make(chan error, 1)
		go func() { done <- c.run(ctx) }()
		<-began
		<-ended
		if held {
			c.release()
			select {
			case <-began:
			case err := <-done:
				t.Errorf("a process that was mended is not started again: %v", err)
				done <- err
			}
		}
		if err := <-done; err != nil { // the second time, or at once, nobody holds it
			t.Errorf("held %t: %v", held, err)
		}
		cancel()
	}
}

// TestSockets: with Indirect nothing is at an address that the map has.
func TestSockets(t *testing.T) {
	nodes := []founding.Node{{Addr: "127.0.0.1:20001"}, {Addr: "127.0.0.1:20002"}}
	var free Ports
	defer free.Close()
	direct, err := new(Config).sockets(&free, nodes, 1)
	if err != nil || len(direct) != 3 || direct[0] != nodes[0].Addr || direct[2] != ":0" {
		t.Errorf("got %v, %v, want the map's addresses and any for the gateway", direct, err)
	}
	apart, err := (&Config{Indirect: true}).sockets(&free, nodes, 1)
	if err != nil || len(apart) < 3 {
		t.Fatalf("got %v, %v, want three addresses", apart, err)
	}
	seen := map[string]bool{nodes[0].Addr: true, nodes[1].Addr: true}
	for _, addr := range apart {
		if seen[addr] {
			t.Errorf("%s is taken", addr)
		}
		seen[addr] = true
	}
}

func TestEnvironment(t *testing.T) {
	for _, tt := range []struct {
		own     []string
		command string
		cores   int
		want    string
	}{
		{[]string{"A=b"}, "node", 2, "A=b GOMAXPROCS=1"},
		{[]string{"A=b"}, "node", 16, "A=b GOMAXPROCS=4"},
		{[]string{"A=b"}, "gateway", 1, "A=b GOMAXPROCS=1"},
		{[]string{"A=b"}, "gateway", 2, "A=b GOMAXPROCS=2"},
		{[]string{"A=b"}, "gateway", 16, "A=b GOMAXPROCS=8"},
		{[]string{"GOMAXPROCS=7", "A=b"}, "node", 2, "GOMAXPROCS=7 A=b"},
		{[]string{"STAFFETTA_NODE_JOIN=x", "STAFFETTA_PLANTED=y", "STAFFETTA_CONFIG=z"}, "node", 2,
			"STAFFETTA_PLANTED=y GOMAXPROCS=1"},
	} {
		got := strings.Join(environment(tt.own, procs(tt.command, tt.cores)), " ")
		if got != tt.want {
			t.Errorf("%q, %s with %d cores: %q, want %q", tt.own, tt.command, tt.cores, got,
				tt.want)
		}
	}
}
