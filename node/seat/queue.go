package seat

import (
	"context"
	"sync"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

const (
	// queueMax bounds the commands that wait; beyond it a caller gets Overloaded. At 512 a
	// batch it is eight entries' worth, well under a second of work.
	queueMax = 4096
	// queueBatchBytes closes a batch, so that an entry stays far below its cap.
	queueBatchBytes = 256 << 10
	// queueInFlight is how many batches may be proposed at once: one being fsynced, one on its
	// way. The next fills meanwhile, so that batches grow with the load and wait for nothing.
	queueInFlight = 2
)

// Proposer is the part of a consensus group that the queue needs.
type Proposer interface {
	Propose(ctx context.Context, data []byte) (any, error)
}

// stamper makes an entry of the present time.
type stamper func(ctx context.Context, kind wire.EntryKind, body []byte) ([]byte, error)

// Queue lets commands of one moment share one log entry. Its methods may be called concurrently.
type Queue struct {
	group Proposer
	stamp stamper
	slots chan struct{} // holds one token per batch in flight
	// Applied has room for one signal, given when a batch was applied. Nil: no notification.
	Applied chan struct{}
	// Active is the group's active version, which bounds the kinds of commands; nil: none does.
	Active func() uint32

	// Guarded by mu.
	mu      sync.Mutex
	waiting []*queued
	wake    chan struct{} // has room for one signal
}

type queued struct {
	command wire.Command
	done    chan struct{} // closed when result or err is set
	result  wire.Result
	err     error
}

// NewQueue makes a queue, which Run serves.
func NewQueue(group Proposer, stamp stamper) *Queue {
	return &Queue{group: group, stamp: stamp, slots: make(chan struct{}, queueInFlight),
		wake: make(chan struct{}, 1)}
}

// Run forms batches until ctx ends, and returns after the last one was answered.
func (q *Queue) Run(ctx context.Context) error {
	var batches sync.WaitGroup
	defer batches.Wait()
	for {
		select {
		case q.slots <- struct{}{}:
		case <-ctx.Done():
			q.refuse()
			return nil
		}
		batch := q.take()
		for len(batch) == 0 {
			select {
			case <-q.wake:
				batch = q.take()
			case <-ctx.Done():
				q.refuse()
				return nil
			}
		}
		batches.Go(func() {
			q.propose(ctx, batch)
			<-q.slots
		})
	}
}

// take removes the next batch from the waiting commands.
func (q *Queue) take() []*queued {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.waiting) && n < wire.CommandsMax {
		if size += len(q.waiting[n].command.Body) + 16; n > 0 && size > queueBatchBytes {
			break
		}
		n++
	}
	batch := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	if len(q.waiting) > 0 {
		q.signal()
	}
	return batch
}

func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// refuse answers everything that waits when the node stops.
func (q *Queue) refuse() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range q.waiting {
		w.err = wire.Errorf(wire.Unavailable, "the node is stopping")
		close(w.done)
	}
	q.waiting = nil
}

func (q *Queue) propose(ctx context.Context, batch []*queued) {
	commands := wire.Commands{List: make([]wire.Command, len(batch))}
	for i, w := range batch {
		commands.List[i] = w.command
	}
	var answer any
	entry, err := q.stamp(ctx, wire.CommandsEntry, wire.Encode(&commands))
	if err == nil {
		answer, err = q.group.Propose(ctx, entry)
	}
	results, ok := answer.(*wire.Results)
	if err == nil && (!ok || len(results.List) != len(batch)) {
		err = wire.Errorf(wire.Internal, "entry applied with the wrong results")
	}
	if err == nil {
		select {
		case q.Applied <- struct{}{}:
		default:
		}
	}
	for i, w := range batch {
		if w.err = err; err == nil {
			w.result = results.List[i]
		}
		close(w.done)
	}
}

// Submit proposes commands and returns their results in order, once all are applied. An error is
// the proposal's: NotReady for a kind above the group's active version, OutcomeUnknown when ctx
// ends after the commands were taken.
func (q *Queue) Submit(ctx context.Context, commands []wire.Command) ([]wire.Result, error) {
	if rehearsing(ctx) {
		return nil, errRehearsed
	}
	if q.Active != nil {
		if err := Gate(commands, q.Active()); err != nil {
			return nil, err
		}
	}
	waits := make([]*queued, len(commands))
	for i, c := range commands {
		if len(c.Body) > wire.CommandBytesMax {
			return nil, wire.Errorf(wire.TooLarge, "command of %d bytes", len(c.Body))
		}
		waits[i] = &queued{command: c, done: make(chan struct{})}
	}
	q.mu.Lock()
	if len(q.waiting)+len(waits) > queueMax {
		q.mu.Unlock()
		return nil, wire.Errorf(wire.Overloaded, "%d commands wait", queueMax)
	}
	q.waiting = append(q.waiting, waits...)
	q.signal()
	q.mu.Unlock()

	results := make([]wire.Result, len(commands))
	for i, w := range waits {
		select {
		case <-w.done:
		case <-ctx.Done():
			return nil, wire.Errorf(wire.OutcomeUnknown, "the caller's time ended")
		}
		if w.err != nil {
			return nil, w.err
		}
		results[i] = w.result
	}
	return results, nil
}

// Do proposes one command and returns what applying it gave: resp is filled, or the error says
// why nothing changed.
func (q *Queue) Do(ctx context.Context, kind wire.CommandKind, m, resp codec.Message) error {
	results, err := q.Submit(ctx, []wire.Command{{Kind: kind, Body: wire.Encode(m)}})
	switch {
	case err != nil:
		return err
	case results[0].Err != nil:
		return results[0].Err
	case resp == nil:
		return nil
	}
	return wire.Decode(results[0].Body, resp)
}
