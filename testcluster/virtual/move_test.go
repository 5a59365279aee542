package virtual

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// order asks for a move by the citizen's session, as the old owner's gateway does.
func (s *scene) order(t *testing.T, c fiscalcode.Code, from, to wire.RegionID) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wire.OwnerWait)
	defer cancel()
	return s.CallRegion(ctx, from, wire.MethodMove, &wire.MoveIntent{Token: Token(c), To: to},
		new(wire.Move))
}

// mustOrder orders until it is logged.
func (s *scene) mustOrder(t *testing.T, c fiscalcode.Code, from, to wire.RegionID) {
	t.Helper()
	s.Await("the move is ordered", func() bool {
		err := s.order(t, c, from, to)
		if err != nil && !wire.Retriable(err) {
			t.Fatalf("move from %s to %s: %v", from, to, err)
		}
		return err == nil
	})
}

// progress of a move, as the replicas that are up show it. Each contains the ones before.
const (
	ordered   = iota // the old owner's log has the intent
	announced        // the directory has the move
	fenced           // the old owner has given the code up
	arrived          // the new owner has everything
	told             // the directory knows the new owner
	done             // and so does the old one
	stages
)

// stage is how far the move of r out of a region is, for epoch.
func (s *scene) stage(r wire.Recipient, from, to wire.RegionID, epoch wire.Epoch) int {
	at := -1
	for _, n := range s.Nodes("") {
		if !n.Running() {
			continue
		}
		own, _, err := n.Node.Region().Ownership(r)
		if err != nil {
			continue
		}
		m, err := n.Node.Region().Move(wire.MoveRef{Recipient: r}, 0)
		moving := err == nil && m.State != wire.MoveNone && m.Epoch == epoch
		e, _ := n.Node.Federation().Directory(r)
		switch {
		case n.Region == from && !moving && own.State == wire.Released && own.Epoch == epoch:
			at = max(at, done)
		case e.Region == to && e.Epoch == epoch:
			at = max(at, told)
		case n.Region == to && own.State == wire.Owned && own.Epoch == epoch:
			at = max(at, arrived)
		case n.Region == from && moving && m.State == wire.MoveFenced:
			at = max(at, fenced)
		case e.State == wire.Moving && e.Epoch+1 == epoch:
			at = max(at, announced)
		case n.Region == from && moving:
			at = max(at, ordered)
		}
	}
	return at
}

// awaitMoved waits until every replica knows that the move is over.
func (s *scene) awaitMoved(c fiscalcode.Code, from, to wire.RegionID, epoch wire.Epoch) {
	r := s.Hasher().Recipient(c)
	s.Await("the citizen has moved", func() bool {
		for _, n := range s.Nodes("") {
			if !n.Running() {
				continue
			}
			own, _, err := n.Node.Region().Ownership(r)
			left, _ := n.Node.Region().Moves(1)
			e, _ := n.Node.Federation().Directory(r)
			switch {
			case err != nil || len(left) > 0 || e.Region != to || e.Epoch != epoch ||
				e.State != wire.Claimed || !e.Active:
				return false
			case n.Region == to && own != wire.Ownership{State: wire.Owned, Epoch: epoch}:
				return false
			case n.Region == from && own !=
				wire.Ownership{State: wire.Released, Epoch: epoch, Region: to}:
				return false
			}
		}
		return true
	})
}

// TestMoveUnderLoad moves a citizen back and forth while two gateways, at home in both regions,
// send: each message ends in one inbox, and nobody is told to come again.
func TestMoveUnderLoad(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		c := s.citizens[0]
		other := s.World.Gateway("sicilia")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan int, 2)
		for _, g := range []*Gateway{s.Gateway, other} {
			go func() {
				sent := 0
				for ; ctx.Err() == nil; sent++ {
					err := g.Send(ctx, &s.h, c)
					if err != nil && ctx.Err() == nil {
						t.Errorf("a message to who is moving: %v", err)
					}
					time.Sleep(3 * time.Millisecond)
				}
				ended <- sent
			}()
		}
		stop := s.load(t, 2, other)
		at := []wire.RegionID{"lazio", "sicilia"}
		for i := range 4 {
			s.progress(t, 20)
			from, to := at[i%2], at[(i+1)%2]
			s.mustOrder(t, c, from, to)
			s.awaitMoved(c, from, to, wire.Epoch(2+i))
			// The session came along, and its token leads there from where it was.
			var p wire.Profile
			err := s.CallRegion(ctx, to, wire.MethodGetProfile,
				&wire.SessionRef{Token: Token(c)}, &p)
			if err != nil || p.FiscalCode != c {
				t.Errorf("the profile after move %d: %v", i, err)
			}
			err = s.CallRegion(ctx, from, wire.MethodGetProfile,
				&wire.SessionRef{Token: Token(c)}, &p)
			if e := wire.AsError(err); err == nil || e.Code != wire.Moved || e.Region != to {
				t.Errorf("the old owner says %v, want moved to %s", err, to)
			}
		}
		s.progress(t, 20)
		cancel()
		if a, b := <-ended, <-ended; a < 20 || b < 20 {
			t.Errorf("%d and %d messages were sent: the test is wrong", a, b)
		}
		stop()
	})
}

// TestMoveSurvivesCrashes kills the leader of either side at each step of a move. Whoever leads
// then goes on from there, under load.
func TestMoveSurvivesCrashes(t *testing.T) {
	long(t)
	inScene(t, func(t *testing.T, s *scene) {
		c := s.citizens[0]
		r := s.Hasher().Recipient(c)
		stop := s.load(t, 2, s.Gateway)
		at := []wire.RegionID{"lazio", "sicilia"}
		epoch := wire.Epoch(1)
		for k := range stages {
			for side := range 2 {
				from, to := at[epoch%2^1], at[epoch%2]
				epoch++
				victim := s.Leader([]wire.RegionID{from, to}[side])
				s.mustOrder(t, c, from, to)
				for s.stage(r, from, to, epoch) < k {
					time.Sleep(200 * time.Microsecond)
				}
				victim.Crash()
				s.Await("the move ends", func() bool {
					return s.stage(r, from, to, epoch) == done
				})
				victim.Start()
				s.AwaitReady()
				s.awaitMoved(c, from, to, epoch)
				if err := s.Send(t.Context(), &s.h, c); err != nil {
					t.Errorf("after step %d, side %d: %v", k, side, err)
				}
			}
		}
		stop()
	})
}

// abort asks for the end of a move, as an operator does.
func (s *scene) abort(c fiscalcode.Code, region wire.RegionID) (m wire.Move, err error) {
	s.Await("the abort is answered", func() bool {
		var nodes []wire.NodeID
		for _, n := range s.Nodes(region) {
			nodes = append(nodes, n.ID)
		}
		m = wire.Move{}
		err = s.operate("region/"+string(region), nodes, wire.MethodAbortMove,
			&wire.MoveRef{Recipient: s.Hasher().Recipient(c)}, &m)
		return err == nil || !wire.Retriable(err)
	})
	return m, err
}

// TestMoveToIsland orders a move to a region that is cut off. The citizen stays, and is served;
// the move can be aborted, or waits.
func TestMoveToIsland(t *testing.T) {
	long(t)
	inScene(t, func(t *testing.T, s *scene) {
		stays, waits := s.citizens[0], s.citizens[1]
		s.Island("sicilia")
		s.Leader("lazio")
		s.Await("lazio serves", func() bool { return s.Send(t.Context(), &s.h, stays) == nil })
		s.mustOrder(t, stays, "lazio", "sicilia")
		s.mustOrder(t, waits, "lazio", "sicilia")
		time.Sleep(30 * time.Second)
		for _, c := range []fiscalcode.Code{stays, waits} {
			if err := s.Send(t.Context(), &s.h, c); err != nil {
				t.Errorf("while the new region is away: %v", err)
			}
		}
		if _, err := s.abort(stays, "lazio"); err != nil {
			t.Fatal(err)
		}
		s.Await("the move is over", func() bool {
			m, err := s.Leader("lazio").Node.Region().Move(wire.MoveRef{
				Recipient: s.Hasher().Recipient(stays)}, 0)
			return err == nil && m.State == wire.MoveNone && m.Epoch == 3
		})
		if _, err := s.abort(stays, "lazio"); !errors.Is(err, wire.Conflict) {
			t.Errorf("nothing to abort: %v", err)
		}
		s.Mend()
		s.awaitMoved(waits, "lazio", "sicilia", 2)
		for _, c := range []fiscalcode.Code{stays, waits} {
			if err := s.Send(t.Context(), &s.h, c); err != nil {
				t.Errorf("after the island: %v", err)
			}
		}
	})
}

// TestAbortBehindTheFence cuts the new owner off once the old one has given the code up. Until the
// new one is back nobody can abort: it may have the code.
func TestAbortBehindTheFence(t *testing.T) {
	long(t)
	inScene(t, func(t *testing.T, s *scene) {
		for i, when := range []int{fenced, arrived} {
			c := s.citizens[i]
			r := s.Hasher().Recipient(c)
			s.mustOrder(t, c, "lazio", "sicilia")
			s.catch(t, "it is fenced", func() bool {
				return s.stage(r, "lazio", "sicilia", 2) >= fenced
			})
			for _, n := range s.Nodes("sicilia") {
				if when == fenced {
					n.Isolate()
				}
				for _, to := range s.Nodes("lazio") { // what it gets it cannot acknowledge
					s.Deafen(n, to)
				}
			}
			time.Sleep(10 * time.Second)
			if at := s.stage(r, "lazio", "sicilia", 2); at != when {
				t.Fatalf("the move is at step %d, want %d: the test is wrong", at, when)
			}
			for range 3 { // sealed for the new owner, whoever that will be
				if err := s.Send(t.Context(), &s.h, c); err != nil {
					t.Errorf("behind the fence, the new owner away: %v", err)
				}
			}
			if m, err := s.abort(c, "lazio"); err != nil || !m.Aborting {
				t.Fatalf("abort: %+v, %v", m, err)
			}
			time.Sleep(20 * time.Second)
			if own, _, _ := s.Leader("lazio").Node.Region().Ownership(r); own.State !=
				wire.Released {
				t.Errorf("the fence was lifted without the new owner's word: %+v", own)
			}
			s.Mend()
			s.AwaitReady()
			s.Await("it is decided", func() bool {
				m, err := s.Leader("lazio").Node.Region().Move(wire.MoveRef{Recipient: r}, 0)
				return err != nil || m.State == wire.MoveNone
			})
			owners := 0
			for _, region := range []wire.RegionID{"lazio", "sicilia"} {
				own, _, _ := s.Leader(region).Node.Region().Ownership(r)
				if own.State == wire.Owned {
					owners++
				}
			}
			if owners != 1 {
				t.Errorf("%d regions own the code, want 1", owners)
			}
			if err := s.Send(t.Context(), &s.h, c); err != nil {
				t.Errorf("after the abort: %v", err)
			}
		}
	})
}

// TestKeysMoveAlong: the same idempotency key meets the first verdict, wherever it was given.
func TestKeysMoveAlong(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		c := s.citizens[0]
		var first [3]wire.Outcome
		for i := range first {
			var err error
			if first[i], err = s.keyed(t, c, fmt.Sprint("key ", i)); err != nil {
				t.Fatal(err)
			}
			from, to := wire.RegionID("lazio"), wire.RegionID("sicilia")
			if i%2 == 1 {
				from, to = to, from
			}
			s.mustOrder(t, c, from, to)
			s.awaitMoved(c, from, to, wire.Epoch(2+i))
			for j := range i + 1 {
				again, err := s.keyed(t, c, fmt.Sprint("key ", j))
				if err != nil || again != first[j] {
					t.Errorf("key %d after move %d: %+v, %v; want %+v", j, i, again, err, first[j])
				}
			}
		}
	})
}

// TestNobodyPlantsCitizens: a region takes a citizen from another one only when the directory says
// that the two agreed, whatever a node of the other says.
func TestNobodyPlantsCitizens(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		mine, theirs := s.citizens[0], s.citizens[3] // of lazio and of sicilia
		nobody := s.citizens[len(s.citizens)-1]
		var nodes []wire.NodeID
		for _, n := range s.Nodes("lazio") {
			nodes = append(nodes, n.ID)
		}
		call := func(m wire.Method, req codec.Message) error {
			return s.callAs(link.Identity{Federation: federationName, Role: link.RoleNode,
				Region: "sicilia", Name: "sicilia-1"}, 3*time.Second, "region/lazio", nodes, m,
				req, nil)
		}
		for _, c := range []fiscalcode.Code{mine, theirs, nobody} {
			r := s.Hasher().Recipient(c)
			for epoch := range wire.Epoch(4) {
				before, _, _ := s.Leader("lazio").Node.Region().Ownership(r)
				page := &wire.MovePage{Recipient: r, Epoch: epoch, From: "sicilia", Last: true}
				err := call(wire.MethodMovePage, page)
				after, _, _ := s.Leader("lazio").Node.Region().Ownership(r)
				if after != before {
					t.Errorf("a page of epoch %d: %v; it made %+v of %+v", epoch, err, after, before)
				}
				if c != theirs || epoch > 2 {
					step := &wire.MoveStep{Recipient: r, Epoch: epoch + 2, Region: "sicilia"}
					err = call(wire.MethodMoveRefuse, step)
					p, _ := s.Leader("lazio").Node.Region().MoveProgress(r, epoch+2)
					if !p.Owned && (err == nil || p.Refused) {
						t.Errorf("a refusal of epoch %d: %v; the region says %+v", epoch+2, err, p)
					}
				}
				page.From = "lazio"
				if err := call(wire.MethodMovePage, page); !errors.Is(err, wire.Forbidden) {
					t.Errorf("in another region's name: %v, want forbidden", err)
				}
			}
		}
		err := call(wire.MethodMove, &wire.MoveIntent{Recipient: s.Hasher().Recipient(mine),
			To: "sicilia"})
		if !errors.Is(err, wire.Forbidden) {
			t.Errorf("a node orders a move: %v, want forbidden", err)
		}
		err = s.CallRegion(t.Context(), "lazio", wire.MethodMove,
			&wire.MoveIntent{Recipient: s.Hasher().Recipient(mine), To: "sicilia"}, nil)
		if !errors.Is(err, wire.Forbidden) {
			t.Errorf("a gateway orders a move without a session: %v, want forbidden", err)
		}
		if err := s.order(t, mine, "lazio", "umbria"); !errors.Is(err, wire.NotFound) {
			t.Errorf("to no region: %v, want not found", err)
		}
	})
}
