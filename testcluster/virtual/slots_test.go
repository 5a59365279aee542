package virtual

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// slotsOf are the anchor slots that the map deals to a region.
func (s *scene) slotsOf(region wire.RegionID) (list []wire.Slot) {
	m, _ := s.Nodes("lazio")[0].Node.Federation().Map()
	for slot := range wire.Slot(wire.Slots) {
		if m.Anchor(slot) == region {
			list = append(list, slot)
		}
	}
	return list
}

func (s *scene) deal(t *testing.T, to wire.RegionID, slots []wire.Slot, force bool) {
	t.Helper()
	if force { // who was just lost has not been missed yet
		time.Sleep(10 * time.Second)
	}
	if err := s.Operate(wire.MethodDealSlots,
		&wire.DealSlots{Slots: slots, To: to, Force: force}); err != nil {
		t.Fatal(err)
	}
}

// deals waits until the map of lazio's nodes says of the slots on their way what is wanted.
func (s *scene) deals(t *testing.T, what string, holds func(*wire.Map) bool) {
	t.Helper()
	s.Await(what, func() bool {
		for _, n := range s.Nodes("lazio") {
			if m, ok := n.Node.Federation().Map(); !ok || !holds(m) {
				return false
			}
		}
		return true
	})
}

func settled(m *wire.Map) bool { return len(m.SlotDeals) == 0 }

// keyed submits a message under an idempotency key and returns the id that it has.
func (s *scene) keyed(t *testing.T, c fiscalcode.Code, key string) (wire.Outcome, error) {
	t.Helper()
	rec := s.Message(c)
	rec.Idempotency = wire.IdempotencyOf(rec.Service, key)
	rec.Digest = rec.Canonical(s.Hasher().Recipient(c), key)
	sub := s.h.Begin(rec.ID, s.Hasher().Recipient(c))
	o, err := s.Submit(t.Context(), rec, Institution)
	if err == nil && o.ID == rec.ID {
		s.h.Acknowledge(sub, o.Verdict)
	}
	return o, err
}

// TestSlotsAreDealt gives all anchor slots of a region to another one while messages for claimed
// and unclaimed codes come in, and a node of each side dies on the way. What the old anchor decided
// holds: verdicts, keys, and who owns whose code.
func TestSlotsAreDealt(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		nobody := s.unclaimed(41, "sicilia")
		s.citizens = append(s.citizens, nobody)
		first, err := s.keyed(t, nobody, "one key")
		if err != nil || first.Verdict.Reason != wire.UserNotFound {
			t.Fatalf("an unclaimed code: %+v, %v", first, err)
		}
		stop := s.load(t, 4, s.Gateway)
		s.progress(t, 20)
		s.deal(t, "lazio", s.slotsOf("sicilia"), false)
		for _, region := range []wire.RegionID{"sicilia", "lazio"} {
			old := s.Leader(region)
			old.Crash()
			s.progress(t, 20)
			old.Start()
		}
		s.deals(t, "the slots have arrived", settled)
		stop()
		for _, n := range s.Nodes("lazio") {
			s.Await("every node of the new anchor has all slots", func() bool {
				return n.Node.Region().Slots() == wire.Slots
			})
		}
		s.Await("the old anchor has none", func() bool {
			return s.Leader("sicilia").Node.Region().Slots() == 0
		})
		s.Island("sicilia") // nobody needs the old anchor any more
		again, err := s.keyed(t, nobody, "one key")
		if err != nil || again.ID != first.ID {
			t.Errorf("the same key again: %+v, %v, want message %s", again, err, first.ID)
		}
		if view, err := s.FindMessage(t.Context(), nobody, first.ID); err != nil ||
			view.Verdict != first.Verdict {
			t.Errorf("the old anchor's verdict read back: %+v, %v", view, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := s.Activate(ctx, "lazio", nobody); err != nil {
			t.Errorf("a first login: %v", err)
		}
		if own, _, err := s.Leader("lazio").Node.Region().Ownership(
			s.Hasher().Recipient(s.citizens[3])); err != nil || own.State == wire.NotOwned &&
			s.found.Anchor(s.Hasher().Recipient(s.citizens[3]).Slot()) == "sicilia" {
			t.Errorf("the new anchor does not know that sicilia owns a code: %+v, %v", own, err)
		}
	})
}

// TestSlotsAreTakenByForce loses a region. Its slots are taken over without it after two minutes,
// by when it has stopped deciding by itself, and what it knew arrives when it is back.
func TestSlotsAreTakenByForce(t *testing.T) {
	long(t)
	inScene(t, func(t *testing.T, s *scene) {
		inside := s.World.Gateway("sicilia")
		nobody, other := s.unclaimed(42, "sicilia"), s.unclaimed(43, "sicilia")
		first, err := s.keyed(t, nobody, "one key")
		if err != nil {
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
		began := time.Now()
		s.deal(t, "lazio", s.slotsOf("sicilia"), true)
		time.Sleep(wire.SlotForceWait - 5*time.Second)
		h := s.Leader("lazio").Node.Health()
		if !h.Ready || !strings.Contains(strings.Join(h.Degraded, "; "), "anchor slots are on their") {
			t.Errorf("health %+v, want ready and the slots that wait", h)
		}
		if n := s.Leader("lazio").Node.Region().Slots(); n == wire.Slots {
			t.Errorf("all slots are taken after %s", time.Since(began))
		}
		if err := inside.Send(t.Context(), &s.h, other); err == nil {
			t.Error("the lost anchor still decides")
		}
		s.deals(t, "the slots are granted", func(m *wire.Map) bool {
			for _, d := range m.SlotDeals {
				if !d.Granted {
					return false
				}
			}
			return true
		})
		if err := s.Activate(t.Context(), "lazio", other); err != nil {
			t.Errorf("a first login: %v", err)
		}
		for i, c := range s.citizens[3:6] { // sicilia's: marked, though it could not be asked
			r := s.Hasher().Recipient(c)
			own, anchored, err := s.Leader("lazio").Node.Region().Ownership(r)
			if err != nil || !anchored || own.State == wire.NotOwned &&
				s.found.Anchor(r.Slot()) == "sicilia" {
				t.Errorf("citizen %d of the lost region: %+v, %v", i, own, err)
			}
		}
		version := func() uint64 {
			m, _ := s.Leader("lazio").Node.Federation().Map()
			return m.Version
		}
		before := version()
		s.Mend()
		s.AwaitReady()
		s.deals(t, "what the lost anchor knew has arrived", settled)
		if maps := version() - before; maps > 64 { // not one for each slot
			t.Errorf("%d new maps", maps)
		}
		h = s.Leader("lazio").Node.Health()
		if strings.Contains(strings.Join(h.Degraded, "; "), "anchor slots") {
			t.Errorf("health %+v when nothing waits", h)
		}
		again, err := s.keyed(t, nobody, "one key")
		if err != nil || again.ID != first.ID {
			t.Errorf("the same key again: %+v, %v, want message %s", again, err, first.ID)
		}
	})
}
