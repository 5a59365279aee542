package consensus

import (
	"sync"

	"github.com/hashicorp/raft"
)

// drained is a pipeline whose answers are always taken. The library stops taking them at the
// first refusal, while it may still be sending: its send then waits for ever for the answers to
// be taken, and the follower gets nothing until the leader restarts (hashicorp/raft#612).
type drained struct {
	raft.AppendPipeline
	answers chan raft.AppendFuture
	closed  chan struct{}
	once    sync.Once
}

// drainedMax is more answers than the library can await at once; with so many in hand, nobody
// is taking them.
const drainedMax = 1024

func newDrained(p raft.AppendPipeline) *drained {
	d := &drained{AppendPipeline: p, answers: make(chan raft.AppendFuture, drainedMax),
		closed: make(chan struct{})}
	go d.drain()
	return d
}

func (d *drained) drain() {
	for {
		select {
		case f := <-d.AppendPipeline.Consumer():
			select {
			case d.answers <- f:
			default:
			}
		case <-d.closed:
			return
		}
	}
}

// Consumer answers what was taken.
func (d *drained) Consumer() <-chan raft.AppendFuture { return d.answers }

// Close ends the pipeline.
func (d *drained) Close() error {
	d.once.Do(func() { close(d.closed) })
	return d.AppendPipeline.Close()
}
