package seat

import (
	"context"
	"time"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// AbsentAfter is how long a region must have had no leader before a node answers of what it
	// has: longer than an election takes as a rule. It is what a gateway waits for a leader, too.
	AbsentAfter = wire.OwnerWait
	// freshPeriod is how often a node makes sure that it has what was acknowledged, freshWait how
	// long it waits to hear.
	freshPeriod = time.Second
	freshWait   = time.Second
)

// fresh says when this replica of the region surely had everything that was acknowledged.
type fresh struct {
	// contact is the beginning of the last round in which a majority confirmed what the replica
	// had to have. A process begins without: until it hears from a leader it does not know what is
	// committed of its log.
	contact *Contact
	began   time.Duration // uptime when the process did
}

// CatchUp returns when this replica of a group has everything that was acknowledged before the
// call.
func (s *Seat) CatchUp(ctx context.Context, name string) error {
	group := s.Group(name)
	if group.IsLeader() {
		return group.Read(ctx)
	}
	leader, ok := group.Leader()
	if !ok {
		return wire.Errorf(wire.NotReady, "the group has no leader")
	}
	var at wire.ReadIndex
	err := s.CallNode(ctx, leader, wire.MethodReadIndex, &wire.GroupRef{Group: name}, &at)
	if err != nil {
		return wire.Errorf(wire.NotReady, "the leader does not say how far it is: %s", err)
	}
	return group.WaitApplied(ctx, at.Index)
}

// KeepFresh notes, again and again, that this replica of the region has what was acknowledged,
// until ctx ends.
func (s *Seat) KeepFresh(ctx context.Context) error {
	if s.StaleFor == 0 {
		return nil
	}
	return Every(ctx, freshPeriod, func() error {
		round, cancel := context.WithTimeout(ctx, freshWait)
		defer cancel()
		began := s.Uptime()
		if s.CatchUp(round, RegionGroup(s.RegionID)) == nil {
			s.fresh.contact.Note(s.Uptime() - began)
		}
		return nil
	})
}

// asOf is a time before which everything that was acknowledged is in this replica. After a restart
// without a leader that is the time of the last entry that it applied.
func (s *Seat) asOf() wire.Time {
	applied, _, _ := s.Region.Clock()
	return earliest(s.Now(), applied, s.fresh.contact.Since())
}

// earliest is the time of a replica whose last entry is of a time, and that had everything so long
// ago; by a clock that was set back it is now at the latest.
func earliest(now, applied wire.Time, ago time.Duration) wire.Time {
	return min(now, max(applied, now.Add(-ago)))
}

// CheckStale says why this node does not answer reads of what it has.
func (s *Seat) CheckStale() error {
	if err := s.CheckServes(); err != nil {
		return err
	}
	f := standing{limit: s.StaleFor,
		silence: min(s.fresh.contact.Since(), s.Uptime()-s.fresh.began),
		age:     s.Now().Sub(s.asOf()), disputed: s.RegionGroup.Disputed()}
	f.leader, f.led = s.RegionGroup.Leader()
	members, err := s.RegionGroup.Members()
	here, mapped := s.Map().Node(s.ID)
	f.member = err == nil && votes(members, s.ID) && mapped && here.Region == s.RegionID
	return f.check()
}

// standing is how a replica of a region stands, as far as reads without a leader ask.
type standing struct {
	leader   wire.NodeID
	led      bool          // it knows a leader
	silence  time.Duration // since a majority was last heard of, or the process began
	age      time.Duration // of what it has
	limit    time.Duration // of age; 0: it never answers
	member   bool          // with a vote, and in the map
	disputed bool          // it differs from others
}

// check refuses. A replica that is merely behind does not answer, nor one of a region of which
// somebody may be the leader.
func (f *standing) check() error {
	switch {
	case f.led || f.limit == 0:
		return &wire.Error{Code: wire.NotLeader, Leader: f.leader}
	case f.silence < AbsentAfter:
		return wire.Errorf(wire.NotLeader, "the region may be electing a leader")
	case !f.member:
		return wire.Errorf(wire.NotReady, "the node is no full member of its region")
	case f.disputed:
		return wire.Errorf(wire.NotReady, "the node's replica differs from others")
	case f.age > f.limit:
		return wire.Errorf(wire.Unavailable, "the region has had no majority for %s",
			f.age.Round(time.Second))
	}
	return nil
}

func votes(members []consensus.Member, id wire.NodeID) bool {
	for _, m := range members {
		if m.Node == id {
			return m.Voter
		}
	}
	return false
}

// StaleRead answers MethodStaleRead. Nobody bears out this node's clock, by which a session has
// ended or not: it counts as far as it is not behind what was applied.
func (s *Seat) StaleRead(_ context.Context, _ link.Identity, q *wire.StaleRead) (*wire.StaleAnswer,
	error) {
	c := s.Table[q.Method]
	if c == nil || c.Applied == nil || !q.Method.Stale() {
		return nil, wire.Errorf(wire.Forbidden, "method %d is answered by a leader only", q.Method)
	}
	if own := s.Region.Incarnation(); own < q.Incarnation {
		return nil, wire.Errorf(wire.NotReady, "region %s is of incarnation %d, this node is of %d",
			s.RegionID, q.Incarnation, own)
	}
	a := &wire.StaleAnswer{AsOf: s.asOf()} // before what is read, which only becomes newer
	applied, _, _ := s.Region.Clock()
	body, err := c.Applied(q.Request, max(s.Now(), applied))
	a.Result.Body = body
	if err != nil {
		a.Result.Err = wire.AsError(err)
		if wire.Retriable(err) || a.Result.Err.Code == wire.Internal {
			return nil, err
		}
	}
	return a, nil
}
