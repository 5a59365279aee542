package virtual

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// settler is a citizen of lazio with messages for more than one page of a move.
func (s *scene) settler(t *testing.T, seed uint64) fiscalcode.Code {
	c := synthetic.NewCitizens(seed).Next().FiscalCode
	s.mustActivate(t, "lazio", c)
	for range 3 * wire.BlockRecordsMax {
		s.mustSend(t, c)
	}
	return c
}

// TestFederationForgetsAMove restores the federation's group from a copy that is older than a move
// which is half way: fenced, and not arrived. It ends as it would have.
func TestFederationForgetsAMove(t *testing.T) {
	long(t)
	threeRegions(t, func(t *testing.T, s *scene) {
		c := s.settler(t, 7)
		r := s.Hasher().Recipient(c)
		copies := newCopies(t, s.World)
		copies.take(t, "federation")
		s.mustOrder(t, c, "lazio", "sicilia")
		s.catch(t, "it is fenced", func() bool { return s.stage(r, "lazio", "sicilia", 2) >= fenced })
		s.cut("lazio", "sicilia")
		time.Sleep(time.Second)
		if at := s.stage(r, "lazio", "sicilia", 2); at != fenced {
			t.Fatalf("the move is at step %d: the test is wrong", at)
		}
		for _, n := range s.Nodes("") {
			n.Stop()
		}
		s.loseFederation(t)
		s.Mend()
		for _, n := range s.Nodes("") {
			copies.restore(t, n, "federation", "lombardia-1", 1, false)
			n.Start()
		}
		s.AwaitReady()
		s.awaitMoved(c, "lazio", "sicilia", 2)
		s.mustSend(t, c)
		s.Judge(&s.h)
	})
}

// TestMoveOutlivesItsArrival restores a region to before the last page of a move to there, of which
// the directory has not heard either. The old owner hands over once more.
func TestMoveOutlivesItsArrival(t *testing.T) {
	threeRegions(t, func(t *testing.T, s *scene) {
		c := s.settler(t, 8)
		r := s.Hasher().Recipient(c)
		s.lead("lombardia-1")
		copies := newCopies(t, s.World)
		copies.take(t, "region/sicilia")
		s.mustOrder(t, c, "lazio", "sicilia")
		knows := func() bool {
			e, err := s.Leader("sicilia").Node.Federation().Directory(r)
			return err == nil && e.State == wire.Moving
		}
		s.catch(t, "the directory has it on its way", knows)
		s.cut("lombardia", "sicilia")
		s.Await("everything arrived", func() bool {
			own, _, err := s.Leader("sicilia").Node.Region().Ownership(r)
			return err == nil && own.State == wire.Owned
		})
		time.Sleep(time.Second)
		if e, err := s.Leader("lazio").Node.Federation().Directory(r); err != nil ||
			e.State != wire.Moving {
			t.Fatalf("the directory has %+v, %v: the test is wrong", e, err)
		}
		s.destroy("sicilia")
		s.Mend()
		s.bringBack(t, copies, "sicilia")
		s.awaitMoved(c, "lazio", "sicilia", 2)
		s.mustSend(t, c)
		s.Judge(&s.h)
	})
}

// TestStrandedImport restores a region to when a half of a citizen had arrived, who is elsewhere by
// now: that half is erased.
func TestStrandedImport(t *testing.T) {
	threeRegions(t, func(t *testing.T, s *scene) {
		c := s.settler(t, 9)
		copies := newCopies(t, s.World) // while every node is reached
		r := s.Hasher().Recipient(c)
		s.mustOrder(t, c, "lazio", "sicilia")
		half := func() bool {
			list, err := s.Leader("sicilia").Node.Region().Imports(1)
			return err == nil && len(list) == 1
		}
		s.catch(t, "half of it has arrived", half)
		s.cut("lazio", "sicilia")
		time.Sleep(time.Second)
		if !half() {
			t.Fatal("everything has arrived: the test is wrong")
		}
		copies.take(t, "region/sicilia")
		s.Mend()
		s.awaitMoved(c, "lazio", "sicilia", 2)
		s.mustOrder(t, c, "sicilia", "lombardia")
		s.awaitMoved(c, "sicilia", "lombardia", 3)
		s.destroy("sicilia")
		s.bringBack(t, copies, "sicilia")
		s.Await("nothing of the citizen is left where half had arrived", func() bool {
			list, err := s.Leader("sicilia").Node.Region().Messages(r)
			return err == nil && len(list) == 0 && !half()
		})
		s.mustSend(t, c)
		s.Judge(&s.h)
	})
}

// TestRefusedMoveIsAborted: the new owner has refused a move that the old owner still drives, as
// after a restore from a copy that is older than the abort. The old owner has the citizen again.
func TestRefusedMoveIsAborted(t *testing.T) {
	threeRegions(t, func(t *testing.T, s *scene) {
		c := s.settler(t, 9)
		r := s.Hasher().Recipient(c)
		s.mustOrder(t, c, "lazio", "sicilia")
		s.catch(t, "half of it has arrived", func() bool {
			list, err := s.Leader("sicilia").Node.Region().Imports(1)
			return err == nil && len(list) == 1
		})
		s.cut("lazio", "sicilia")
		time.Sleep(time.Second)
		var nodes []wire.NodeID
		for _, n := range s.Nodes("sicilia") {
			nodes = append(nodes, n.ID)
		}
		var progress wire.MoveProgress
		err := s.callAs(link.Identity{Federation: federationName, Role: link.RoleNode,
			Region: "lazio", Name: "lazio-1"}, 3*time.Second, "region/sicilia", nodes,
			wire.MethodMoveRefuse, &wire.MoveStep{Recipient: r, Epoch: 2, Region: "lazio"}, &progress)
		if err != nil || !progress.Refused {
			t.Fatalf("refusal: %+v, %v: the test is wrong", progress, err)
		}
		s.Mend()
		s.awaitOwner(t, "one whom nobody took", c, "lazio", 3)
		s.Await("the half that had arrived is erased", func() bool {
			list, err := s.Leader("sicilia").Node.Region().Messages(r)
			return err == nil && len(list) == 0
		})
		s.mustSend(t, c)
		s.Judge(&s.h)
	})
}

// TestMovedIsFetched restores a region to before a citizen moved there, and fetches what the old
// owner still has. Nothing is lost.
func TestMovedIsFetched(t *testing.T) {
	threeRegions(t, func(t *testing.T, s *scene) {
		c, nobody := s.settler(t, 10), synthetic.NewCitizens(11).Next().FiscalCode
		s.mustActivate(t, "lazio", nobody)
		r := s.Hasher().Recipient(c)
		copies := newCopies(t, s.World)
		copies.take(t, "region/sicilia")
		s.mustOrder(t, c, "lazio", "sicilia")
		s.awaitMoved(c, "lazio", "sicilia", 2)
		op := s.Operator()
		if _, err := op.FetchMoved(t.Context(), "sicilia", "lazio", nil); !errors.Is(err,
			wire.Conflict) {
			t.Errorf("a region that was never restored fetches: %v", err)
		}
		s.destroy("sicilia")
		s.bringBack(t, copies, "sicilia")
		s.awaitOwner(t, "one who came", c, "sicilia", 2)
		for _, dry := range []bool{true, false, false} {
			sum, err := op.FetchMoved(dryRun(t, dry), "sicilia", "lazio", nil)
			if err != nil || sum.Citizens != 1 || sum.Failed != 0 {
				t.Errorf("fetched %+v, %v; want one citizen", sum, err)
			}
			list, err := s.Leader("sicilia").Node.Region().Messages(r)
			if err != nil || (len(list) == 0) != dry {
				t.Errorf("dry %v: %d messages, %v", dry, len(list), err)
			}
		}
		if _, err := op.FetchMoved(t.Context(), "sicilia", "umbria", nil); !errors.Is(err,
			wire.NotFound) {
			t.Errorf("from no region: %v", err)
		}
		s.awaitMoved(c, "lazio", "sicilia", 2) // and the directory knows that they are active
		s.mustSend(t, c)
		s.Judge(&s.h)
		if lines := s.audited(t, "restore moved"); lines != 3 {
			t.Errorf("%d lines of the audit, want 3", lines)
		}
	})
}

// audited counts lines of the operators' log with an action.
func (s *scene) audited(t *testing.T, action string) (n int) {
	var page wire.AuditPage
	err := s.OperateFor(wire.MethodListAudit, &wire.ListAudit{Limit: wire.AuditPageMax}, &page)
	if err != nil {
		t.Fatal(err)
	}
	for i := range page.Lines {
		if page.Lines[i].Action == action {
			n++
		}
	}
	return n
}

// dryRun is the context of an operator's command, with --dry-run if dry.
func dryRun(t *testing.T, dry bool) context.Context {
	if dry {
		return operator.Rehearse(t.Context())
	}
	return t.Context()
}

// TestDiscardSpooled: what was sealed to a key that is lost with its region's disks waits until an
// operator gives it up; then its senders see FAILED. What the owner reads is not touched.
func TestDiscardSpooled(t *testing.T) {
	threeRegions(t, func(t *testing.T, s *scene) {
		s.Gateway = s.World.Gateway("lazio")
		s.awaitKeys()
		c := synthetic.NewCitizens(12).Next().FiscalCode
		s.mustActivate(t, "sicilia", c)
		copies := newCopies(t, s.World)
		copies.take(t, "region/sicilia")
		s.rotate(t, "sicilia")
		s.Await("the gateway knows the key", func() bool {
			r, _ := s.RegionByID("sicilia")
			return r.Keys[len(r.Keys)-1].ID == 2
		})
		s.Island("sicilia")
		lost := s.spool(t, s.Gateway, c).ID
		op := s.Operator()
		discard := func(dry bool) *wire.DiscardedSpooled {
			d, err := op.DiscardSpooled(dryRun(t, dry), "lazio", "sicilia")
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		if d := discard(false); d.Blocks != 0 {
			t.Errorf("discarded while the owner is away: %+v", d)
		}
		s.destroy("sicilia")
		s.Mend()
		s.bringBack(t, copies, "sicilia")
		s.Await("the block is refused", func() bool {
			d := discard(true)
			return d.Blocks == 1 && d.Records == 1 && len(d.Reasons) == 1
		})
		if v := s.status(t, s.Gateway, c, lost); v.Status != wire.Throttled {
			t.Errorf("before the order: %v", v)
		}
		s.secondDiscard(t)
		if v := s.status(t, s.Gateway, c, lost); v.Status != wire.Throttled {
			t.Errorf("approved and not carried out: %v", v)
		}
		if d := discard(false); d.Blocks != 1 || d.Records != 1 {
			t.Errorf("discarded %+v", d)
		}
		if v := s.status(t, s.Gateway, c, lost); v.Status != wire.Failed {
			t.Errorf("after the order: %v, want FAILED", v)
		}
		if d := discard(false); d.Blocks != 0 {
			t.Errorf("discarded again: %+v", d)
		}
		s.AwaitEmptySpools()
		if lines := s.audited(t, "spool discard"); lines != 5 { // one asks, one approves
			t.Errorf("%d lines of the audit, want 5", lines)
		}
	})
}

// secondDiscard has two operators needed for an order to discard: one alone gets nowhere, not at
// the region's leader either; then the second one approves it.
func (s *scene) secondDiscard(t *testing.T) {
	t.Helper()
	ada, bice := s.OperatorOf(s.ca, "ada", link.AllGrants()),
		s.OperatorOf(s.ca, "bice", link.AllGrants())
	if err := ada.SetApprovals(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	if _, err := ada.DiscardSpooled(t.Context(), "lazio", "sicilia"); !errors.Is(err,
		wire.AwaitsApproval) {
		t.Errorf("one operator: %v", err)
	}
	var nodes []wire.NodeID
	for _, n := range s.Nodes("lazio") {
		nodes = append(nodes, n.ID)
	}
	err := s.callAs(link.Identity{Federation: federationName, Role: link.RoleOperator, Name: "ada"},
		10*time.Second, "region/lazio", nodes, wire.MethodDiscardSpooled,
		&wire.DiscardSpooled{Owner: "sicilia"}, nil)
	if !errors.Is(err, wire.AwaitsApproval) {
		t.Errorf("one operator, at the region's leader: %v", err)
	}
	list, err := bice.Pending(t.Context())
	if err != nil || len(list.List) != 1 {
		t.Fatalf("%d wait, %v", len(list.List), err)
	}
	if err := bice.Approve(t.Context(), list.List[0].ID); err != nil {
		t.Fatal(err)
	}
}

// catch waits for a moment that may pass within milliseconds.
func (s *scene) catch(t *testing.T, what string, now func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !now(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("the moment at which %s did not come", what)
		}
	}
}

// bringBack restores a region for the first time, on new disks, from the newest copy.
func (s *scene) bringBack(t *testing.T, c *copies, region wire.RegionID) {
	t.Helper()
	time.Sleep(10 * time.Second) // until it is missed
	if err := s.Operator().FenceRegion(t.Context(), &wire.FenceRegion{Region: region,
		Incarnation: 1}); err != nil {
		t.Fatal(err)
	}
	nodes := s.Nodes(region)
	for _, n := range nodes {
		c.restore(t, n, "region/"+string(region), nodes[0].ID, 1, false)
		n.Start()
	}
	s.AwaitReady()
}
