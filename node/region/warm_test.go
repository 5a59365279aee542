package region

import (
	"testing"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/wire"
)

// TestWarm opens a state with more citizens than are read at once: verdicts find every standing
// without the disk, what changes meanwhile included.
func TestWarm(t *testing.T) {
	f := newFixture(t, "lazio")
	invent := synthetic.NewCitizens(3)
	var codes []fiscalcode.Code
	for range warmRows + 200 {
		codes = append(codes, invent.Next().FiscalCode)
	}
	for _, c := range codes {
		f.own(c)
	}
	f.restart()
	f.login(codes[0]) // while they are read, or not
	<-f.warming.done
	for i, c := range codes {
		if st, ok := f.standings.peek(f.hasher.Recipient(c)); !ok || st.State != wire.Owned {
			t.Errorf("%d: a citizen's standing after a start: %+v, %t, want one who is owned", i, st, ok)
		}
	}
	f.checkCaches()
}

// TestOffer: what was read before it changed is not taken in, nor anything of an earlier turn.
func TestOffer(t *testing.T) {
	s := newStandings(1<<20, 1<<20)
	defer s.clear()
	changed, same := wire.Recipient{1}, wire.Recipient{2}
	old, now := standing{State: wire.Owned}, standing{State: wire.Owned, Active: true}
	list := []offer{{changed, old}, {same, old}}
	turn := s.beginWarming()
	s.change(changed, now)
	if !s.offer(turn, list) {
		t.Fatal("the first offer is refused")
	}
	if st, ok := s.peek(changed); !ok || st != now {
		t.Errorf("what changed is %+v, %t, want %+v", st, ok, now)
	}
	if st, ok := s.peek(same); !ok || st != old {
		t.Errorf("what was offered is %+v, %t, want %+v", st, ok, old)
	}
	s.clear()
	if s.offer(turn, list) {
		t.Error("an offer of before the clearing is taken")
	}
	turn = s.beginWarming()
	s.warmed(turn)
	if s.offer(turn, list) {
		t.Error("an offer is taken after the turn's end")
	}
	turn = s.beginWarming()
	for i := range warmChangesMax + 1 {
		s.change(wire.Recipient{byte(i), byte(i >> 8), byte(i >> 16), 1}, now)
	}
	if s.offer(turn, list) {
		t.Error("an offer is taken although nobody counts what changes any more")
	}
}
