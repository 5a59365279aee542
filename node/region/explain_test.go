package region

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

func (f *fixture) explain(r wire.Recipient, id wire.MessageID) *wire.Explanation {
	f.t.Helper()
	e, err := f.Explain(&wire.Explain{Recipient: r, ID: id})
	if err != nil {
		f.t.Fatal(err)
	}
	return e
}

// TestExplain asks for what was delivered, what was refused and what never came.
func TestExplain(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdGrantSlots, allSlots())
	anna, bruno := codeOf("anna"), codeOf("bruno")
	f.activate(anna)
	good, none := f.message(anna, someService, "buono"), f.message(bruno, someService, "nessuno")
	none = f.keyed(none, "chiave")
	f.submit(f.message(anna, someService, "primo"), good, none)
	block := f.Position().Index
	f.now = f.now.Add(time.Second)

	e := f.explain(f.hasher.Recipient(anna), good.ID)
	want := &wire.Explanation{Applied: block, Found: true, Service: someService, Verdict: processed,
		Anchor: true, Ownership: wire.Ownership{State: wire.Owned, Epoch: 1}, Block: block, Position: 1,
		Basis: wire.VerdictBasis{HasProfile: true, Active: true, Mode: wire.Auto}}
	want.Basis.Mode = e.Basis.Mode // whatever a new profile's is
	if !reflect.DeepEqual(e, want) {
		t.Errorf("delivered: got %+v, want %+v", e, want)
	}
	e = f.explain(f.hasher.Recipient(bruno), none.ID)
	want = &wire.Explanation{Applied: block, Found: true, Service: someService,
		Verdict: userNotFound, Anchor: true, Rejected: start, Keyed: true}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("refused: got %+v, want %+v", e, want)
	}
	if e := f.explain(f.hasher.Recipient(anna), none.ID); e.Found ||
		e.Ownership.State != wire.Owned {
		t.Errorf("another's message: got %+v", e)
	}

	f.update(tokenOf(string(anna)), wire.ProfileUpdate{SetMode: true, Mode: wire.Manual})
	if e := f.explain(f.hasher.Recipient(anna), good.ID); e.Basis.Mode != wire.Manual ||
		e.Basis.Choice != wire.Unset || e.Verdict != processed {
		t.Errorf("after a change of mode: got %+v", e)
	}
}

// TestFindRecipients searches by ids alone, in a log of many blocks.
func TestFindRecipients(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdGrantSlots, allSlots())
	anna := codeOf("anna")
	f.activate(anna)
	const blocks = 60
	var delivered, refused []wire.MessageID
	for i := range blocks {
		f.now = f.now.Add(time.Minute)
		good := f.message(anna, someService, fmt.Sprint(i))
		bad := f.message(codeOf(fmt.Sprint("nobody", i)), someService, "")
		f.submit(good, bad)
		delivered, refused = append(delivered, good.ID), append(refused, bad.ID)
	}
	find := func(id wire.MessageID) *wire.FoundRecipients {
		t.Helper()
		found, err := f.FindRecipients(id)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	check := func(when string) {
		t.Helper()
		for i := range blocks {
			got := find(delivered[i])
			if len(got.Recipients) != 1 || got.Recipients[0] != f.hasher.Recipient(anna) {
				t.Fatalf("%s: message %d: %+v", when, i, got)
			}
			if got.Blocks > 30 {
				t.Errorf("%s: message %d: %d blocks were read", when, i, got.Blocks)
			}
			got = find(refused[i])
			want := f.hasher.Recipient(codeOf(fmt.Sprint("nobody", i)))
			if len(got.Recipients) != 1 || got.Recipients[0] != want {
				t.Fatalf("%s: rejection %d: %+v", when, i, got)
			}
		}
	}
	check("at once")
	for _, at := range []wire.Time{start.Add(-time.Hour), start.Add(30 * time.Minute),
		f.now.Add(time.Hour)} {
		if got := find(wire.NewMessageID(at, testTag)); len(got.Recipients) != 0 || !got.Whole {
			t.Errorf("an id that nobody has: %+v", got)
		}
	}
	f.now = f.now.Add(40 * 24 * time.Hour)
	for {
		due, err := f.DueErasures(f.now, 16)
		if err != nil {
			t.Fatal(err)
		}
		if len(due) == 0 {
			break
		}
		for i := range due {
			f.must(wire.CmdErase, &due[i])
		}
	}
	check("after the refused content is gone")
}

// TestFindRecipientsInTheSpool finds a message that waits for a region that is away, by the id alone:
// it is in no block of this region's, and the sealed one is for nobody here to read.
func TestFindRecipientsInTheSpool(t *testing.T) {
	f := newFixture(t, "lazio")
	sicilia := newAway(t, "sicilia")
	waiting, other := f.message(codeOf("anna"), someService, "uno"),
		f.message(codeOf("bruno"), someService, "due")
	f.spool(sicilia, waiting, other)
	found, err := f.FindRecipients(waiting.ID)
	if err != nil || len(found.Recipients) != 1 || found.Recipients[0] != f.hasher.Recipient(codeOf("anna")) {
		t.Errorf("got %+v, %v, want the recipient", found, err)
	}
	if found, err := f.FindRecipients(wire.NewMessageID(f.now, testTag)); err != nil ||
		len(found.Recipients) != 0 || !found.Whole {
		t.Errorf("an id that nobody has: %+v, %v", found, err)
	}
}
