package federation

import (
	"errors"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

// restoredState is that of a federation that was restored once.
func restoredState(t *testing.T) *State {
	t.Helper()
	cfg := testConfig(vfs.NewMem())
	cfg.Store.Identity.Incarnation = 1
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	succeed(t, s, command(wire.CmdFound, testMap("lazio", "sicilia")))
	return s
}

// put writes a row as the copy had it.
func (s *State) put(t *testing.T, name string, d directoryRow) {
	t.Helper()
	tx := s.begin()
	defer tx.batch.Close()
	tx.pos.Index, tx.pos.Term = tx.pos.Index+1, 1
	tx.link(tx.pos.Index)
	tx.set(appendDirectoryKey(nil, recipientOf(name)), d.encode(nil))
	tx.chain.Sum(tx.digest[:0])
	if err := s.db.Commit(tx.batch, tx.pos, tx.digest); err != nil || tx.err != nil {
		t.Fatal(err, tx.err)
	}
}

// TestReports: each row of the directory meets what a region says of the code; the better word wins.
func TestReports(t *testing.T) {
	const lazio, sicilia = 1, 2
	claimed := func(tag wire.RegionTag, epoch wire.Epoch, active bool) directoryRow {
		return directoryRow{region: tag, epoch: epoch, state: wire.Claimed, active: active}
	}
	pending := directoryRow{region: sicilia, epoch: 1, state: wire.ClaimPending}
	moving := directoryRow{region: lazio, epoch: 1, state: wire.Moving, to: sicilia}
	for name, c := range map[string]struct {
		before directoryRow
		says   wire.Standing // by lazio
		after  directoryRow
	}{
		"claimed since": {directoryRow{}, wire.Standing{Region: "lazio", Epoch: 1, Active: true},
			claimed(lazio, 1, true)},
		"gave it up since": {claimed(lazio, 1, true), wire.Standing{Region: "sicilia", Epoch: 2},
			claimed(sicilia, 2, false)},
		"came since": {claimed(sicilia, 1, true), wire.Standing{Region: "lazio", Epoch: 2},
			claimed(lazio, 2, false)},
		"went and came": {claimed(lazio, 1, true), wire.Standing{Region: "lazio", Epoch: 3,
			Active: true}, claimed(lazio, 3, true)},
		"an older word": {claimed(sicilia, 3, true), wire.Standing{Region: "lazio", Epoch: 2},
			claimed(sicilia, 3, true)},
		"activity": {claimed(lazio, 1, false), wire.Standing{Region: "lazio", Epoch: 1,
			Active: true}, claimed(lazio, 1, true)},
		"a mark does not say who is active": {claimed(sicilia, 2, true),
			wire.Standing{Region: "sicilia", Epoch: 2}, claimed(sicilia, 2, true)},
		"against a claim not finished": {pending, wire.Standing{Region: "lazio", Epoch: 1},
			claimed(lazio, 1, false)},
		"a mark that finishes a claim": {pending, wire.Standing{Region: "sicilia", Epoch: 1},
			claimed(sicilia, 1, false)},
		"a move under way": {moving, wire.Standing{Region: "lazio", Epoch: 1, Active: true}, moving},
		"a move that is over": {moving, wire.Standing{Region: "sicilia", Epoch: 2},
			claimed(sicilia, 2, false)},
	} {
		s := restoredState(t)
		if c.before != (directoryRow{}) {
			s.put(t, name, c.before)
		}
		c.says.Recipient = recipientOf(name)
		for range 2 {
			succeed(t, s, command(wire.CmdReport, &wire.OwnershipReport{Region: "lazio",
				Incarnation: 1, List: []wire.Standing{c.says}}))
			got, err := s.Directory(c.says.Recipient)
			if want := c.after.entry(s.founded.Load()); err != nil || got != want {
				t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
			}
		}
	}
}

// TestReportsOfTheMap: a region's incarnation and its slots, if they are newer than the copy's.
func TestReportsOfTheMap(t *testing.T) {
	s := restoredState(t)
	report := func(r wire.OwnershipReport) wire.Result {
		r.Region, r.Incarnation = "sicilia", 1
		return apply(t, s, command(wire.CmdReport, &r))[0]
	}
	if r := report(wire.OwnershipReport{RegionIncarnation: 2, Slots: []wire.Slot{0, 1},
		Epochs: []uint64{3, 1}}); r.Err != nil {
		t.Fatal(r.Err)
	}
	m, _ := s.Map()
	region, _ := m.RegionByID("sicilia")
	if region.Incarnation != 2 || m.Anchor(0) != "sicilia" || m.SlotEpoch(0) != 3 ||
		m.SlotEpoch(1) != wire.SlotEpochFounding {
		t.Errorf("%+v, slot 0 %s at %d, slot 1 at %d", region, m.Anchor(0), m.SlotEpoch(0),
			m.SlotEpoch(1))
	}
	if r := report(wire.OwnershipReport{RegionIncarnation: 1}); r.Err == nil ||
		r.Err.Code != wire.Conflict {
		t.Errorf("an earlier incarnation reported: %v", r.Err)
	}
}

// TestAwaited: no claim before every region has reported, or is not waited for.
func TestAwaited(t *testing.T) {
	s := restoredState(t)
	claim := func() *wire.Error {
		return apply(t, s, directoryOp(wire.OpClaim, "anna", "lazio", 1, false))[0].Err
	}
	awaited := func(want ...wire.RegionID) {
		t.Helper()
		if got, err := s.Awaited(); err != nil || !slices.Equal(got, want) {
			t.Errorf("awaited: %v, %v; want %v", got, err, want)
		}
	}
	awaited("lazio", "sicilia")
	done := func(region wire.RegionID) wire.Command {
		return command(wire.CmdReport, &wire.OwnershipReport{Region: region, Incarnation: 1,
			Done: true})
	}
	succeed(t, s, done("lazio"), done("lazio"))
	awaited("sicilia")
	if err := claim(); err == nil || err.Code != wire.NotReady {
		t.Errorf("claimed before all reported: %v", err)
	}
	succeed(t, s, command(wire.CmdWaiveReport, &wire.WaiveReport{Region: "sicilia"}))
	awaited()
	if due, err := s.Unreported("sicilia"); err != nil || !due {
		t.Errorf("a region that is not waited for need not report: %v", err)
	}
	if err := claim(); err != nil {
		t.Errorf("not claimed: %v", err)
	}
	succeed(t, s, done("sicilia"))
	if due, _ := s.Unreported("sicilia"); due {
		t.Error("a region that has reported is to report")
	}
	for name, c := range map[string]wire.Command{
		"no such region": command(wire.CmdWaiveReport, &wire.WaiveReport{Region: "umbria"}),
		"another incarnation": command(wire.CmdReport, &wire.OwnershipReport{Region: "lazio",
			Incarnation: 2}),
		"a region off the map": command(wire.CmdReport, &wire.OwnershipReport{Region: "lazio",
			Incarnation: 1, List: []wire.Standing{{Recipient: recipientOf("x"), Region: "umbria",
				Epoch: 1}}}),
		"no epoch": command(wire.CmdReport, &wire.OwnershipReport{Region: "lazio",
			Incarnation: 1, List: []wire.Standing{{Recipient: recipientOf("x"),
				Region: "lazio"}}}),
		"slots without epochs": command(wire.CmdReport, &wire.OwnershipReport{Region: "lazio",
			Incarnation: 1, Slots: []wire.Slot{1}}),
		"no such slot": command(wire.CmdReport, &wire.OwnershipReport{Region: "lazio",
			Incarnation: 1, Slots: []wire.Slot{wire.Slots}, Epochs: []uint64{1}}),
	} {
		if r := apply(t, s, c)[0]; r.Err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestNeverRestored: a federation that was not restored awaits nothing and takes no report.
func TestNeverRestored(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	succeed(t, s, command(wire.CmdFound, testMap("lazio", "sicilia")))
	for _, c := range []wire.Command{command(wire.CmdWaiveReport, &wire.WaiveReport{Region: "lazio"}),
		command(wire.CmdReport, &wire.OwnershipReport{Region: "lazio"})} {
		if r := apply(t, s, c)[0]; r.Err == nil || r.Err.Code != wire.Conflict {
			t.Errorf("command %d: %v", c.Kind, r.Err)
		}
	}
	if list, err := s.Awaited(); err != nil || len(list) > 0 {
		t.Errorf("awaited: %v, %v", list, err)
	}
	succeed(t, s, directoryOp(wire.OpClaim, "anna", "lazio", 1, false))
}

// TestFence: a region's incarnation goes up one by one, and what an earlier one says of codes has
// no effect.
func TestFence(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	succeed(t, s, command(wire.CmdFound, testMap("lazio", "sicilia")))
	fence := func(r wire.RegionID, n uint32) *wire.Error {
		f := &wire.FenceRegion{Region: r, Incarnation: n}
		planned := s.PlanFence(f)
		err := apply(t, s, command(wire.CmdFenceRegion, f))[0].Err
		if (planned == nil) != (err == nil) {
			t.Errorf("%s %d: planned %v, done %v", r, n, planned, err)
		}
		return err
	}
	for _, c := range []struct {
		region wire.RegionID
		n      uint32
		code   wire.Code
	}{{"umbria", 1, wire.NotFound}, {"lazio", 2, wire.Conflict}, {"lazio", 1, 0},
		{"lazio", 1, 0}, {"lazio", 0, wire.Conflict}, {"lazio", 2, 0}} {
		if err := fence(c.region, c.n); (err == nil) != (c.code == 0) ||
			err != nil && err.Code != c.code {
			t.Errorf("%s %d: %v, want %v", c.region, c.n, err, c.code)
		}
	}
	if err := s.PlanFence(&wire.FenceRegion{Region: "sicilia"}); !errors.Is(err, wire.Malformed) {
		t.Errorf("a fence to what it was founded as: %v", err)
	}
	op := func(region wire.RegionID, incarnation uint32) *wire.Error {
		return apply(t, s, command(wire.CmdDirectory, &wire.DirectoryOps{Incarnation: incarnation,
			List: []wire.DirectoryOp{{Kind: wire.OpClaim, Recipient: recipientOf("anna"),
				Region: region, Epoch: 1}}}))[0].Err
	}
	// Programs of the first version do not read the field, so that it has no effect before all are
	// known to be newer.
	if err := op("sicilia", 7); err != nil {
		t.Errorf("at the first version: %v", err)
	}
	succeed(t, s, command(wire.CmdFinalise, &wire.RaiseVersion{Version: 2}))
	for _, c := range []struct {
		region wire.RegionID
		n      uint32
		ok     bool
	}{{"lazio", 0, false}, {"lazio", 1, false}, {"lazio", 3, false}, {"sicilia", 1, false},
		{"lazio", 2, true}, {"sicilia", 0, true}} {
		if err := op(c.region, c.n); (err == nil) != c.ok {
			t.Errorf("incarnation %d of %s: %v", c.n, c.region, err)
		}
	}
}

// TestAwaitedHoldsUpDeals: while a region has not reported, slots are not dealt, of which it may
// hold some since the copy was made, and no region is taken for empty.
func TestAwaitedHoldsUpDeals(t *testing.T) {
	s := restoredState(t)
	umbria := &wire.RegionChange{ID: "umbria", Tag: 9}
	succeed(t, s, command(wire.CmdMembers, &wire.MemberChange{PutRegion: umbria}))
	closing := &wire.MemberChange{PutRegion: &wire.RegionChange{ID: "umbria", Tag: 9,
		Closing: true}}
	changes := []wire.Command{
		command(wire.CmdDealSlots, &wire.DealSlots{Slots: []wire.Slot{0}, To: "sicilia"}),
		command(wire.CmdMembers, closing),
	}
	report := func(region wire.RegionID) {
		t.Helper()
		succeed(t, s, command(wire.CmdReport, &wire.OwnershipReport{Region: region,
			Incarnation: 1, Done: true}))
	}
	report("sicilia")
	for i, r := range apply(t, s, changes...) {
		if r.Err == nil || r.Err.Code != wire.Conflict {
			t.Errorf("change %d while lazio is awaited: %v, want a conflict", i, r.Err)
		}
	}
	if _, err := s.PlanMembers(closing); !errors.Is(err, wire.Conflict) {
		t.Errorf("planned: %v, want a conflict", err)
	}
	report("lazio")
	succeed(t, s, changes...)
	if _, err := s.PlanMembers(closing); err != nil {
		t.Error(err)
	}
}

// TestForgottenNodeIsRemoved: a node that joined after the copy was made is on no map, and can be
// removed for good all the same.
func TestForgottenNodeIsRemoved(t *testing.T) {
	s := restoredState(t)
	removed := func() bool {
		t.Helper()
		was, err := s.Removed("lazio-9")
		if err != nil {
			t.Fatal(err)
		}
		return was
	}
	c := &wire.MemberChange{RemoveNode: &wire.NodeRemoval{ID: "lazio-9"}}
	if _, err := s.PlanMembers(c); err != nil || removed() {
		t.Errorf("planned: %v, removed: %t", err, removed())
	}
	for range 2 {
		succeed(t, s, command(wire.CmdMembers, c))
		if !removed() {
			t.Error("not removed")
		}
	}
	other := mustOpen(t, vfs.NewMem())
	defer other.Close()
	succeed(t, other, command(wire.CmdFound, testMap("lazio")))
	if r := apply(t, other, command(wire.CmdMembers, c))[0]; r.Err == nil {
		t.Error("a federation that was not restored removes a node that it never had")
	}
}
