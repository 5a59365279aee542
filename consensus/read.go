package consensus

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
)

// readsMax bounds the reads that share one round of leadership checks.
const readsMax = 1 << 14

// read is one caller that waits for a confirmed index.
type read struct{ done chan confirmed }

type confirmed struct {
	index uint64
	err   error
}

// Read returns when the local state holds everything that was acknowledged before the call, and
// this node was the leader after the call began: what is read from the state then is
// linearizable. Reads that wait together share one round of messages to the followers.
//
// Errors: NotLeader with a hint; Unavailable when no majority answers or ctx is over; NotReady.
func (g *Group) Read(ctx context.Context) error {
	index, err := g.ReadIndex(ctx)
	if err != nil {
		return err
	}
	return g.WaitApplied(ctx, index)
}

// ReadIndex answers, on the leader, an index that is at least that of everything acknowledged
// before the call. A follower whose state has applied it (WaitApplied) may answer the read.
func (g *Group) ReadIndex(ctx context.Context) (uint64, error) {
	if err := g.running(); err != nil {
		return 0, err
	}
	if g.raft.State() != raft.Leader {
		return 0, g.notLeader()
	}
	r := &read{done: make(chan confirmed, 1)}
	select {
	case g.reads <- r:
	case <-ctx.Done():
		return 0, wire.Errorf(wire.Unavailable, "the caller stopped waiting")
	case <-g.ended:
		return 0, wire.Errorf(wire.NotReady, "the node is stopping")
	}
	select {
	case c := <-r.done:
		return c.index, c.err
	case <-ctx.Done():
		return 0, wire.Errorf(wire.Unavailable, "leadership was not confirmed in time")
	case <-g.ended:
		return 0, wire.Errorf(wire.NotReady, "the node is stopping")
	}
}

// WaitApplied returns when the local state has applied the entry that ReadIndex named.
func (g *Group) WaitApplied(ctx context.Context, index uint64) error {
	if err := g.running(); err != nil {
		return err
	}
	return g.fsm.wait(ctx, index, g.ended)
}

// serveReads answers reads in rounds. Those that come during a round wait for the next: the
// round may have begun before what they must see.
func (g *Group) serveReads() {
	var batch []*read
	for {
		select {
		case r := <-g.reads:
			batch = append(batch[:0], r)
		case <-g.ended:
			return
		}
	gather:
		for len(batch) < readsMax {
			select {
			case r := <-g.reads:
				batch = append(batch, r)
			default:
				break gather
			}
		}
		g.stats.readRound(len(batch))
		index, err := g.confirm()
		for i, r := range batch {
			r.done <- confirmed{index, err}
			batch[i] = nil
		}
	}
}

// confirm answers the index up to which the state must have applied for a read that began before
// the call:
//
//  1. An entry of this leader's own term must be committed, else its commit index may lag behind
//     that of its predecessor. The library begins every term with a no-op; waiting for that one
//     costs the log nothing, where a barrier per term would be an entry that the state never
//     sees and a snapshot could not name.
//  2. The commit index is taken.
//  3. A majority confirms that there is no newer leader, in answer to messages sent after 2. The
//     library counts every answer that comes after 2: one that was under way for long, or lay
//     in the socket of a process that was stopped, may be from before the newer leader's time.
//  4. The term is still the same.
func (g *Group) confirm() (uint64, error) {
	term := g.raft.CurrentTerm()
	begin, err := g.awaitTerm(term)
	if err != nil {
		return 0, err
	}
	index, sent := g.raft.CommitIndex(), g.peers.sent.Load()
	if err := await(g.raft.VerifyLeader(), g.ended, g.config.guards); err != nil {
		return 0, g.readError(err)
	}
	if err := g.awaitMajority(term, sent); err != nil {
		return 0, err
	}
	if g.raft.CurrentTerm() != term {
		return 0, g.notLeader()
	}
	// Behind the no-op there are only entries that the state sees.
	if index > begin.index {
		return index, nil
	}
	return begin.visible, nil
}

// termPoll is how often a new leader looks whether its first entry is committed.
const termPoll = 2 * time.Millisecond

// awaitTerm returns when the no-op of term is committed.
func (g *Group) awaitTerm(term uint64) (noop, error) {
	var poll *time.Ticker
	for {
		begin, ok := g.log.beginning(term)
		if ok && g.raft.CommitIndex() >= begin.index {
			return begin, nil
		}
		if g.raft.State() != raft.Leader || g.raft.CurrentTerm() != term {
			return noop{}, g.notLeader()
		}
		if poll == nil {
			poll = time.NewTicker(termPoll)
			defer poll.Stop()
		}
		select {
		case <-poll.C:
		case <-g.ended:
			return noop{}, wire.Errorf(wire.NotReady, "the node is stopping")
		}
	}
}

// leadPoll is how often a leader that waits for its followers looks whether it still is one.
const leadPoll = 20 * time.Millisecond

// awaitMajority returns when a majority agreed to messages sent after the first sent. VerifyLeader
// has every follower sent one at once.
func (g *Group) awaitMajority(term, sent uint64) error {
	if !g.config.guards.on(guardFreshAnswers) {
		return nil
	}
	var poll *time.Ticker
	for !g.peers.confirmed(term, sent) {
		if g.raft.State() != raft.Leader || g.raft.CurrentTerm() != term {
			return g.notLeader()
		}
		if poll == nil {
			poll = time.NewTicker(leadPoll)
			defer poll.Stop()
		}
		select {
		case <-g.peers.news:
		case <-poll.C:
		case <-g.ended:
			return wire.Errorf(wire.NotReady, "the node is stopping")
		}
	}
	return nil
}

func (g *Group) readError(err error) error {
	switch err {
	case raft.ErrNotLeader, raft.ErrLeadershipLost:
		return g.notLeader()
	case raft.ErrRaftShutdown:
		return wire.Errorf(wire.NotReady, "the node is stopping")
	}
	return wire.Errorf(wire.Unavailable, "leadership was not confirmed")
}
