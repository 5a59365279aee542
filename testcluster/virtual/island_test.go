package virtual

import (
	"errors"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/wire"
)

// unclaimed invents a code that nobody claimed and that the region anchors.
func (s *scene) unclaimed(seed uint64, region wire.RegionID) fiscalcode.Code {
	invent := synthetic.NewCitizens(seed)
	for {
		c := invent.Next().FiscalCode
		if s.found.Anchor(s.Hasher().Recipient(c).Slot()) == region {
			return c
		}
	}
}

// TestIsland cuts a region off from everything, with a gateway inside (P7). The federation's
// majority is outside.
func TestIsland(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		inside := s.World.Gateway("sicilia")
		nobody := s.unclaimed(3, "sicilia")
		local := s.citizens[3] // of sicilia
		send := func(c fiscalcode.Code) (wire.Outcome, error) {
			rec := inside.Message(c)
			sub := s.h.Begin(rec.ID, s.Hasher().Recipient(c))
			o, err := inside.Submit(t.Context(), rec, Institution)
			if err == nil {
				s.h.Acknowledge(sub, o.Verdict)
			}
			return o, err
		}
		s.Island("sicilia")
		time.Sleep(30 * time.Second)
		if o, err := send(local); err != nil || o.Verdict.Status != wire.Processed {
			t.Errorf("a local citizen: %+v, %v", o, err)
		}
		if o, err := send(nobody); err != nil || o.Verdict.Reason != wire.UserNotFound {
			t.Errorf("an unclaimed code within the minute: %+v, %v", o, err)
		}
		time.Sleep(time.Minute)
		if _, err := send(nobody); !errors.Is(err, wire.Unavailable) &&
			!errors.Is(err, wire.OutcomeUnknown) { // a try was under way when the time ended
			t.Errorf("an unclaimed code after the minute: %v, want unavailable", err)
		}
		if o, err := send(local); err != nil || o.Verdict.Status != wire.Processed {
			t.Errorf("a local citizen after the minute: %+v, %v", o, err)
		}
		s.spool(t, inside, s.citizens[0])      // a citizen of the other side
		for _, n := range s.Nodes("sicilia") { // restarts included
			n.Crash()
			n.Start()
		}
		s.Await("the island serves again", func() bool {
			for _, n := range s.Nodes("sicilia") {
				if h := n.Node.Health(); !h.Ready || len(h.Degraded) == 0 {
					return false
				}
			}
			return true
		})
		again := s.World.Gateway("sicilia") // and a gateway that knows nothing
		if err := again.Send(t.Context(), &s.h, local); err != nil {
			t.Errorf("after a restart: %v", err)
		}
		s.Mend()
		s.AwaitReady()
		if o, err := send(nobody); err != nil || o.Verdict.Reason != wire.UserNotFound {
			t.Errorf("an unclaimed code after the island is back: %+v, %v", o, err)
		}
	})
}
