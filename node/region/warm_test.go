package region

import (
	"fmt"
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

// TestReadAhead: as long as standings are being read, those that a block wants are read before it
// is applied, whatever else is among the entries.
func TestReadAhead(t *testing.T) {
	f := newFixture(t, "lazio")
	active, owned, nobody := codeOf("active"), codeOf("owned"), codeOf("nobody")
	f.activate(active)
	f.own(owned)
	f.submit(f.message(owned, someService, "before"))
	applied := f.log[len(f.log)-1]
	var records []wire.Record
	for i := range 3 * aheadReaders {
		records = append(records, f.message(codeOf(fmt.Sprint("citizen ", i)), someService, "x"))
	}
	records = append(records, f.message(active, someService, "x"), f.message(active, someService,
		"x"), f.message(nobody, someService, "x"), f.message(owned, someService, "x"))
	entries := []wire.LogEntry{applied, f.entry(wire.BlockEntry, []byte("no block")),
		{Index: applied.Index + 2, Configuration: true, Data: []byte("no entry")},
		{Index: applied.Index + 3, Data: []byte("no entry")},
		f.entry(wire.CommandsEntry, nil), f.entry(wire.BlockEntry, f.seal(records...))}
	want := func(code fiscalcode.Code, want standing, read bool) {
		t.Helper()
		st, ok := f.standings.peek(f.hasher.Recipient(code))
		if ok != read || st != want {
			t.Errorf("got %+v, %t, want %+v, %t", st, ok, want, read)
		}
	}
	reading := func(done chan struct{}) {
		f.endWarming()
		f.standings.clear()
		f.standings.beginWarming()
		f.warming = warming{done: done}
		f.readAhead(entries)
	}
	reading(make(chan struct{}))
	want(active, standing{State: wire.Owned, HasProfile: true, Active: true, Mode: wire.Legacy,
		Version: -1}, true)
	want(owned, standing{State: wire.Owned}, true)
	want(nobody, standing{}, true)
	for i := range 3 * aheadReaders {
		want(codeOf(fmt.Sprint("citizen ", i)), standing{}, true)
	}
	f.checkCaches()
	f.readAhead(entries) // all are there
	over := make(chan struct{})
	close(over)
	reading(over)
	want(active, standing{}, false)
}
