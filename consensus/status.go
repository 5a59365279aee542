package consensus

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
)

// Status is what a replica tells about itself, as the node's /status shows it.
type Status struct {
	Group        string      `json:"group"`
	Role         string      `json:"role"` // leader, follower, nonvoter, candidate
	Leader       wire.NodeID `json:"leader"`
	Term         uint64      `json:"term"`
	LastIndex    uint64      `json:"last_index"`
	CommitIndex  uint64      `json:"commit_index"`
	AppliedIndex uint64      `json:"applied_index"`
	LogBytes     int64       `json:"log_bytes"`
	// Digest is the state's at DigestIndex, in hexadecimal.
	Digest      string `json:"digest"`
	DigestIndex uint64 `json:"digest_index"`
	// LastContact is how long ago the leader was heard; 0 on the leader, -1 for never.
	LastContact time.Duration `json:"last_contact"`
}

// Status may be called at any time.
func (g *Group) Status() Status {
	leader, _ := g.Leader()
	index, sum := g.config.State.Digest()
	s := Status{
		Group: g.config.Group, Role: g.role(), Leader: leader, Term: g.raft.CurrentTerm(),
		LastIndex: g.raft.LastIndex(), CommitIndex: g.raft.CommitIndex(),
		AppliedIndex: g.fsm.index.Load(), LogBytes: g.stores.bytes(),
		Digest: hex.EncodeToString(sum[:]), DigestIndex: index,
	}
	if s.Role != "leader" {
		s.LastContact = g.LastContact()
	}
	return s
}

// LastContact is how long ago this replica heard from a leader other than itself, the time in which
// the machine was suspended included; -1 for never.
func (g *Group) LastContact() time.Duration {
	at := g.raft.LastContact()
	if at.IsZero() {
		return -1
	}
	return time.Since(at) + g.heard.slept(at, g.config.Uptime()-time.Since(g.opened))
}

func (g *Group) role() string {
	switch g.raft.State() {
	case raft.Leader:
		return "leader"
	case raft.Candidate:
		return "candidate"
	}
	members, _ := g.Members()
	for _, m := range members {
		if m.Node == g.config.Self && m.Voter {
			return "follower"
		}
	}
	return "nonvoter"
}

// readyLag is how many committed entries a replica may have to apply and still be ready.
const readyLag = 1000

// Ready answers nil when this replica can do its job now, else why not.
func (g *Group) Ready() error {
	if err := g.failureNow(); err != nil {
		return err
	}
	if g.ending.Load() {
		return errors.New("stopping")
	}
	members, err := g.Members()
	if err != nil || !names(members, g.config.Self) {
		return errors.New("not a member of the group yet")
	}
	if _, ok := g.Leader(); !ok {
		return errors.New("no leader")
	}
	if g.IsLeader() {
		begin, ok := g.log.beginning(g.raft.CurrentTerm())
		if !ok || g.raft.CommitIndex() < begin.index {
			return errors.New("leads, but no majority follows yet")
		}
		if g.clockOff() {
			return ErrClock
		}
	} else if silent := time.Since(g.raft.LastContact()); silent > 3*g.config.Timing.Heartbeat {
		return fmt.Errorf("no contact with the leader for %s", silent.Round(time.Second))
	}
	if commit, applied := g.raft.CommitIndex(), g.fsm.index.Load(); commit > applied+readyLag {
		return fmt.Errorf("%d committed entries are to be applied", commit-applied)
	}
	return nil
}

// Snapshot flushes the state and truncates the log behind it, now and not when due.
func (g *Group) Snapshot(ctx context.Context) error {
	if err := g.running(); err != nil {
		return err
	}
	err := g.bounded(ctx, func() error {
		return await(g.raft.Snapshot(), g.ended, g.config.guards)
	})
	if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}
