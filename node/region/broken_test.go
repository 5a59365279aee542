package region

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

// plant writes rows beside the log, as a fault of the program would have.
func (f *fixture) plant(rows map[string][]byte) {
	f.t.Helper()
	e := f.entry(wire.CommandsEntry, nil)
	b := f.db.NewBatch()
	defer b.Close()
	for k, v := range rows {
		if err := b.Set([]byte(k), v, nil); err != nil {
			f.t.Fatal(err)
		}
	}
	_, sum := f.db.Digest()
	pos := f.db.Position()
	pos.Index, pos.Term = e.Index, e.Term
	if err := f.db.Commit(b, pos, sum); err != nil {
		f.t.Fatal(err)
	}
}

// leadsNowhere plants the idempotency key of a record whose message is not there.
func (f *fixture) leadsNowhere(kind byte, rec wire.Record) {
	f.t.Helper()
	key := newWideKey(kind, rec.RecipientUnder(f.hasher), rec.Idempotency)
	row := newIdempotencyRow(f.id(), rec.Digest)
	f.plant(map[string][]byte{string(key[:]): row[:]})
}

// TestBrokenKeyFailsItsRecord: a key that leads to no message is the same on every replica. Its
// record fails, those beside it are decided, and the alarm is raised. Below VersionOwners every
// replica stops, again after each restart.
func TestBrokenKeyFailsItsRecord(t *testing.T) {
	for _, version := range []uint32{2, wire.VersionOwners} {
		f := newFixture(t, "lazio")
		f.must(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: version})
		f.must(wire.CmdGrantSlots, allSlots())
		f.activate(codeOf("anna"))
		broken := f.keyed(f.message(codeOf("anna"), someService, "one"), "k")
		f.leadsNowhere(idempotencyPrefix, broken)
		whole := f.message(codeOf("anna"), someService, "two")
		e := f.entry(wire.BlockEntry, f.seal(broken, whole))
		results, err := f.Apply([]wire.LogEntry{e})
		if version < wire.VersionOwners {
			if err == nil {
				t.Error("below VersionOwners it is decided otherwise than it was")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		f.wantOutcomes("a broken key, and a neighbour", results[0].(*wire.Outcomes).List,
			wire.Outcome{Kind: wire.Broken, ID: broken.ID},
			wire.Outcome{Kind: wire.Decided, ID: whole.ID,
				Verdict: wire.Verdict{Status: wire.Processed}})
		if got := f.Broken(); got != 1 {
			t.Errorf("%d records are broken, want 1", got)
		}
	}
}

// TestBrokenStubFailsItsRecord: the same in the spool.
func TestBrokenStubFailsItsRecord(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: wire.VersionOwners})
	rec := f.keyed(f.message(codeOf("anna"), someService, "one"), "k")
	f.leadsNowhere(stubKeyPrefix, rec)
	to := newAway(t, "sicilia")
	want := wire.Outcome{Kind: wire.Broken, ID: rec.ID}
	got := f.spool(to, rec)
	f.wantOutcomes("spool", got.Outcomes, want)
	admitted, err := f.AdmitSpool([]wire.Record{f.redact(rec)}, f.now)
	if err != nil || f.Broken() != 2 {
		t.Errorf("%v, %d broken", err, f.Broken())
	}
	f.wantOutcomes("admission", admitted, want)
}

// TestUndecidableEntries: what no leader lets pass, in a log all the same, fails and stops nobody.
func TestUndecidableEntries(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: wire.VersionOwners})
	f.must(wire.CmdGrantSlots, allSlots())
	f.activate(codeOf("anna"))
	nameless, unread := f.message(codeOf("anna"), someService, "one"),
		f.message(codeOf("anna"), someService, "two")
	nameless.ID, unread.Content = wire.MessageID{}, []byte{0xff}
	whole := f.message(codeOf("anna"), someService, "three")
	f.wantOutcomes("records", f.submit(nameless, unread, whole), wire.Outcome{Kind: wire.Broken},
		wire.Outcome{Kind: wire.Broken, ID: unread.ID}, wire.Outcome{Kind: wire.Decided, ID: whole.ID,
			Verdict: wire.Verdict{Status: wire.Processed}})
	b, err := f.coder.Decode(f.seal(whole))
	if err != nil {
		t.Fatal(err)
	}
	f.apply(f.entry(wire.BlockEntry, b.Erase(f.coder)))
	f.apply(f.entry(wire.CommandsEntry, []byte{0xff}))
	if got := f.Broken(); got != 4 {
		t.Errorf("%d broken, want 4", got)
	}
}

// TestErasureLeavesNoKeyAlone: whatever a copy has that is made in the middle of an erasure, each key
// in it leads to its message.
func TestErasureLeavesNoKeyAlone(t *testing.T) {
	list := newOwners(t, "lazio", "sicilia")
	lazio, sicilia := list[0], list[1]
	code := codeOf("anna")
	lazio.activate(code)
	for i := range remainsRowsMax/100 + 1 {
		var records []wire.Record
		for j := range 100 {
			records = append(records, lazio.keyed(lazio.message(code, someService, "text"),
				fmt.Sprint(i, " ", j)))
		}
		lazio.submit(records...)
	}
	move(lazio, sicilia, code)
	steps := 0
	for more := true; more; steps++ {
		var e wire.MoveErased
		if err := wire.Decode(lazio.must(wire.CmdMoveErase, &wire.MoveErase{
			Recipient: lazio.hasher.Recipient(code)}), &e); err != nil {
			t.Fatal(err)
		}
		more = e.More
		rows := lazio.rows()
		for k, v := range rows {
			if k[0] != idempotencyPrefix {
				continue
			}
			message := string(inboxPrefix) + k[1:17] + v[:16]
			if _, ok := rows[message]; !ok {
				t.Fatalf("after step %d a key leads to no message", steps)
			}
		}
	}
	if steps < 3 {
		t.Errorf("erased in %d steps, want a few", steps)
	}
}

// TestTakeBack: a code that the directory has with the region, and nobody owns, comes back with what
// is here, and is not erased. Nothing is taken that is on its way.
func TestTakeBack(t *testing.T) {
	list := newOwners(t, "lazio", "sicilia")
	lazio := list[0]
	p := settle(lazio, "anna", 2)
	m := lazio.fence(p.code, "sicilia")
	back := &wire.Standing{Recipient: m.Recipient, Region: "lazio", Epoch: 3}
	lazio.refuse(wire.Conflict, wire.CmdTakeBack, back) // the move is under way
	lazio.must(wire.CmdMoveDone, leaving(m))            // by a program of before
	lazio.refuse(wire.Malformed, wire.CmdTakeBack, &wire.Standing{Recipient: m.Recipient,
		Region: "sicilia", Epoch: 3})
	late := &wire.Standing{Recipient: m.Recipient, Region: "lazio", Epoch: 2}
	lazio.must(wire.CmdTakeBack, late)
	lazio.wantOwner(m.Recipient, wire.Ownership{State: wire.Released, Epoch: 2, Region: "sicilia"})
	for range 2 {
		lazio.must(wire.CmdTakeBack, back)
	}
	lazio.wantOwner(m.Recipient, wire.Ownership{State: wire.Owned, Epoch: 3})
	lazio.now = lazio.now.Add(keepMovedDefault + time.Hour)
	lazio.eraseRemains()
	lazio.checkAllThere(p)
}

// TestRefusedMoveIsForgotten once its end is known, and no other one.
func TestRefusedMoveIsForgotten(t *testing.T) {
	list := newOwners(t, "lazio", "sicilia")
	lazio, sicilia := list[0], list[1]
	lazio.own(codeOf("anna"))
	m := lazio.fence(codeOf("anna"), "sicilia")
	sicilia.must(wire.CmdMoveRefuse, coming(m))
	refused, err := sicilia.Refused(wire.Recipient{}, 10)
	if err != nil || len(refused) != 1 || refused[0] != *coming(m) {
		t.Fatalf("got %+v, %v", refused, err)
	}
	later := *coming(m)
	later.Epoch++
	sicilia.must(wire.CmdMoveForget, &later)
	if p, err := sicilia.MoveProgress(m.Recipient, m.Epoch); err != nil || !p.Refused {
		t.Errorf("got %+v, %v: want refused", p, err)
	}
	sicilia.must(wire.CmdMoveForget, coming(m))
	if refused, err := sicilia.Refused(wire.Recipient{}, 10); err != nil || len(refused) != 0 {
		t.Errorf("got %+v, %v: want none", refused, err)
	}
}

// TestInstalledStateCannotBeRead: the switch was made, so that the replica has to stop. What it
// returned said that nothing had changed, and it went on.
func TestInstalledStateCannotBeRead(t *testing.T) {
	from, coder := newFixture(t, "lazio"), newCoder(t)
	from.must(wire.CmdGrantSlots, allSlots())
	from.plant(map[string][]byte{string(slotKey(7)): {1, 2, 3}})
	to := openFixture(t, testConfig(vfs.NewMem(), "lazio", coder))
	to.must(wire.CmdGrantSlots, allSlots())
	at := send(t, from, to)
	if err := to.Install(at); err == nil {
		t.Fatal("a state that cannot be read was installed")
	}
	select {
	case err := <-to.Err():
		if err == nil {
			t.Error("stopped without a reason")
		}
	default:
		t.Error("the replica did not stop")
	}
	if _, err := to.Apply([]wire.LogEntry{to.entry(wire.CommandsEntry, nil)}); err == nil ||
		!errors.Is(err, to.failed) {
		t.Errorf("applied on top of it: %v", err)
	}
}
