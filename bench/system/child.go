package system

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// stopMax is how long a process has to stop cleanly before it is killed.
const stopMax = 30 * time.Second

// child is a process of ours. It dies with us, however we end.
type child struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // set before done is closed
}

// command says what a child runs.
type command struct {
	name string
	log  string // file that takes what it prints
	dir  string // where it runs; empty is here
	args []string
	user *syscall.Credential // nil is ours
	env  []string            // beside ours
}

// start starts the process.
func (c command) start() (*child, error) {
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p := &child{name: c.name, log: c.log, cmd: exec.Command(c.args[0], c.args[1:]...),
		done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = log, log, c.dir
	p.cmd.Env = append(os.Environ(), c.env...)
	// In a group of its own: an interrupt from the terminal is for us, who stop children in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL,
		Credential: c.user}
	started := make(chan error)
	go func() {
		// Pdeathsig is sent when the thread that started the child ends: it has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer log.Close()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	return p, nil
}

// run runs the command to its end.
func (c command) run() error {
	p, err := c.start()
	if err != nil {
		return err
	}
	<-p.done
	if p.err != nil {
		return fmt.Errorf("%s: %w: %s", c.name, p.err, p.lastWords())
	}
	return nil
}

func (p *child) pid() int { return p.cmd.Process.Pid }

// ended is an error once the process has ended, which nobody asked for.
func (p *child) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended: %v: %s", p.name, p.err, p.lastWords())
	default:
		return nil
	}
}

// stop asks the process to end by a signal, kills it when it does not, and returns when it has
// ended. The error says that it had ended before, or had to be killed.
func (p *child) stop(signal os.Signal) error {
	if err := p.ended(); err != nil {
		return err
	}
	p.cmd.Process.Signal(signal)
	timer := time.NewTimer(stopMax)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("%s did not stop within %v and was killed", p.name, stopMax)
	}
}

// lastWords is the end of what the process printed.
func (p *child) lastWords() string {
	const size = 600
	f, err := os.Open(p.log)
	if err != nil {
		return ""
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		f.Seek(max(0, end-size), io.SeekStart)
	}
	b, _ := io.ReadAll(io.LimitReader(f, size))
	return string(b)
}

// children are the processes of a system.
type children []*child

func (c children) ended() error {
	var all error
	for _, p := range c {
		all = errors.Join(all, p.ended())
	}
	return all
}

// stop stops all at once.
func (c children) stop(signal os.Signal) error {
	errs := make(chan error, len(c))
	for _, p := range c {
		go func() { errs <- p.stop(signal) }()
	}
	var all error
	for range c {
		all = errors.Join(all, <-errs)
	}
	return all
}

// servers are all of them as replicas.
func (c children) servers() []Server {
	var all []Server
	for _, p := range c {
		all = append(all, Server{Name: p.name, PID: p.pid(), Replica: true})
	}
	return all
}
