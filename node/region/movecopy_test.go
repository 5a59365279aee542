package region

import (
	"reflect"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

// lostArrival is a citizen who moved from sicilia to lazio, which was then restored to before that.
func lostArrival(t *testing.T, blocks int) (sicilia, lazio *fixture, p *settler, m wire.Move) {
	coder := newCoder(t)
	sicilia = openFixture(t, testConfig(vfs.NewMem(), "sicilia", coder))
	cfg := testConfig(vfs.NewMem(), "lazio", coder)
	cfg.Store.Identity.Incarnation = 1
	lazio = openFixture(t, cfg)
	lazio.minted = 1 << 32
	p = settle(sicilia, "anna", blocks)
	m = sicilia.fence(p.code, "lazio")
	sicilia.must(wire.CmdMoveDone, leaving(m))
	lazio.now = sicilia.now
	lazio.reconcile(true, wire.Standing{Recipient: m.Recipient, Region: "lazio", Epoch: m.Epoch})
	return sicilia, lazio, p, m
}

// copyPage is a page of what is kept, as it is asked for.
func (f *fixture) copyPage(m wire.Move, at []byte) *wire.MovePage {
	f.t.Helper()
	page, err := f.ExportCopy(m.Recipient, m.To, m.Epoch, at)
	if err != nil {
		f.t.Fatal(err)
	}
	page.Epoch, page.From = m.Epoch, m.Region
	return page
}

// copyAll fetches everything, each page twice, and returns how many there were.
func copyAll(from, to *fixture, m wire.Move) (pages int) {
	from.t.Helper()
	for at := (wire.MoveProgress{}); !at.Owned; pages++ {
		page := from.copyPage(m, at.Next)
		if pages > 0 {
			if p, err := to.CopyProgress(m.Recipient, m.Epoch, m.Region); err != nil ||
				!reflect.DeepEqual(p, at) {
				from.t.Errorf("after page %d: %+v, %v; want %+v", pages, p, err, at)
			}
		}
		for i := range 2 {
			var p wire.MoveProgress
			if err := wire.Decode(to.must(wire.CmdMoveCopy, page), &p); err != nil {
				from.t.Fatal(err)
			}
			if i == 1 && !reflect.DeepEqual(p, at) {
				from.t.Errorf("page %d sent again: %+v, want %+v", pages, p, at)
			}
			at = p
		}
		to.restart()
	}
	return pages
}

// TestCopy: what the old owner keeps is fetched after a restore, with all that belongs to it.
func TestCopy(t *testing.T) {
	sicilia, lazio, p, m := lostArrival(t, 70)
	if kept, err := sicilia.Kept("lazio", wire.Recipient{}, 10); err != nil ||
		!slices.Equal(kept, []wire.MoveStep{{Recipient: m.Recipient, Epoch: 2, Region: "lazio"}}) {
		t.Errorf("kept: %+v, %v", kept, err)
	}
	if kept, err := sicilia.Kept("lazio", m.Recipient, 10); err != nil || len(kept) > 0 {
		t.Errorf("kept behind the last: %+v, %v", kept, err)
	}
	if pages := copyAll(sicilia, lazio, m); pages < 2 {
		t.Errorf("%d pages: the test is wrong", pages)
	}
	lazio.wantOwner(m.Recipient, wire.Ownership{State: wire.Owned, Epoch: 2})
	login := lazio.loginAs(p.code, tokenOf("after the restore"))
	lazio.must(wire.CmdLogin, &login)
	p.token = login.Session.Token
	lazio.checkAllThere(p)
	// The preference is there, for a citizen whose profile is the old one.
	no := lazio.message(p.code, otherService, "no")
	lazio.wantOutcomes("the preference", lazio.submit(lazio.redact(no)),
		decided(no.ID, serviceNotAllowed))
	pending, err := lazio.Pending(10)
	if err != nil || len(pending) != 1 || !pending[0].Active {
		t.Errorf("pending %+v, %v; want the directory to be told of an active citizen", pending, err)
	}
	before := lazio.rows()
	if pages := copyAll(sicilia, lazio, m); pages != 1 { // it is known to be done
		t.Errorf("%d pages for who has everything", pages)
	}
	delete(before, string(clockKey()))
	after := lazio.rows()
	delete(after, string(clockKey()))
	if diff := diffRows(after, before); diff != "" {
		t.Errorf("the second time changed: %s", diff)
	}
}

// TestLoginWhileCopying: the first page has the profile, so who logs in behind it has the old one,
// which the preferences belong to.
func TestLoginWhileCopying(t *testing.T) {
	sicilia, lazio, p, m := lostArrival(t, 70)
	page := sicilia.copyPage(m, nil)
	if lazio.must(wire.CmdMoveCopy, page); page.Last {
		t.Fatal("one page has everything: the test is wrong")
	}
	login := lazio.loginAs(p.code, tokenOf("after the restore"))
	lazio.must(wire.CmdLogin, &login)
	copyAll(sicilia, lazio, m)
	profile, err := lazio.Profile(login.Session.Token, lazio.now)
	if err != nil || profile.Mode != wire.Auto || profile.AcceptedTos != 1 {
		t.Errorf("profile %+v, %v; want the old one", profile, err)
	}
	if n := lazio.count(preferencePrefix); n != 1 {
		t.Errorf("%d preferences, want the old one", n)
	}
}

// TestCopyReplacesNothing: what the restored region decided since holds.
func TestCopyReplacesNothing(t *testing.T) {
	sicilia, lazio, p, m := lostArrival(t, 3)
	refused := p.delivered[0] // sent again while nobody was there
	lazio.wantOutcomes("to who has no profile", lazio.submit(refused),
		decided(refused.ID, userNotFound))
	login := lazio.loginAs(p.code, tokenOf("after the restore"))
	lazio.must(wire.CmdLogin, &login)
	token := login.Session.Token
	lazio.update(token, wire.ProfileUpdate{AcceptedTos: 1})
	anew := p.delivered[1] // the same key, under another id
	anew.ID = lazio.id()
	lazio.wantOutcomes("a key that was forgotten", lazio.submit(anew), decided(anew.ID, processed))
	profile, err := lazio.Profile(token, lazio.now)
	if err != nil {
		t.Fatal(err)
	}
	copyAll(sicilia, lazio, m)
	if got, err := lazio.Profile(token, lazio.now); err != nil || !reflect.DeepEqual(got, profile) {
		t.Errorf("profile %+v, %v; want %+v", got, err, profile)
	}
	if n := lazio.count(preferencePrefix); n != 0 {
		t.Errorf("%d preferences of a profile that is not here", n)
	}
	lazio.wantOutcomes("what was refused", lazio.submit(refused), decided(refused.ID, userNotFound))
	again := anew
	again.ID = lazio.id()
	lazio.wantOutcomes("the key", lazio.submit(again), decided(anew.ID, processed))
	placed, err := lazio.Messages(m.Recipient)
	if err != nil || len(placed) != len(p.delivered) { // without the first, with the new one
		t.Errorf("%d messages, %v; want %d", len(placed), err, len(p.delivered))
	}
	for _, rec := range p.delivered[1:] {
		lazio.checkReadable(token, rec)
	}
	// What was not taken of the old owner's blocks leaves them.
	lazio.eraseRemains()
	if n := lazio.holds("anna-0 bis"); n != 0 {
		t.Errorf("%d records of what was refused are left", n)
	}
}

// TestCopyIsRefused: by who was never restored, does not own the code, or is not the one who does.
func TestCopyIsRefused(t *testing.T) {
	sicilia, lazio, p, m := lostArrival(t, 1)
	page := sicilia.copyPage(m, nil)
	old := *page
	old.Epoch = 3
	lazio.refuse(wire.Conflict, wire.CmdMoveCopy, &old)
	nobody := *page
	nobody.Recipient = wire.Recipient{}
	lazio.refuse(wire.Malformed, wire.CmdMoveCopy, &nobody)
	other := *page
	other.Recipient = lazio.hasher.Recipient(codeOf("bruno"))
	lazio.refuse(wire.Conflict, wire.CmdMoveCopy, &other)

	never := newFixture(t, "lazio")
	never.own(p.code)
	never.refuse(wire.Conflict, wire.CmdMoveCopy, page)

	for _, q := range []struct {
		to    wire.RegionID
		epoch wire.Epoch
	}{{"umbria", 2}, {"lazio", 1}, {"lazio", 3}} {
		if _, err := sicilia.ExportCopy(m.Recipient, q.to, q.epoch, nil); wire.AsError(err).Code !=
			wire.NotFound {
			t.Errorf("for %s at epoch %d: %v, want not found", q.to, q.epoch, err)
		}
	}
	lazio.fence(p.code, "umbria") // and is gone
	lazio.refuse(wire.Conflict, wire.CmdMoveCopy, page)
	sicilia.now = sicilia.now.Add(keepMovedDefault)
	sicilia.eraseRemains()
	if _, err := sicilia.ExportCopy(m.Recipient, "lazio", 2, nil); wire.AsError(err).Code !=
		wire.NotFound {
		t.Errorf("of who was erased: %v, want not found", err)
	}
}
