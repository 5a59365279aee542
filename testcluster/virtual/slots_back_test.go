package virtual

import (
	"context"
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
		time.Sleep(wire.SlotForceWait)
		s.deals(t, "the slots are granted", granted)
		off := wire.SettleSlots{Region: "lazio", Slots: slots}
		for _, slot := range slots {
			off.Epochs = append(off.Epochs, s.Map().SlotEpoch(slot))
		}
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
