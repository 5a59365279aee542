package virtual

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/wire"
)

// awaitKeys waits until every region's key is on the map that the gateway knows.
func (s *scene) awaitKeys() {
	s.Await("every region has a key", func() bool {
		for _, r := range s.found.Regions {
			if known, ok := s.RegionByID(r.ID); !ok || len(known.Keys) == 0 {
				return false
			}
		}
		return true
	})
}

// isolate cuts every node of a region off from everything, each other included.
func (s *scene) isolate(region wire.RegionID) {
	for _, n := range s.Nodes(region) {
		n.Isolate()
	}
}

// spool submits a message that must be THROTTLED.
func (s *scene) spool(t *testing.T, g *Gateway, code fiscalcode.Code) *wire.Record {
	t.Helper()
	rec := g.Message(code)
	sub := s.h.Begin(rec.ID, s.Hasher().Recipient(code))
	o, err := g.Submit(t.Context(), rec, Institution)
	if err != nil || o.ID != rec.ID || o.Verdict.Status != wire.Throttled {
		t.Fatalf("a message for a region that is away: %+v, %v, want it throttled", o, err)
	}
	s.h.Acknowledge(sub, o.Verdict)
	return rec
}

// status reads a message back as its sender.
func (s *scene) status(t *testing.T, g *Gateway, code fiscalcode.Code,
	id wire.MessageID) wire.Verdict {
	t.Helper()
	v, err := g.FindMessage(t.Context(), code, id)
	if err != nil {
		t.Fatalf("reading a message back: %v", err)
	}
	if v.ID != id {
		t.Fatalf("read message %s, want %s", v.ID, id)
	}
	return v.Verdict
}

// TestSpooledWhileAway is the whole way: THROTTLED, read back as such, relayed within two seconds
// after contact whatever the length of the outage, and read back as PROCESSED.
func TestSpooledWhileAway(t *testing.T) {
	long(t)
	inScene(t, func(t *testing.T, s *scene) {
		s.awaitKeys()
		code := s.citizens[3] // of sicilia
		// The last one is longer than an id may be old at admission.
		for _, outage := range []time.Duration{2 * time.Second, 3 * time.Second,
			4700 * time.Millisecond, 6 * time.Second, 8300 * time.Millisecond,
			11900 * time.Millisecond, 17900 * time.Millisecond, time.Minute, 6 * time.Minute} {
			s.Island("sicilia")
			var ids []wire.MessageID
			for range 5 {
				ids = append(ids, s.spool(t, s.Gateway, code).ID)
			}
			time.Sleep(outage)
			// If the first one was sent at all, its owner may have it, and only that can tell.
			v, err := s.FindMessage(t.Context(), code, ids[0])
			if err != nil && !errors.Is(err, wire.Unavailable) ||
				err == nil && v.Verdict.Status != wire.Throttled {
				t.Errorf("what found out that the owner is away: %+v, %v", v, err)
			}
			for _, id := range ids[1:] {
				if v := s.status(t, s.Gateway, code, id); v.Status != wire.Throttled {
					t.Errorf("while the owner is away: %v", v)
				}
			}
			health := strings.Join(s.Leader("lazio").Node.Health().Degraded, "; ")
			if !strings.Contains(health, "5 messages wait") ||
				!strings.Contains(health, "for region sicilia, the oldest for ") {
				t.Errorf("while the owner is away /health says %q", health)
			}
			s.Mend()
			contact := time.Now()
			s.Await("it is relayed", func() bool {
				v, err := s.FindMessage(t.Context(), code, ids[0])
				return err == nil && v.Verdict.Status == wire.Processed
			})
			if took := time.Since(contact); took > 2*time.Second {
				t.Errorf("after an outage of %s: relayed %s after contact", outage, took)
			} else {
				t.Logf("after an outage of %s: relayed %s after contact", outage, took)
			}
			for _, id := range ids {
				if v := s.status(t, s.Gateway, code, id); v.Status != wire.Processed {
					t.Errorf("after the relay: %v", v)
				}
			}
		}
	})
}

// TestRelaySurvivesDeaths: leaders of the home region and of the owner die and are cut off while
// the spool is relayed, the whole home region at once too. Everything is there once.
func TestRelaySurvivesDeaths(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		s.awaitKeys()
		for round := range 4 {
			s.Island("sicilia")
			s.spool(t, s.Gateway, s.citizens[3]) // finds out that it is away
			var all sync.WaitGroup
			for i := range 300 {
				all.Go(func() { s.Send(t.Context(), &s.h, s.citizens[3+i%3]) })
			}
			all.Wait()
			if round == 3 {
				for _, n := range s.Nodes("lazio") {
					n.Crash()
					n.Start()
				}
			}
			s.Mend()
			for range 3 {
				time.Sleep(400 * time.Millisecond)
				victim := s.Leader([]wire.RegionID{"lazio", "sicilia"}[round%2])
				if round < 2 {
					victim.Crash()
					victim.Start()
				} else {
					victim.Isolate()
					time.Sleep(3 * time.Second)
					s.Mend()
				}
			}
			s.AwaitEmptySpools()
		}
	})
}

// TestDuplicatesMeetAtTheOwner: one idempotency key used at two gateways, at home in two regions,
// while the owner is away. One message results, the other id is its alias; another body under the
// key ends as FAILED.
func TestDuplicatesMeetAtTheOwner(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := New(t, 3, "lazio", "sicilia", "puglia")
		s := &scene{World: w, Gateway: w.Gateway("lazio")}
		other := w.Gateway("puglia")
		code := synthetic.NewCitizens(1).Next().FiscalCode
		if err := s.Activate(t.Context(), "sicilia", code); err != nil {
			t.Fatal(err)
		}
		s.citizens = append(s.citizens, code)
		s.awaitKeys()
		(&scene{World: w, Gateway: other}).awaitKeys()
		send := func(g *Gateway, subject, key string) *wire.Record {
			rec := g.Message(code)
			rec.Content = wire.Encode(&wire.Content{Subject: subject, Markdown: "x"})
			rec.Idempotency = wire.IdempotencyOf(rec.Service, key)
			rec.Digest = rec.Canonical(g.Hasher().Recipient(code), key)
			sub := s.h.Begin(rec.ID, g.Hasher().Recipient(code))
			o, err := g.Submit(t.Context(), rec, Institution)
			if err != nil || o.ID != rec.ID || o.Verdict.Status != wire.Throttled {
				t.Fatalf("%+v, %v, want it throttled", o, err)
			}
			s.h.Acknowledge(sub, o.Verdict)
			return rec
		}
		s.Island("sicilia")
		first := send(s.Gateway, "Primo avviso", "uno")
		again := send(other, "Primo avviso", "uno")
		rival := send(s.Gateway, "Secondo avviso", "due")
		conflict := send(other, "Un altro avviso", "due")
		// In its own spool the key is known at once.
		rec := *first
		rec.ID = s.NewID()
		if o, err := s.Submit(t.Context(), &rec, Institution); err != nil || o.ID != first.ID {
			t.Errorf("the key again at the first gateway: %+v, %v, want the first message", o, err)
		}
		s.Mend()
		s.AwaitEmptySpools()
		got := map[wire.Status]int{}
		for _, pair := range [][2]*wire.Record{{first, again}, {rival, conflict}} {
			for _, r := range pair {
				for _, g := range []*Gateway{s.Gateway, other} {
					got[s.status(t, g, code, r.ID).Status]++
				}
			}
		}
		// Which of two came first is open; of the second pair one is FAILED.
		if got[wire.Processed] != 6 || got[wire.Failed] != 2 {
			t.Errorf("statuses %v, want 6 times PROCESSED and twice FAILED", got)
		}
		placed, err := w.inbox(s.Hasher().Recipient(code))
		if err != nil || len(placed) != 2 {
			t.Errorf("%d messages in the inbox, %v, want 2", len(placed), err)
		}
		s.Judge(&s.h)
	})
}

// TestSpoolBoundsStopAdmissionOnly: beyond its bytes the spool takes nothing more and says so at
// once; what it has is relayed.
func TestSpoolBoundsStopAdmissionOnly(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		s.tweak = func(cfg *node.Config) { cfg.Spool.Bytes = wire.SealedBytesMax }
		for _, n := range s.Nodes("lazio") {
			n.Stop()
			n.Start()
		}
		s.AwaitReady()
		s.awaitKeys()
		s.Island("sicilia")
		large := strings.Repeat("Un testo che non si comprime? ", 300)
		refused := 0
		for i := range 2000 {
			rec := s.Message(s.citizens[3+i%3])
			noise := make([]byte, 8000)
			for j := range noise {
				noise[j] = 'a' + byte(rand.IntN(26))
			}
			rec.Content = wire.Encode(&wire.Content{Subject: "Un avviso di prova",
				Markdown: large + string(noise)})
			sub := s.h.Begin(rec.ID, rec.RecipientUnder(s.Hasher()))
			o, err := s.Submit(t.Context(), rec, Institution)
			if err == nil {
				s.h.Acknowledge(sub, o.Verdict)
			} else if refused++; !errors.Is(err, wire.Overloaded) {
				t.Fatalf("beyond the bound: %v, want overloaded", err)
			}
			if refused == 3 {
				break
			}
		}
		if refused != 3 || s.h.Acknowledged() < 20 {
			t.Errorf("%d refused, %d taken: the bound was not met", refused, s.h.Acknowledged())
		}
		st := s.Leader("lazio").Node.Spool().Status()
		if len(st) != 1 || st[0].Bytes > wire.SealedBytesMax || st[0].Bytes < wire.SealedBytesMax/2 {
			t.Errorf("the spool holds %+v, at most %d bytes allowed", st, wire.SealedBytesMax)
		}
	})
}

// TestSpoolOutlivesRotation: blocks that were sealed to an older key open after the owner has made
// new ones, and the gateways learn of the newest.
func TestSpoolOutlivesRotation(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		s.awaitKeys()
		s.Island("sicilia")
		first := s.spool(t, s.Gateway, s.citizens[3])
		s.Mend()
		s.AwaitEmptySpools() // the key is the same for the one that waits below
		var waits []*wire.Record
		for range 3 {
			s.Island("sicilia")
			waits = append(waits, s.spool(t, s.Gateway, s.citizens[3]))
			s.rotate(t, "sicilia")
		}
		s.Mend()
		s.AwaitEmptySpools()
		for _, r := range append(waits, first) {
			if v := s.status(t, s.Gateway, s.citizens[3], r.ID); v.Status != wire.Processed {
				t.Errorf("sealed before a rotation: %v", v)
			}
		}
		s.Await("the gateway knows the newest key", func() bool {
			r, _ := s.RegionByID("sicilia")
			return len(r.Keys) > 0 && r.Keys[len(r.Keys)-1].ID == 4
		})
		s.Island("sicilia")
		last := s.spool(t, s.Gateway, s.citizens[3])
		v, err := s.Leader("lazio").Node.Region().FindSpooled(wire.FindMessage{ID: last.ID,
			Recipient: s.Hasher().Recipient(s.citizens[3])})
		if err != nil || v.KeyID != 4 {
			t.Errorf("sealed after the rotations: %+v, %v, want key 4", v, err)
		}
	})
}

// rotate has a region make a new key, as an operator inside of it does.
func (s *scene) rotate(t *testing.T, region wire.RegionID) {
	t.Helper()
	leader := s.Leader(region)
	newest, err := leader.Node.Region().NewestRegionKey()
	if err != nil || newest == nil {
		t.Fatalf("region %s has no key: %v", region, err)
	}
	for range 2 { // the second makes none
		if _, err := leader.Node.Spool().RotateRegionKey(t.Context(), newest.ID); err != nil {
			t.Fatal(err)
		}
	}
	after, err := leader.Node.Region().NewestRegionKey()
	if err != nil || after.ID != newest.ID+1 {
		t.Fatalf("after a rotation the newest key is %d, %v, want %d", after.ID, err, newest.ID+1)
	}
}

// TestSpoolIsCiphertext (P4): neither the code of another region's citizen nor a word of the
// message is in the home region's states, blocks decoded, while it waits and after; the owner's hold
// both, or the search proves nothing. What the log holds is the state's test to show.
func TestSpoolIsCiphertext(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		s.awaitKeys()
		code := s.citizens[3]
		const marker = "parolasegretissima"
		s.Island("sicilia")
		for range 3 {
			rec := s.Message(code)
			rec.Content = wire.Encode(&wire.Content{Subject: marker, Markdown: marker})
			sub := s.h.Begin(rec.ID, s.Hasher().Recipient(code))
			o, err := s.Submit(t.Context(), rec, Institution)
			if err != nil || o.Verdict.Status != wire.Throttled {
				t.Fatalf("%+v, %v", o, err)
			}
			s.h.Acknowledge(sub, o.Verdict)
		}
		search := func(region wire.RegionID) (found int) {
			for _, n := range s.Nodes(region) {
				found += n.shows(t, marker) + n.shows(t, string(code))
			}
			return found
		}
		if n := search("lazio"); n != 0 {
			t.Errorf("while it waits, the home region's states show code or text %d times", n)
		}
		s.Mend()
		s.AwaitEmptySpools()
		if n := search("lazio"); n != 0 {
			t.Errorf("afterwards, the home region's states show code or text %d times", n)
		}
		if search("sicilia") == 0 {
			t.Error("the owner's states do not show them either: the search proves nothing")
		}
	})
}

// shows counts the rows of the node's region that show a text, decoded where they are compressed.
func (n *Node) shows(t *testing.T, text string) (found int) {
	t.Helper()
	coder, err := wire.NewCoder(1)
	if err != nil {
		t.Fatal(err)
	}
	defer coder.Close()
	err = n.Node.Region().Store().Iterate([]byte{store.ReservedPrefix + 1}, []byte{0xff}, false,
		func(k, v []byte) (bool, error) {
			if bytes.Contains(v, []byte(text)) {
				found++
			}
			if block, err := coder.Decode(v); err == nil {
				for i := range block.Records {
					if bytes.Contains(wire.Encode(&block.Records[i]), []byte(text)) {
						found++
					}
				}
			}
			return true, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// cut breaks, both ways, what goes between two regions and their gateways.
func (s *scene) cut(a, b wire.RegionID) {
	here, _ := s.addresses(a)
	there, _ := s.addresses(b)
	for _, x := range here {
		for _, y := range there {
			s.net.cut(x, y, true)
			s.net.cut(y, x, true)
		}
	}
}

// lead has a node lead the federation.
func (s *scene) lead(id wire.NodeID) {
	s.Await("node "+string(id)+" leads the federation", func() bool {
		for _, n := range s.Nodes("") {
			if n.ID == id && n.Status("federation").Role == "leader" {
				return true
			}
		}
		s.Operate(wire.MethodTransferLeadership, &wire.LeadershipTransfer{Group: "federation", To: id})
		return false
	})
}

// TestSpooledOutlivesMove: the recipient moves on while the message waits. The old owner seals it
// to the new one, twice here, and it ends in one inbox; others of the block stay where they are.
func TestSpooledOutlivesMove(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := New(t, 3, "lazio", "sicilia", "puglia")
		s := &scene{World: w, Gateway: w.Gateway("lazio")}
		invent := synthetic.NewCitizens(1)
		for range 3 {
			c := invent.Next().FiscalCode
			if err := s.Activate(t.Context(), "sicilia", c); err != nil {
				t.Fatal(err)
			}
			s.citizens = append(s.citizens, c)
		}
		s.awaitKeys()
		mover := s.citizens[0]
		s.lead("puglia-1") // which hears both sides of the cut
		s.cut("lazio", "sicilia")
		var all sync.WaitGroup
		s.spool(t, s.Gateway, mover)
		for i := range 30 {
			all.Go(func() { s.Send(t.Context(), &s.h, s.citizens[i%3]) })
		}
		all.Wait()
		move := func(from, to wire.RegionID, epoch wire.Epoch) {
			(&scene{World: w, Gateway: w.Gateway(from)}).mustOrder(t, mover, from, to)
			s.awaitMoved(mover, from, to, epoch)
		}
		move("sicilia", "puglia", 2)
		rec := s.spool(t, s.Gateway, s.citizens[1]) // who stayed
		s.Mend()
		s.cut("lazio", "puglia")
		s.lead("sicilia-1")
		s.Await("sicilia has decided what it can", func() bool {
			st := s.Leader("lazio").Node.Spool().Status()
			return len(st) == 1 && st[0].Owner == "puglia"
		})
		if v := s.status(t, s.Gateway, s.citizens[1], rec.ID); v.Status != wire.Processed {
			t.Errorf("the one that stayed: %v", v)
		}
		for _, sub := range s.h.Submissions() {
			if sub.Recipient == s.Hasher().Recipient(mover) {
				// Sicilia may have decided it before the move: only puglia can tell.
				v, err := s.FindMessage(t.Context(), mover, sub.ID)
				if !errors.Is(err, wire.Unavailable) {
					t.Errorf("sealed anew, still away: %+v, %v, want unavailable", v, err)
				}
			}
		}
		move("puglia", "sicilia", 3)
		s.Judge(&s.h)
		for _, sub := range s.h.Submissions() {
			if sub.Recipient == s.Hasher().Recipient(mover) {
				if v := s.status(t, s.Gateway, mover, sub.ID); v.Status != wire.Processed {
					t.Errorf("after the second move: %v", v)
				}
			}
		}
	})
}

// TestRegionStaysWhileAwaited: a region is not removed while a spool holds blocks sealed to it.
func TestRegionStaysWhileAwaited(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		s.awaitKeys()
		count := func(region wire.RegionID) uint64 {
			t.Helper()
			n, err := s.Leader("lazio").Node.Spool().Count(t.Context(), region)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := count("sicilia"); n != 0 {
			t.Errorf("%d blocks wait for sicilia, want none", n)
		}
		s.Island("sicilia")
		s.spool(t, s.Gateway, s.citizens[3])
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := s.Leader("lazio").Node.Spool().Count(ctx, "sicilia"); !errors.Is(err,
			wire.Unavailable) {
			t.Errorf("with a spool that cannot be asked: %v, want unavailable", err)
		}
		if st := s.Leader("lazio").Node.Spool().Status(); len(st) != 1 || st[0].Owner != "sicilia" ||
			st[0].Blocks != 1 || st[0].Records != 1 || st[0].Oldest == 0 {
			t.Errorf("the status of the spool: %+v", st)
		}
		s.Mend()
		s.AwaitEmptySpools()
		if n := count("sicilia"); n != 0 {
			t.Errorf("after the relay: %d blocks, want none", n)
		}
	})
}
