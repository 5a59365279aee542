package region

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

// newRestored opens the state of a region that was restored once.
func newRestored(t *testing.T) *fixture {
	t.Helper()
	cfg := testConfig(vfs.NewMem(), "lazio", newCoder(t))
	cfg.Store.Identity.Incarnation = 1
	return openFixture(t, cfg)
}

// reconcile logs one page.
func (f *fixture) reconcile(done bool, list ...wire.Standing) {
	f.t.Helper()
	f.must(wire.CmdReconcile, &wire.Reconcile{Incarnation: 1, List: list, Done: done,
		Counts: wire.ReconcileCounts{Agreed: 1}})
}

func (f *fixture) wantOwner(r wire.Recipient, want wire.Ownership) {
	f.t.Helper()
	if got, _, err := f.Ownership(r); err != nil || got != want {
		f.t.Errorf("ownership %+v, %v; want %+v", got, err, want)
	}
}

// TestReconcileGone gives up a citizen who had moved away after the copy was made: nothing is
// decided, read or left here any more.
func TestReconcileGone(t *testing.T) {
	f := newRestored(t)
	p := settle(f, "anna", 3)
	r := f.hasher.Recipient(p.code)
	f.checkAllThere(p)
	if f.Reconciled() {
		t.Error("a region that was restored serves at once")
	}
	for range 2 { // a page may come twice
		f.reconcile(false, wire.Standing{Recipient: r, Region: "sicilia", Epoch: 2})
	}
	gone := wire.Ownership{State: wire.Released, Epoch: 2, Region: "sicilia"}
	f.wantOwner(r, gone)
	f.reconcile(true)
	if _, at := f.RestoreProgress(); !f.Reconciled() || at.Counts.Agreed != 3 || !at.Done {
		t.Errorf("not done: %+v", at)
	}
	m := f.message(p.code, someService, "late")
	f.wantOutcomes("a message to who is gone", f.submit(m), wire.Outcome{Kind: wire.NotOwner,
		Region: "sicilia", Epoch: 2})
	_, err := f.Session(p.token, f.now)
	f.wantMoved(err, "sicilia", 2)
	f.now = f.now.Add(keepMovedDefault + time.Hour)
	f.eraseRemains()
	if placed, err := f.Messages(r); err != nil || len(placed) > 0 {
		t.Errorf("%d messages remain, %v", len(placed), err)
	}
	// What comes after the last page changes nothing.
	f.reconcile(false, wire.Standing{Recipient: r, Region: "lazio", Epoch: 3})
	f.wantOwner(r, gone)
}

// TestReconcileOwnersOfAnEpoch: an epoch that the log and the directory both have says nothing unless
// they name one owner for it. Where they do not, the directory's word holds.
func TestReconcileOwnersOfAnEpoch(t *testing.T) {
	f := newRestored(t)
	f.must(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: wire.VersionOwners})
	recipient := func(name string) wire.Recipient { return f.hasher.Recipient(codeOf(name)) }
	stays, goes, elsewhere, back := recipient("a"), recipient("b"), recipient("c"), recipient("d")
	f.own(codeOf("a"))
	f.own(codeOf("b"))
	f.reconcile(false, wire.Standing{Recipient: elsewhere, Region: "puglia", Epoch: 2},
		wire.Standing{Recipient: back, Region: "puglia", Epoch: 2})
	own, _, err := f.Ownership(stays)
	if err != nil {
		t.Fatal(err)
	}
	f.reconcile(false, wire.Standing{Recipient: stays, Region: "lazio", Epoch: own.Epoch},
		wire.Standing{Recipient: goes, Region: "sicilia", Epoch: own.Epoch},
		wire.Standing{Recipient: elsewhere, Region: "sicilia", Epoch: 2},
		wire.Standing{Recipient: back, Region: "lazio", Epoch: 2})
	f.wantOwner(stays, own)
	f.wantOwner(goes, wire.Ownership{State: wire.Released, Epoch: own.Epoch, Region: "sicilia"})
	f.wantOwner(elsewhere, wire.Ownership{State: wire.Released, Epoch: 2, Region: "sicilia"})
	f.wantOwner(back, wire.Ownership{State: wire.Owned, Epoch: 2})
}

// TestReconcileFencedAndGone: the copy has a citizen fenced, and by now a third region has the code.
// What is here of the citizen goes as after any move.
func TestReconcileFencedAndGone(t *testing.T) {
	f := newRestored(t)
	p := settle(f, "anna", 3)
	m := f.fence(p.code, "sicilia")
	f.reconcile(true, wire.Standing{Recipient: m.Recipient, Region: "umbria", Epoch: 3})
	f.wantOwner(m.Recipient, wire.Ownership{State: wire.Released, Epoch: 3, Region: "umbria"})
	_, err := f.Session(p.token, f.now)
	f.wantMoved(err, "umbria", 3)
	f.now = f.now.Add(keepMovedDefault + time.Hour)
	f.eraseRemains()
	if n := f.holds("anna-"); n > 0 {
		t.Errorf("%d records remain", n)
	}
	if n := f.holds(string(p.code)); n > 0 {
		t.Errorf("the fiscal code stands in %d rows and records", n)
	}
}

// TestReconcileLeaving: the directory has a citizen on the way to another region, and the copy does
// not know of it. Asking for the move's end brings the code back, or finds it gone.
func TestReconcileLeaving(t *testing.T) {
	f := newRestored(t)
	p := settle(f, "bruno", 2)
	r := f.hasher.Recipient(p.code)
	f.reconcile(true, wire.Standing{Recipient: r, Region: "sicilia", Epoch: 2, Leaving: true})
	f.wantOwner(r, wire.Ownership{State: wire.Released, Epoch: 2, Region: "sicilia"})
	moves, err := f.Moves(10)
	if err != nil || len(moves) != 1 || !moves[0].Aborting || moves[0].State != wire.MoveFenced ||
		moves[0].To != "sicilia" || moves[0].Epoch != 2 {
		t.Fatalf("moves %+v, %v", moves, err)
	}
	owners, err := f.Owners(r, 1)
	if err != nil || len(owners) != 1 || !owners[0].Leaving {
		t.Errorf("owners %+v, %v", owners, err)
	}
	f.must(wire.CmdMoveUndo, leaving(moves[0]))
	f.wantOwner(r, wire.Ownership{State: wire.Owned, Epoch: 3})
	f.checkAllThere(p)
}

// TestReconcileHere takes up codes that had come, or come back, after the copy was made.
func TestReconcileHere(t *testing.T) {
	f := newRestored(t)
	raised, back := settle(f, "carla", 2), settle(f, "dario", 2)
	f.must(wire.CmdGrantSlots, allSlots())
	claimed, moved := f.hasher.Recipient(codeOf("elena")), f.hasher.Recipient(codeOf("fabio"))
	m := f.fence(back.code, "sicilia")
	f.must(wire.CmdMoveDone, leaving(m)) // gone when the copy was made, and back since
	f.reconcile(true,
		wire.Standing{Recipient: f.hasher.Recipient(raised.code), Region: "lazio", Epoch: 3},
		wire.Standing{Recipient: m.Recipient, Region: "lazio", Epoch: 3},
		wire.Standing{Recipient: claimed, Region: "lazio", Epoch: 1},
		wire.Standing{Recipient: moved, Region: "lazio", Epoch: 2})
	f.wantOwner(f.hasher.Recipient(raised.code), wire.Ownership{State: wire.Owned, Epoch: 3})
	f.checkAllThere(raised)
	f.wantOwner(m.Recipient, wire.Ownership{State: wire.Owned, Epoch: 3})
	f.checkAllThere(back)
	f.wantOwner(claimed, wire.Ownership{State: wire.Claiming, Epoch: 1})
	f.wantOwner(moved, wire.Ownership{State: wire.Owned, Epoch: 2})
	// Nothing of who is back is due to be erased.
	f.now = f.now.Add(keepMovedDefault + time.Hour)
	f.eraseRemains()
	f.checkAllThere(back)
	// Each is told to the directory, or claimed anew.
	pending, err := f.Pending(100)
	want := map[wire.Recipient]wire.OwnershipState{f.hasher.Recipient(raised.code): wire.Owned,
		m.Recipient: wire.Owned, claimed: wire.Claiming, moved: wire.Owned}
	for _, p := range pending {
		if want[p.Recipient] == p.State {
			delete(want, p.Recipient)
		}
	}
	if err != nil || len(want) > 0 {
		t.Errorf("not pending: %v, %v", want, err)
	}
}

// TestReconcileRefuses: pages that are not for this incarnation or make no sense change nothing, nor
// do those that know less than the region.
func TestReconcileRefuses(t *testing.T) {
	f := newRestored(t)
	p := settle(f, "gina", 1)
	r := f.hasher.Recipient(p.code)
	gone := wire.Standing{Recipient: r, Region: "sicilia", Epoch: 2}
	many := make([]wire.Standing, wire.ReconcileMax+1)
	for name, c := range map[string]struct {
		page wire.Reconcile
		code wire.Code
	}{
		"no incarnation":      {wire.Reconcile{List: []wire.Standing{gone}}, wire.Conflict},
		"another incarnation": {wire.Reconcile{Incarnation: 2, List: []wire.Standing{gone}}, wire.Conflict},
		"too many":            {wire.Reconcile{Incarnation: 1, List: many}, wire.TooLarge},
		"no code": {wire.Reconcile{Incarnation: 1, List: []wire.Standing{gone,
			{Region: "sicilia", Epoch: 1}}}, wire.Malformed},
		"no region": {wire.Reconcile{Incarnation: 1, List: []wire.Standing{{Recipient: r,
			Epoch: 2}}}, wire.Malformed},
		"no epoch": {wire.Reconcile{Incarnation: 1, List: []wire.Standing{{Recipient: r,
			Region: "sicilia"}}}, wire.Malformed},
	} {
		if got := f.do(wire.CmdReconcile, &c.page); got.Err == nil || got.Err.Code != c.code {
			t.Errorf("%s: got %v, want %v", name, got.Err, c.code)
		}
	}
	f.reconcile(false, wire.Standing{Recipient: r, Region: "sicilia", Epoch: 1})
	f.wantOwner(r, wire.Ownership{State: wire.Owned, Epoch: 1})
	f.checkAllThere(p)

	// A region that was never restored takes no page at all.
	never := newFixture(t, "lazio")
	if got := never.do(wire.CmdReconcile, &wire.Reconcile{Done: true}); got.Err == nil {
		t.Error("a region that was never restored took a page")
	}
	if !never.Reconciled() {
		t.Error("a region that was never restored does not serve")
	}
}

// TestReconcileIsKept: how far the comparison is survives a restart, and is of one incarnation.
func TestReconcileIsKept(t *testing.T) {
	f := newRestored(t)
	last := f.hasher.Recipient(codeOf("ivo"))
	f.must(wire.CmdReconcile, &wire.Reconcile{Incarnation: 1, Last: last,
		Counts: wire.ReconcileCounts{Lost: 2}})
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	g := openFixture(t, f.cfg)
	at, r := g.RestoreProgress()
	if at != last || r.Counts.Lost != 2 || r.Done || r.Incarnation != 1 {
		t.Errorf("after a restart: %v, %+v", at, r)
	}
}
