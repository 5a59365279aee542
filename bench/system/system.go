package system

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/staffetta/staffetta/bench/measure"
	"github.com/staffetta/staffetta/internal/fiscalcode"
)

// System is one system under test. Its methods are called one at a time.
type System interface {
	// Start starts its processes, with all their files below dir, and returns when they serve
	// with all replicas.
	Start(ctx context.Context, dir string) error
	// Servers are its processes; what they start is theirs.
	Servers() []Server
	// Check verifies that a majority is asked and fsync is on, as the system itself tells. The
	// facts are for the report.
	Check(ctx context.Context) (map[string]string, error)
	// Steps are what it is to be driven with, the single-message ones at these concurrencies.
	Steps(concurrency []int) []Step
	// Drive offers load for a time or a number of messages. The error is the first request's
	// that was not acknowledged.
	Drive(ctx context.Context, step Step, load Load) (*measure.Tally, error)
	// Stored is how many messages every replica holds, once they agree; 0 before.
	Stored(ctx context.Context) (int64, error)
	// Stop ends its processes, and returns when they have ended.
	Stop() error
}

// SyncCounter is a System that counts the fsyncs of its replicas' logs.
type SyncCounter interface {
	Syncs(ctx context.Context) (int64, error)
}

// Server is one process.
type Server struct {
	Name    string
	PID     int
	Replica bool // holds a copy of every message
}

// Mode is a way to send messages.
type Mode string

const (
	// Single sends one message a request, and waits for its acknowledgement.
	Single Mode = "single"
	// Keyed does so with an idempotency key: the system looks for an earlier message of the key.
	Keyed Mode = "keyed"
	// Batched is what the system has for many messages at once.
	Batched Mode = "batched"
)

// Step is one load.
type Step struct {
	Name    string `json:"name"`
	Mode    Mode   `json:"mode"`
	Workers int    `json:"workers"`
	// Batch is the number of messages in a request, Window of requests under way a worker.
	Batch  int `json:"batch"`
	Window int `json:"window"`
}

// Load is how much of a step is offered.
type Load struct {
	Duration time.Duration
	Count    int64
	Seed     uint64 // of the messages
}

// Env is what systems are made with.
type Env struct {
	// Self is the program that serves NATS and etcd, see Serve.
	Self string
	// Staffetta is the binary of the product.
	Staffetta string
	// Codes are recipients; Staffetta has its own, as many.
	Codes []fiscalcode.Code
	// Workers is the highest concurrency of all steps.
	Workers int
	// Procs is the GOMAXPROCS of NATS' and etcd's servers. 0: as they come.
	Procs int
}

// goEnv is what a Go server finds in its environment.
func (e *Env) goEnv() []string {
	if e.Procs == 0 {
		return nil
	}
	return []string{"GOMAXPROCS=" + strconv.Itoa(e.Procs)}
}

// ErrNotInstalled says that a system is not on this machine.
var ErrNotInstalled = errors.New("not installed")

// Names are the systems, in the order of tables.
func Names() []string { return []string{"staffetta", "nats", "etcd", "postgres"} }

// New returns a system that has not been started.
func New(name string, env Env) (System, error) {
	switch name {
	case "staffetta":
		return &staffetta{env: env}, nil
	case "nats":
		return &natsSystem{env: env}, nil
	case "etcd":
		return &etcdSystem{env: env}, nil
	case "postgres":
		return newPostgres(env)
	}
	return nil, fmt.Errorf("no system %q", name)
}

// ServeCommand is the hidden argument that makes the program a server: ServeCommand NAME FILE.
const ServeCommand = "serve-peer"

// Serve runs a server of a system, as its configuration file says, until ctx ends.
func Serve(ctx context.Context, name, file string) error {
	switch name {
	case "nats":
		return serveNATS(ctx, file)
	case "etcd":
		return serveEtcd(ctx, file)
	}
	return fmt.Errorf("no server of %q in this program", name)
}

// singleSteps are the steps that every system has: one message a request.
func singleSteps(concurrency []int) []Step {
	var steps []Step
	for _, n := range concurrency {
		steps = append(steps, Step{Name: fmt.Sprintf("single %d", n), Mode: Single, Workers: n,
			Batch: 1, Window: 1})
	}
	n := KeyedConcurrency(concurrency)
	return append(steps, Step{Name: fmt.Sprintf("keyed %d", n), Mode: Keyed, Workers: n, Batch: 1,
		Window: 1})
}

// KeyedConcurrency is the concurrency at which keys are tried: 128, or else the highest.
func KeyedConcurrency(concurrency []int) int {
	highest := 1
	for _, n := range concurrency {
		if highest = max(highest, n); n == 128 {
			return n
		}
	}
	return highest
}

// batched is a step of a batched mode, named by what it does.
func batched(name string, workers, batch, window int) Step {
	return Step{Name: fmt.Sprintf("%s %d×%d", name, workers, batch*window), Mode: Batched,
		Workers: workers, Batch: batch, Window: window}
}

// answerMax bounds the wait for one acknowledgement.
const answerMax = 15 * time.Second

// loop is the load of a step for a system that is driven by package measure.
func (s *Step) loop(load Load, codes []fiscalcode.Code) *measure.Loop {
	return &measure.Loop{Workers: s.Workers, Window: s.Window, Batch: s.Batch,
		Duration: load.Duration, Count: load.Count,
		Bodies: measure.NewBodies(load.Seed, load.Count, codes)}
}

// await calls ready until it is true, ctx ends, or readyMax has passed.
func await(ctx context.Context, what string, ready func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, readyMax)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	var last error
	for {
		attempt, done := context.WithTimeout(ctx, attemptMax)
		ok, err := ready(attempt)
		done()
		if ok {
			return nil
		}
		if err != nil {
			last = err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w (last: %v)", what, ctx.Err(), last)
		}
	}
}

const (
	// readyMax bounds the start of a system.
	readyMax = 90 * time.Second
	// attemptMax bounds a question to a system that may be about to be ready: some of those
	// that come too early are never answered.
	attemptMax = 5 * time.Second
)
