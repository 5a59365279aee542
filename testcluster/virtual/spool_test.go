package virtual

import (
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// awaitKeys waits until every region's key is on the map that the gateway knows.
func (s *scene) awaitKeys() {
	s.Await("every region has a key", func() bool {
		for _, r := range s.Map().Regions {
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
	inScene(t, func(t *testing.T, s *scene) {
		s.awaitKeys()
		code := s.citizens[3] // of sicilia
		for _, outage := range []time.Duration{2 * time.Second, 3 * time.Second, 4700 * time.Millisecond, 6 * time.Second, 7100 * time.Millisecond, 8300 * time.Millisecond, 9700 * time.Millisecond, 11900 * time.Millisecond, 13300 * time.Millisecond, 17900 * time.Millisecond, 23300 * time.Millisecond, 61 * time.Second,
			2 * time.Minute} {
			s.Island("sicilia")
			var ids []wire.MessageID
			for range 5 {
				ids = append(ids, s.spool(t, s.Gateway, code).ID)
			}
			time.Sleep(outage)
			for _, id := range ids {
				if v := s.status(t, s.Gateway, code, id); v.Status != wire.Throttled {
					t.Errorf("while the owner is away: %v", v)
				}
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
