package measure

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// syncCalls are the system calls that return once a file's bytes are on the device.
var syncCalls = []string{"fsync", "fdatasync"}

// attachMax bounds the time until a tracer holds every thread, and that until it let go of them.
const attachMax = 20 * time.Second

// ErrNoTracer says that strace is not installed.
var ErrNoTracer = errors.New("strace is not installed")

// CountSyncs counts, for each of the process trees, the calls of fsync and its like that are
// made while do runs. It attaches strace, which slows the processes down much: for checks, not
// for figures.
func CountSyncs(ctx context.Context, roots []int, do func() error) ([]int64, error) {
	if _, err := exec.LookPath("strace"); err != nil {
		return nil, ErrNoTracer
	}
	dir, err := os.MkdirTemp("", "syncs-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	tracers := make([]*tracer, 0, len(roots))
	defer func() {
		for _, t := range tracers {
			t.stop()
		}
	}()
	for i, root := range roots {
		t, err := trace(ctx, root, filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			return nil, err
		}
		tracers = append(tracers, t)
	}
	if err := do(); err != nil {
		return nil, err
	}
	counts := make([]int64, len(roots))
	for i, t := range tracers {
		if counts[i], err = t.count(); err != nil {
			return nil, err
		}
	}
	return counts, nil
}

// tracer is one strace, attached to a tree of processes.
type tracer struct {
	cmd    *exec.Cmd
	output string
	said   bytes.Buffer
	done   chan struct{}
	err    error // set before done is closed
}

// trace attaches to the tree of root. On return every thread is traced.
func trace(ctx context.Context, root int, output string) (*tracer, error) {
	tree, err := Tree(root)
	if err != nil {
		return nil, err
	}
	args := []string{"-f", "-c", "-o", output, "-e", "trace=" + strings.Join(syncCalls, ",")}
	for _, pid := range tree {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	t := &tracer{cmd: exec.Command("strace", args...), output: output, done: make(chan struct{})}
	t.cmd.Stderr = &t.said
	// In a group of its own: an interrupt from the terminal is for the command, which then ends
	// its tracers.
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		t.err = t.cmd.Wait()
		close(t.done)
	}()
	ctx, cancel := context.WithTimeout(ctx, attachMax)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if traced(tree, t.cmd.Process.Pid) {
			return t, nil
		}
		select {
		case <-ticker.C:
		case <-t.done:
			return nil, fmt.Errorf("strace: %w: %s", t.err, t.said.String())
		case <-ctx.Done():
			t.stop()
			return nil, fmt.Errorf("strace: not attached: %w", ctx.Err())
		}
	}
}

// traced reports whether every thread of the processes is traced by tracer.
func traced(pids []int, tracer int) bool {
	want := fmt.Sprintf("\nTracerPid:\t%d\n", tracer)
	for _, pid := range pids {
		threads, err := tasks(pid)
		if err != nil {
			return false
		}
		for _, status := range threads {
			b, err := os.ReadFile(status)
			if err == nil && !strings.Contains(string(b), want) {
				return false
			}
		}
	}
	return true
}

// count ends the tracer, which lets the processes run on, and returns what it counted.
func (t *tracer) count() (int64, error) {
	t.stop()
	b, err := os.ReadFile(t.output)
	if err != nil {
		return 0, fmt.Errorf("strace: %w: %s", err, t.said.String())
	}
	return parseCounts(b)
}

// stop ends the tracer. Called again it does nothing.
func (t *tracer) stop() {
	select {
	case <-t.done:
		return
	default:
	}
	t.cmd.Process.Signal(syscall.SIGINT)
	kill := time.AfterFunc(attachMax, func() { t.cmd.Process.Kill() })
	defer kill.Stop()
	<-t.done
}

// parseCounts reads the table of strace -c. Columns are: share, seconds, microseconds a call,
// calls, errors (which may be missing), name.
func parseCounts(table []byte) (int64, error) {
	var sum int64
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 5 || !slices.Contains(syncCalls, f[len(f)-1]) {
			continue
		}
		n, err := strconv.ParseInt(f[3], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("strace: no count in %q", lines.Text())
		}
		sum += n
	}
	return sum, nil
}
