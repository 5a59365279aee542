package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/staffetta/staffetta/internal/planted"
	relay "github.com/staffetta/staffetta/node"
)

const (
	// stopWait is how long a child has to stop cleanly before it is killed.
	stopWait = 15 * time.Second
	// diesEarly: a child that lives shorter than this, diesEarlyMax times in a row, is not
	// started again: something is wrong that a restart does not mend.
	diesEarly    = 5 * time.Second
	diesEarlyMax = 10
)

// child is one process of the federation, started again when it dies.
type child struct {
	id      string
	binary  string
	logPath string
	restart bool
	env     []string
	event   func(format string, args ...any)
	changed func()          // called after each start, and each end that was not asked for
	ended   func(err error) // called after each end that was not asked for

	// Guarded by mu.
	mu      sync.Mutex
	args    []string
	pid     int           // 0 while it does not run
	held    chan struct{} // closed when it may be started again; nil: it may
	retired bool          // it is not started again
}

// PID is the running process's id, or 0.
func (c *child) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pid
}

func (c *child) setPID(pid int) {
	c.mu.Lock()
	c.pid = pid
	c.mu.Unlock()
}

// signal sends a signal to the process, if it runs.
func (c *child) signal(s syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pid == 0 {
		return fmt.Errorf("%s does not run", c.id)
	}
	return syscall.Kill(c.pid, s)
}

// hold keeps the process, once it has ended, from being started again until release.
func (c *child) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		c.held = make(chan struct{})
	}
}

func (c *child) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held != nil {
		close(c.held)
		c.held = nil
	}
}

func (c *child) isHeld() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held != nil
}

// more adds arguments for the next start.
func (c *child) more(args ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.args = append(slices.Clone(c.args), args...)
}

// retire has the process not be started again.
func (c *child) retire() {
	c.mu.Lock()
	c.retired = true
	c.mu.Unlock()
	c.release()
}

func (c *child) isRetired() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.retired
}

// wait waits until the process may be started again. It answers whether it was held.
func (c *child) wait(ctx context.Context) (held bool) {
	pause := time.After(restartPause)
	for {
		c.mu.Lock()
		hold := c.held
		c.mu.Unlock()
		if hold == nil {
			break
		}
		held = true
		select {
		case <-hold:
		case <-ctx.Done():
			return held
		}
	}
	select {
	case <-pause:
	case <-ctx.Done():
	}
	return held
}

// run keeps the process running until ctx ends, then stops it. The error says that the process
// ended and is not to be started again.
func (c *child) run(ctx context.Context) error {
	// The kernel kills the child when the thread that started it ends (Pdeathsig), so that
	// nothing outlives a killed parent: the thread has to stay for as long.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for early := 0; ; {
		started := time.Now()
		err := c.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		c.event("%s ended: %v", c.id, err)
		c.ended(err)
		if !c.restart {
			return nil
		}
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) &&
			exit.ExitCode() == relay.ExitFinal && !c.isHeld() {
			// One that is held is started again by who mends its cause.
			c.event("%s must not be started again; see %s", c.id, c.logPath)
			return nil
		}
		lived := time.Since(started)
		held := c.wait(ctx)
		if ctx.Err() != nil || c.isRetired() {
			return nil
		}
		if early++; lived >= diesEarly || held {
			early = 0
		}
		if early == diesEarlyMax {
			return fmt.Errorf("%s dies again and again; see %s", c.id, c.logPath)
		}
		c.event("%s is started again", c.id)
	}
}

// once starts the process and waits for its end.
func (c *child) once(ctx context.Context) error {
	log, err := os.OpenFile(c.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	c.mu.Lock()
	args := c.args
	c.mu.Unlock()
	cmd := exec.CommandContext(ctx, c.binary, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(environment(os.Environ(), procs(args[0], runtime.NumCPU())), c.env...)
	// A terminal's Ctrl-C reaches this process alone, which then stops its children in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopWait
	if err := cmd.Start(); err != nil {
		return err
	}
	c.setPID(cmd.Process.Pid)
	c.changed()
	err = cmd.Wait()
	c.setPID(0)
	if ctx.Err() == nil {
		c.changed()
	}
	return err
}

// procs is how many cores a process of the federation uses: the gateway half, a node a quarter,
// since some ten processes share them. Go's scheduler keeps a second core awake in the hope of
// work, which there takes it from the process that has some: with two cores each, the nodes spent
// a tenth more time on a message at 128 in flight, and a fifth more at one. A gateway carries all
// connections; with one core it lost a sixth of the throughput at 512.
func procs(command string, cores int) int {
	if command == "gateway" {
		return min(cores, max(2, cores/2))
	}
	return max(1, cores/4)
}

// flagVariables begin the variables that stand for flags, see cmd/internal/cli.
const flagVariables = "STAFFETTA_"

// environment is a child's. What whoever started this process says of cores wins. Variables that
// stand for flags are meant for nodes and gateways of another kind of federation: a child has all
// that it is told on its command line.
func environment(own []string, procs int) (env []string) {
	told := false
	for _, v := range own {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, flagVariables) &&
			name != planted.Variable {
			continue
		}
		told = told || strings.HasPrefix(v, "GOMAXPROCS=")
		env = append(env, v)
	}
	if told {
		return env
	}
	return append(env, fmt.Sprintf("GOMAXPROCS=%d", procs))
}
