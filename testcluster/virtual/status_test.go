package virtual

import (
	"errors"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// TestStatusNeverGoesBack: two gateways read one message, one that reaches its owner and one that
// reaches only the home region, whose spool does not know yet that the owner has it. What the first
// was told the second does not deny: it is told nothing, until the owner can be asked.
func TestStatusNeverGoesBack(t *testing.T) {
	for name, decide := range map[string]func(t *testing.T, s *scene) *wire.Record{
		"the answer to a submission is lost": answerLost,
		"the answer to a relay is lost":      relayLost,
	} {
		t.Run(name, func(t *testing.T) {
			inScene(t, func(t *testing.T, s *scene) {
				s.awaitKeys()
				other := s.World.Gateway("sicilia")
				(&scene{World: s.World, Gateway: other}).awaitKeys()
				code := s.citizens[3] // of sicilia
				rec := decide(t, s)
				if v := s.status(t, other, code, rec.ID); v.Status != wire.Processed {
					t.Fatalf("at the owner: %v", v)
				}
				s.Leader("lazio")
				for range 3 {
					v, err := s.FindMessage(t.Context(), code, rec.ID)
					if !errors.Is(err, wire.Unavailable) {
						t.Errorf("where only the spool can be asked: %+v, %v, want unavailable", v, err)
					}
				}
				// What surely went nowhere waits, and can be said to.
				late := s.spool(t, s.Gateway, code)
				if v := s.status(t, s.Gateway, code, late.ID); v.Status != wire.Throttled {
					t.Errorf("a message that went nowhere: %v", v)
				}
				s.Mend()
				s.AwaitEmptySpools()
				for _, id := range []wire.MessageID{rec.ID, late.ID} {
					if v := s.status(t, s.Gateway, code, id); v.Status != wire.Processed {
						t.Errorf("in the end: %v", v)
					}
				}
			})
		})
	}
}

// answerLost submits a message that its owner decides, and no answer comes back.
func answerLost(t *testing.T, s *scene) *wire.Record {
	if err := s.Send(t.Context(), &s.h, s.citizens[3]); err != nil { // there is a connection
		t.Fatal(err)
	}
	here, _ := s.addresses("lazio")
	there, _ := s.addresses("sicilia")
	for _, x := range here {
		for _, y := range there {
			s.net.cut(y, x, true)
		}
	}
	return s.spool(t, s.Gateway, s.citizens[3])
}

// relayLost has a spooled message relayed, and the home region's leader lost before it has the
// owner's answer.
func relayLost(t *testing.T, s *scene) *wire.Record {
	s.cut("lazio", "sicilia")
	s.spool(t, s.Gateway, s.citizens[3]) // finds out that it is away
	rec := s.spool(t, s.Gateway, s.citizens[3])
	if v := s.status(t, s.Gateway, s.citizens[3], rec.ID); v.Status != wire.Throttled {
		t.Fatalf("while it waits: %v", v)
	}
	home, owner := s.Leader("lazio"), s.Leader("sicilia")
	q := wire.FindMessage{Recipient: s.Hasher().Recipient(s.citizens[3]), ID: rec.ID}
	s.Mend()
	for {
		if _, err := owner.Node.Region().FindMessage(q); err == nil {
			break
		}
		time.Sleep(100 * time.Microsecond)
	}
	home.Crash() // the answer is on its way
	s.cut("lazio", "sicilia")
	home.Start()
	return rec
}
