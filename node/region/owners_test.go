package region

import (
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// newOwners opens states of regions whose logs have come to VersionOwners, each with all slots.
func newOwners(t testing.TB, names ...wire.RegionID) []*fixture {
	t.Helper()
	list := newRegions(t, names...)
	for _, f := range list {
		f.must(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: wire.VersionOwners})
		f.must(wire.CmdGrantSlots, allSlots())
	}
	return list
}

// handSlot has a region fence a slot and another one import what it knew.
func handSlot(t *testing.T, from, to *fixture, slot wire.Slot, epoch uint64) {
	t.Helper()
	from.must(wire.CmdFenceSlot, &wire.FenceSlot{Slot: slot, Epoch: epoch})
	page, err := from.HandOverSlot(wire.HandOverSlot{Slot: slot, Epoch: epoch})
	if err != nil {
		t.Fatal(err)
	}
	to.must(wire.CmdImportSlot, &wire.ImportSlot{Slot: slot, Epoch: epoch, Rows: page.Rows})
}

// keyOwner is the message that a key names.
func (f *fixture) keyOwner(rec wire.Record) (id wire.MessageID) {
	f.t.Helper()
	key := idempotencyKey(rec.RecipientUnder(f.hasher), rec.Idempotency)
	v, ok, err := f.db.Get(key[:])
	if err != nil {
		f.t.Fatal(err)
	}
	if ok {
		id = (*idempotencyRow)(v).id()
	}
	return id
}

// TestKeyOfTwoRejections: an anchor refused a message under a key, its slot was taken by force, the
// new anchor refused another one under the same key, and the slot came back. The region that claims
// the code takes both, whichever region it gets them from, with the key at the later one.
func TestKeyOfTwoRejections(t *testing.T) {
	code := codeOf("anna")
	for _, back := range []bool{true, false} {
		list := newOwners(t, "lazio", "sicilia", "umbria")
		lazio, sicilia, umbria := list[0], list[1], list[2]
		r := lazio.hasher.Recipient(code)
		x := lazio.keyed(lazio.message(code, someService, "one"), "k")
		lazio.submitOne(x)
		sicilia.now = sicilia.now.Add(time.Minute)
		y := sicilia.keyed(sicilia.message(code, someService, "two"), "k")
		sicilia.submitOne(y)
		anchor := sicilia
		if back { // what the first one knows is there before what the second one does
			handSlot(t, sicilia, lazio, r.Slot(), 3)
			anchor = lazio
		} else {
			handSlot(t, lazio, sicilia, r.Slot(), 3)
		}
		if got := anchor.keyOwner(y); got != y.ID {
			t.Errorf("back %v: the key is %v's, want %v's", back, got, y.ID)
		}
		umbria.must(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r})
		var h wire.RowPage
		if err := wire.Decode(anchor.must(wire.CmdRelease, &wire.Release{Recipient: r,
			To: "umbria", Epoch: 1}), &h); err != nil {
			t.Fatal(err)
		}
		umbria.must(wire.CmdImport, &wire.Import{Recipient: r, Epoch: 1, Page: h})
		rejected := wire.Verdict{Status: wire.Rejected, Reason: wire.UserNotFound}
		for _, rec := range []wire.Record{x, y} {
			umbria.wantOutcomes("a retry", umbria.submit(rec), wire.Outcome{Kind: wire.Decided,
				ID: rec.ID, Verdict: rejected})
		}
		again := umbria.keyed(umbria.message(code, someService, "two"), "k")
		again.Digest = y.Digest
		umbria.wantOutcomes("the key again", umbria.submit(again), wire.Outcome{
			Kind: wire.Decided, ID: y.ID, Verdict: rejected})
	}
}

// TestKeyWithoutMessageIsNotTaken: the new owner forgot a rejection between two pages of a move. The
// key that comes after it is left out, and the move goes on.
func TestKeyWithoutMessageIsNotTaken(t *testing.T) {
	list := newOwners(t, "lazio", "sicilia")
	lazio, sicilia := list[0], list[1]
	code := codeOf("anna")
	rec := lazio.keyed(lazio.message(code, someService, "one"), "k")
	lazio.submitOne(rec)
	lazio.own(code)
	m := lazio.fence(code, "sicilia")
	page := lazio.page(m, nil)
	for i, row := range page.Rows {
		if row.Key[0] == rejectedPrefix {
			page.Rows = append(page.Rows[:i:i], page.Rows[i+1:]...)
			break
		}
	}
	if p := sicilia.take(page); !p.Owned {
		t.Fatalf("got %+v", p)
	}
	if got := sicilia.keyOwner(rec); !got.IsZero() {
		t.Errorf("a key leads to %v, which is not here", got)
	}
}

// TestDeliveredMessageHasOneVerdict: a region refused a message as an anchor, another one that did
// not know of it delivered the message, and the citizen moves here. The key stays when the
// rejection would have gone.
func TestDeliveredMessageHasOneVerdict(t *testing.T) {
	list := newOwners(t, "lazio", "sicilia")
	lazio, sicilia := list[0], list[1]
	code := codeOf("anna")
	rec := lazio.keyed(lazio.message(code, someService, "one"), "k")
	sicilia.submitOne(rec)
	lazio.activate(code)
	if o := lazio.submitOne(rec); o.Verdict.Status != wire.Processed {
		t.Fatalf("got %+v", o)
	}
	move(lazio, sicilia, code)
	sicilia.now = sicilia.now.Add(RejectionRetention + 24*time.Hour)
	for range 30000 { // expiry follows by an hour an entry
		e, due := sicilia.DueExpiry(sicilia.now)
		if !due {
			break
		}
		sicilia.must(wire.CmdExpire, &e)
	}
	if got := sicilia.keyOwner(rec); got != rec.ID {
		t.Errorf("the key is %v's, want %v's", got, rec.ID)
	}
	retry := sicilia.keyed(sicilia.message(code, someService, "one"), "k")
	retry.Digest = rec.Digest
	sicilia.wantOutcomes("the key again", sicilia.submit(retry), wire.Outcome{Kind: wire.Decided,
		ID: rec.ID, Verdict: wire.Verdict{Status: wire.Processed}})
}

// TestMoveBackBeforeTheEnd: a citizen is back before the log has the end of the move away from here.
// Nothing is taken until it has, so that the earlier stay is erased, and the citizen can leave
// again.
func TestMoveBackBeforeTheEnd(t *testing.T) {
	list := newOwners(t, "lazio", "sicilia")
	lazio, sicilia := list[0], list[1]
	p := settle(lazio, "anna", 1)
	away := lazio.fence(p.code, "sicilia")
	moveAll(lazio, sicilia, away)
	back := sicilia.fence(p.code, "lazio")
	lazio.refuse(wire.Unavailable, wire.CmdMovePage, sicilia.page(back, nil))
	out, there, err := lazio.Leaving(away.Recipient)
	if err != nil || !there || out.Epoch != away.Epoch {
		t.Fatalf("got %+v, %v, %v", out, there, err)
	}
	lazio.must(wire.CmdMoveDone, leaving(out))
	lazio.must(wire.CmdMoveErase, &wire.MoveErase{Recipient: away.Recipient})
	moveAll(sicilia, lazio, back)
	lazio.wantOwner(away.Recipient, wire.Ownership{State: wire.Owned, Epoch: 3})
	if m := lazio.intend(p.code, "sicilia"); m.Epoch != 4 {
		t.Errorf("the next move is of epoch %d, want 4", m.Epoch)
	}
}

// TestMoveBackHeals: the same in a log of before, where the row of the ended move stayed.
func TestMoveBackHeals(t *testing.T) {
	list := newRegions(t, "lazio", "sicilia")
	lazio, sicilia := list[0], list[1]
	lazio.must(wire.CmdGrantSlots, allSlots())
	p := settle(lazio, "anna", 1)
	away := lazio.fence(p.code, "sicilia")
	moveAll(lazio, sicilia, away)
	moveAll(sicilia, lazio, sicilia.fence(p.code, "lazio"))
	lazio.refuse(wire.Conflict, wire.CmdMoveDone, leaving(away))
	lazio.must(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: wire.VersionOwners})
	lazio.must(wire.CmdMoveDone, leaving(away))
	lazio.wantOwner(away.Recipient, wire.Ownership{State: wire.Owned, Epoch: 3})
	if m := lazio.intend(p.code, "sicilia"); m.Epoch != 4 {
		t.Errorf("the next move is of epoch %d, want 4", m.Epoch)
	}
}

// TestRefusedIsNotOwned: a region refused a move, and was then told, with a slot, that the old owner
// has the code at the epoch after. It never had the citizen, whatever the epochs say.
func TestRefusedIsNotOwned(t *testing.T) {
	list := newOwners(t, "lazio", "sicilia")
	lazio, sicilia := list[0], list[1]
	code := codeOf("anna")
	lazio.own(code)
	m := lazio.fence(code, "sicilia")
	sicilia.must(wire.CmdMoveRefuse, coming(m))
	slot := m.Recipient.Slot()
	sicilia.must(wire.CmdImportSlot, &wire.ImportSlot{Slot: slot, Epoch: 2,
		Marks: []wire.SlotMark{{Recipient: m.Recipient, Region: "lazio", Epoch: 3}}})
	sicilia.wantOwner(m.Recipient, wire.Ownership{State: wire.Released, Epoch: 3,
		Region: "lazio"})
	for range 2 {
		var p wire.MoveProgress
		err := wire.Decode(sicilia.must(wire.CmdMoveRefuse, coming(m)), &p)
		if err != nil || p.Owned || !p.Refused {
			t.Errorf("got %+v, %v: want refused", p, err)
		}
		if p, err := sicilia.MoveProgress(m.Recipient, m.Epoch); err != nil || p.Owned {
			t.Errorf("got %+v, %v: want refused", p, err)
		}
	}
}
