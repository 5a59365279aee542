package process_test

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/staffetta/staffetta/internal/localfile"
	"github.com/staffetta/staffetta/testcluster/process"
)

// federation is one `staffetta local`, a process with children, that a test starts, kills and
// starts again on the same directory.
type federation struct {
	t    *testing.T
	dir  string
	args []string
	// binary is the program; staffetta when empty.
	binary string

	// Of the run that is under way.
	cmd    *exec.Cmd
	out    *output // the table and hints
	events *output // what happened to children, and why it ended
	ended  chan struct{}
	err    error // set before ended is closed
}

// startLocal starts a federation in a directory of its own and waits until it is ready.
func startLocal(t *testing.T, args ...string) *federation {
	t.Helper()
	return startLocalIn(t, t.TempDir(), args...)
}

func startLocalIn(t *testing.T, dir string, args ...string) *federation {
	t.Helper()
	if testing.Short() {
		t.Skip("runs real processes")
	}
	f := &federation{t: t, dir: dir,
		args: append([]string{"local", "--dir", dir, "--http", freeHTTP(t)}, args...)}
	t.Cleanup(f.end)
	f.start()
	return f
}

// freeHTTP finds an address for a gateway, which the test keeps over restarts.
func freeHTTP(t *testing.T) string {
	t.Helper()
	var free process.Ports
	t.Cleanup(free.Close)
	addrs, err := free.TCP(1)
	if err != nil {
		t.Fatal(err)
	}
	return addrs[0]
}

// start starts the federation, again on its directory, and waits until it is ready.
func (f *federation) start() {
	f.t.Helper()
	f.launch()
	await(f.t, "the federation is ready", func() bool {
		select {
		case <-f.ended:
			f.t.Fatalf("the federation ended: %v\n%s", f.err, f.events)
		default:
		}
		return strings.Contains(f.out.String(), "Ctrl-C ends the federation")
	})
}

func (f *federation) launch() {
	f.t.Helper()
	f.cmd = exec.Command(cmp.Or(f.binary, staffetta), f.args...)
	f.out, f.events, f.ended = new(output), new(output), make(chan struct{})
	f.cmd.Stdout, f.cmd.Stderr = f.out, f.events
	// Nothing outlives the tests, even if they are killed.
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := f.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, ended chan struct{}) {
		f.err = cmd.Wait()
		close(ended)
	}(f.cmd, f.ended)
}

// file reads local.json.
func (f *federation) file() *localfile.File {
	f.t.Helper()
	file, err := localfile.Read(f.dir)
	if err != nil {
		f.t.Fatal(err)
	}
	return file
}

// interrupt ends the federation as Ctrl-C does and waits until nothing of it runs.
func (f *federation) interrupt() {
	f.t.Helper()
	f.cmd.Process.Signal(os.Interrupt)
	f.awaitEnd()
	if f.err != nil {
		f.t.Errorf("after an interrupt: %v\n%s", f.err, f.events)
	}
	if left := processesOf(f.dir); len(left) > 0 {
		f.t.Errorf("an interrupt left %d processes", len(left))
	}
	_, err := os.Stat(filepath.Join(f.dir, localfile.Name))
	if !errors.Is(err, fs.ErrNotExist) {
		f.t.Errorf("local.json is there and nothing runs: %v", err)
	}
}

// kill ends everything at once, without a chance to write anything.
func (f *federation) kill() {
	f.t.Helper()
	pids := processesOf(f.dir)
	f.cmd.Process.Kill() // first, or it would start its children again
	for _, pid := range pids {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	f.awaitEnd()
	await(f.t, "nothing runs", func() bool { return len(processesOf(f.dir)) == 0 })
}

func (f *federation) awaitEnd() {
	f.t.Helper()
	await(f.t, "the federation has ended", func() bool {
		select {
		case <-f.ended:
			return true
		default:
			return false
		}
	})
}

// end is the end of every test: nothing is left, and why it failed is shown.
func (f *federation) end() {
	if f.t.Failed() {
		f.t.Logf("events:\n%s", f.events)
		for _, path := range f.logs() {
			b, _ := os.ReadFile(path)
			f.t.Logf("%s:\n%s", filepath.Base(path), b[max(0, len(b)-1500):])
		}
	}
	if f.cmd.Process != nil {
		f.kill()
	}
}

func (f *federation) logs() []string {
	paths, _ := filepath.Glob(filepath.Join(f.dir, "logs", "*.log"))
	return paths
}

// killChild kills one process and waits until local.json names the one that takes its place.
func (f *federation) killChild(id string) {
	f.t.Helper()
	old := f.pid(id)
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		f.t.Fatal(err)
	}
	await(f.t, id+" is started again", func() bool {
		pid := f.pid(id)
		return pid != old && pid != 0 && running(pid)
	})
}

// pid is the process id of a node or a gateway, as local.json has it.
func (f *federation) pid(id string) int {
	f.t.Helper()
	file := f.file()
	for _, n := range file.Nodes {
		if n.ID == id {
			return n.PID
		}
	}
	for _, g := range file.Gateways {
		if g.ID == id {
			return g.PID
		}
	}
	f.t.Fatalf("local.json has no %s", id)
	return 0
}
