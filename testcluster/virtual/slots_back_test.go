package virtual

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// granted reports whether every slot on its way is decided about by its new holder.
func granted(m *wire.Map) bool {
	for _, d := range m.SlotDeals {
		if !d.Granted {
			return false
		}
	}
	return true
}

// TestOldAnchorComesBack loses a region, whose slots are taken by force and written off. When it
// is back it decides nothing about codes of those slots, from the first moment on, though its
// replicas have not heard of the deal yet; and nothing of what it knew is merged.
func TestOldAnchorComesBack(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		inside := s.World.Gateway("sicilia")
		nobody, other := s.unclaimed(42, "sicilia"), s.unclaimed(43, "sicilia")
		first, err := s.keyed(t, nobody, "one key")
		if err != nil {
			t.Fatal(err)
		}
		if err := inside.Send(t.Context(), &s.h, other); err != nil { // and knows whose it is
			t.Fatal(err)
		}
		s.Island("sicilia")
		s.Await("the federation has a leader outside the island", func() bool {
			for _, n := range s.Nodes("lazio") {
				if n.Status("federation").Role == "leader" {
					return true
				}
			}
			return false
		})
		slots := s.slotsOf("sicilia")
		s.deal(t, "lazio", slots, true)
		s.deals(t, "the slots are dealt", func(m *wire.Map) bool { return !settled(m) })
		off := wire.SettleSlots{Region: "lazio", Slots: slots}
		for _, slot := range slots {
			off.Epochs = append(off.Epochs, s.Map().SlotEpoch(slot))
		}
		if err := s.Operate(wire.MethodSettleSlots, &off); !errors.Is(err, wire.Conflict) {
			t.Errorf("written off before they are taken: %v, want a conflict", err)
		}
		time.Sleep(wire.SlotForceWait)
		s.deals(t, "the slots are granted", granted)
		if err := s.Operate(wire.MethodSettleSlots, &off); err != nil {
			t.Fatal(err)
		}
		s.deals(t, "the deals are written off", settled)
		s.mustActivate(t, "lazio", other)
		time.Sleep(time.Minute) // so that what retries pauses long
		s.Mend()
		s.stale(t, inside)
		s.AwaitReady()
		again, err := s.keyed(t, nobody, "one key")
		if err != nil || again.ID == first.ID {
			t.Errorf("the key of a verdict that was written off: %+v, %v, want another message than "+
				"%s", again, err, first.ID)
		}
		s.Await("the old anchor's log holds nothing any more", func() bool {
			return s.Leader("sicilia").Node.Region().Slots() == 0
		})
	})
}

// stale writes to a citizen of lazio, whose code was the returning region's to decide about when
// it left, until its nodes have caught up: whoever decides must be lazio.
func (s *scene) stale(t *testing.T, inside *Gateway) {
	t.Helper()
	citizen := s.unclaimed(43, "sicilia")
	r := s.Hasher().Recipient(citizen)
	decided := 0
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end) && decided < 20; {
		rec := inside.Message(citizen)
		sub := s.h.Begin(rec.ID, r)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		o, err := inside.Submit(ctx, rec, Institution)
		cancel()
		if err != nil {
			continue
		}
		s.h.Acknowledge(sub, o.Verdict)
		if decided++; o.Verdict.Status == wire.Rejected {
			t.Errorf("a message to a citizen of lazio: %+v", o.Verdict)
			return
		}
	}
	if decided == 0 {
		t.Error("nobody decides")
	}
}

// TestSlotsOfTwoLostRegions takes slots by force that were on their way from a region which was lost
// to one which is lost as well, and may have got them or not. Whoever claimed a code is known.
func TestSlotsOfTwoLostRegions(t *testing.T) {
	long(t)
	threeRegions(t, func(t *testing.T, s *scene) {
		s.MustChange(&wire.MemberChange{Voters: []wire.NodeID{"lazio-1", "lazio-2", "lazio-3"}})
		s.AwaitVoters("federation", "lazio-1", "lazio-2", "lazio-3")
		claimed, nobody := s.unclaimed(51, "sicilia"), s.unclaimed(52, "sicilia")
		s.mustActivate(t, "lombardia", claimed)
		near := s.World.Gateway("lazio")
		slots := s.slotsOf("sicilia")
		s.Island("sicilia")
		s.deal(t, "lombardia", slots, true)
		time.Sleep(10 * time.Second)
		s.Island("lombardia")
		err := s.Operate(wire.MethodDealSlots, &wire.DealSlots{Slots: slots, To: "lazio"})
		if !errors.Is(err, wire.Conflict) {
			t.Errorf("without force: %v, want a conflict", err)
		}
		s.deal(t, "lazio", slots, true)
		time.Sleep(wire.SlotForceWait - 5*time.Second)
		if n := s.Leader("lazio").Node.Region().Slots(); n != len(s.slotsOf("lazio"))-len(slots) {
			t.Errorf("%d slots are held too early", n)
		}
		s.deals(t, "the slots are granted", granted)
		want := wire.Ownership{State: wire.Released, Epoch: 1, Region: "lombardia"}
		own, _, err := s.Leader("lazio").Node.Region().Ownership(s.Hasher().Recipient(claimed))
		if err != nil || own != want {
			t.Errorf("the new anchor knows %+v, %v, want %+v", own, err, want)
		}
		if err := near.Send(t.Context(), &s.h, nobody); err != nil {
			t.Errorf("an unclaimed code: %v", err)
		}
		s.Mend()
		s.AwaitReady()
		s.deals(t, "the lost regions have given up the slots", settled)
		s.mustSend(t, claimed)
		s.Await("they hold none of them", func() bool {
			return s.Leader("sicilia").Node.Region().Slots() == 0 &&
				s.Leader("lombardia").Node.Region().Slots() == len(s.slotsOf("lombardia"))
		})
		s.Judge(&s.h)
	})
}
