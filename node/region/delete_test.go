package region

import (
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

func init() {
	corpora["v3-deleted"] = (*writer).version3Deleted
	corpora["v3-deleted-restored"] = (*writer).version3DeletedRestored
}

func deletion(token wire.TokenHash, m wire.Record) *wire.DeleteMessage {
	return &wire.DeleteMessage{Token: token, ID: m.ID}
}

// version3Deleted are deletions of what is there, what is not and what is another's, of a citizen who
// comes with some, and of one who leaves.
func (c *writer) version3Deleted() {
	c.membership("members of the beginning")
	c.command(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: 3})
	sicilia := openFixture(c.t, testConfig(vfs.NewMem(), "sicilia", c.coder))
	sicilia.minted = 1 << 32
	sicilia.raise()
	comes := settle(sicilia, "who comes", 1)
	m := sicilia.fence(comes.code, "lazio")
	one, other := codeOf("citizen 0"), codeOf("citizen 1")
	c.citizen(one, 4)
	c.citizen(other, 4)
	token := tokenOf(string(one))
	list := []wire.Record{c.keyed(c.message(one, someService, "uno"), "key"),
		aged(c.message(one, someService, "due"), time.Hour), c.message(other, someService, "tre"),
		c.message(codeOf("nobody"), someService, "quattro")}
	c.block(list...)
	c.command(wire.CmdSetMessageStatus, setStatus(token, list[1].ID, true, wire.Yes))
	for _, d := range []*wire.DeleteMessage{deletion(token, list[0]), deletion(token, list[0]),
		deletion(token, list[1]), deletion(token, list[2]), deletion(token, list[3]),
		deletion(tokenOf("nobody's"), list[0]), {Token: token}} {
		c.command(wire.CmdDeleteMessage, d)
	}
	again := list[0]
	again.ID = c.id()
	c.block(list[0], list[1], again, c.redact(again)) // retries
	c.erasures()
	astray := sicilia.page(m, nil)
	id := comes.delivered[0].ID // deleted and delivered
	key := deletedKey(m.Recipient, id)
	astray.Rows = append(astray.Rows, wire.Row{Key: key[:],
		Value: wire.Encode(&deletedRow{Service: someService})})
	c.command(wire.CmdMovePage, astray)
	away := c.hasher.Recipient(one)
	c.command(wire.CmdMoveIntent, &wire.MoveIntent{Recipient: away, To: "umbria"})
	leaves := &wire.MoveStep{Recipient: away, Epoch: 2, Region: "umbria"}
	c.command(wire.CmdMoveFence, leaves)
	c.command(wire.CmdMoveDone, leaves)
	c.command(wire.CmdMoveErase, &wire.MoveErase{Recipient: away})
	c.erasures()
	if n := c.count(deletedPrefix); n != 1 {
		c.t.Fatalf("%d deleted messages are left, want that of who came", n)
	}
}

// version3DeletedRestored is a restored region that is given what an earlier owner still has: one
// message was deleted there, one is deleted here before its copy comes.
func (c *writer) version3DeletedRestored() {
	c.membership("members of the beginning")
	c.command(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: 3})
	sicilia := openFixture(c.t, testConfig(vfs.NewMem(), "sicilia", c.coder))
	sicilia.minted = 1 << 32
	sicilia.raise()
	p := settle(sicilia, "a citizen", 1)
	m := sicilia.fence(p.code, "lazio")
	sicilia.must(wire.CmdMoveDone, leaving(m))
	c.command(wire.CmdReconcile, &wire.Reconcile{Incarnation: 1, Done: true,
		List: []wire.Standing{{Recipient: m.Recipient, Region: "lazio", Epoch: 2}}})
	l := c.loginAs(p.code, p.token)
	c.command(wire.CmdLogin, &l)
	c.command(wire.CmdSetProfile, &wire.SetProfile{Token: p.token,
		Update: wire.ProfileUpdate{AcceptedTos: 1}})
	c.block(p.delivered[0]) // a retry
	c.command(wire.CmdDeleteMessage, deletion(p.token, p.delivered[0]))
	c.command(wire.CmdMoveCopy, sicilia.copyPage(m, nil))
	c.erasures()
	if n := c.count(inboxPrefix); n != 1 {
		c.t.Fatalf("%d messages, want the one that nobody deleted", n)
	}
}

// checkDeleted holds what is promised of a message that its citizen deleted: nobody reads it, and
// whoever sent it is told what they were told.
func (f *fixture) checkDeleted(token wire.TokenHash, m wire.Record) {
	f.t.Helper()
	got, err := f.GetInbox(wire.GetInbox{Token: token, ID: m.ID}, f.now)
	if !errors.Is(err, wire.NotFound) {
		f.t.Errorf("a deleted message is read: %+v, %v", got, err)
	}
	for _, archived := range []bool{false, true} {
		page, err := f.ListInbox(wire.ListInbox{Token: token, Size: wire.PageMax,
			Archived: archived}, f.now)
		if err != nil {
			f.t.Fatal(err)
		}
		for i := range page.Items {
			if page.Items[i].ID == m.ID {
				f.t.Error("a deleted message is listed")
			}
		}
	}
	f.wantOutcomes("a retry", f.submit(m), decided(m.ID, processed))
	f.wantOutcomes("a redacted retry", f.submit(f.redact(m)), decided(m.ID, processed))
	if !m.Idempotency.IsZero() {
		again := m
		again.ID = f.id()
		f.wantOutcomes("the same key", f.submit(again), decided(m.ID, processed))
		again.Digest[0]++
		f.wantOutcomes("another body", f.submit(again), wire.Outcome{Kind: wire.KeyConflict})
	}
	view, err := f.FindMessage(wire.FindMessage{Recipient: m.RecipientUnder(f.hasher), ID: m.ID})
	if err != nil || view.Verdict != processed || view.Content != nil || view.Service != m.Service {
		f.t.Errorf("the sender of a deleted message finds %+v, %v", view, err)
	}
	e, err := f.Explain(&wire.Explain{Recipient: m.RecipientUnder(f.hasher), ID: m.ID})
	if err != nil || !e.Found || e.Verdict != processed {
		f.t.Errorf("an operator finds %+v, %v", e, err)
	}
}

// TestDelete: a message is gone at once, its text with the next rewrite of its block, and the other
// records of the block stay.
func TestDelete(t *testing.T) {
	f := newFixture(t, "lazio")
	f.raise()
	maria, mario := codeOf("maria"), codeOf("mario")
	token, other := f.activate(maria), f.activate(mario)
	const secret = "ADDIO"
	goes := f.keyed(f.message(maria, someService, secret), "key")
	stays, near := f.message(maria, someService, "RESTA"), f.message(mario, someService, "VICINO")
	old := aged(f.message(maria, someService, secret), time.Hour)
	f.submit(goes, stays, near, old)
	f.mark(token, goes, true, wire.Yes)
	for range 2 {
		f.must(wire.CmdDeleteMessage, deletion(token, goes))
		f.checkDeleted(token, goes)
	}
	f.must(wire.CmdDeleteMessage, deletion(token, old))
	f.refuse(wire.NotFound, wire.CmdDeleteMessage, deletion(token, near))
	f.refuse(wire.NotFound, wire.CmdDeleteMessage, deletion(other, goes))
	f.refuse(wire.NotFound, wire.CmdDeleteMessage, &wire.DeleteMessage{Token: token})
	f.refuse(wire.NotFound, wire.CmdSetMessageStatus, setStatus(token, goes.ID, true, wire.Unset))
	f.refuse(wire.Unauthenticated, wire.CmdDeleteMessage, deletion(tokenOf("x"), stays))
	if n := f.count(statusPrefix) + f.count(latePrefix); n != 0 {
		t.Errorf("%d rows of what was deleted are left", n)
	}
	if f.holds(secret) == 0 {
		t.Error("the text is gone before the block is rewritten: the test is wrong")
	}
	f.eraseRemains()
	if n := f.holds(secret); n != 0 {
		t.Errorf("the text stands in %d rows and records", n)
	}
	f.restart()
	f.checkDeleted(token, goes)
	f.checkDeleted(token, old)
	f.checkReadable(token, stays)
	f.checkReadable(other, near)
}

// TestDeletedDoesNotComeBack: not by a move, there and back, nor from an earlier owner after a
// restore.
func TestDeletedDoesNotComeBack(t *testing.T) {
	regions := newRegions(t, "lazio", "sicilia")
	lazio, sicilia := regions[0], regions[1]
	lazio.raise()
	sicilia.raise()
	p := settle(lazio, "anna", 2)
	m := move(lazio, sicilia, p.code)
	sicilia.checkAllThere(p)
	late := p.delivered[1]
	sicilia.must(wire.CmdDeleteMessage, deletion(p.token, late))

	// Lazio still has a copy of both; sicilia is restored from what it had once the second was deleted.
	cfg := testConfig(vfs.NewMem(), "sicilia", lazio.coder)
	cfg.Store.Identity.Incarnation = 1
	restored := openFixture(t, cfg)
	restored.minted = 2 << 32
	restored.raise()
	restored.reconcile(true, wire.Standing{Recipient: m.Recipient, Region: "sicilia", Epoch: m.Epoch})
	l := restored.loginAs(p.code, p.token)
	restored.must(wire.CmdLogin, &l)
	restored.update(p.token, wire.ProfileUpdate{AcceptedTos: 1, SetMode: true, Mode: wire.Auto})
	restored.submit(late)
	restored.must(wire.CmdDeleteMessage, deletion(p.token, late))
	copyAll(lazio, restored, m)
	restored.checkDeleted(p.token, p.deleted[0])
	restored.checkDeleted(p.token, late)

	for lazio.count(inboxPrefix) > len(p.neighbour) {
		lazio.must(wire.CmdMoveErase, &wire.MoveErase{Recipient: m.Recipient})
	}
	lazio.eraseRemains()
	move(sicilia, lazio, p.code)
	p.delivered, p.deleted = append(p.delivered[:1:1], p.delivered[2:]...), append(p.deleted, late)
	lazio.checkAllThere(p)
}

// TestCounts: what is unread follows from what was done with the messages.
func TestCounts(t *testing.T) {
	f := newFixture(t, "lazio")
	f.raise()
	code := codeOf("maria")
	token := f.activate(code)
	f.activate(codeOf("mario"))
	want := func(inbox, unread, archived uint32) {
		t.Helper()
		got, err := f.CountMessages(wire.SessionRef{Token: token}, f.now)
		if n := (wire.MessageCounts{Inbox: inbox, Unread: unread, Archived: archived}); err != nil ||
			*got != n {
			t.Errorf("got %+v, %v, want %+v", got, err, n)
		}
		unreads, err := f.ListInbox(wire.ListInbox{Token: token, Size: wire.PageMax, Unread: true},
			f.now)
		if err != nil || len(unreads.Items) != int(unread) {
			t.Errorf("%d unread messages are listed, %v, want %d", len(unreads.Items), err, unread)
		}
	}
	want(0, 0, 0)
	var list []wire.Record
	for range 6 {
		list = append(list, f.message(code, someService, "x"))
	}
	f.submit(append(list, f.message(codeOf("mario"), someService, "x"))...)
	want(6, 6, 0)
	f.mark(token, list[0], true, wire.Unset)
	f.mark(token, list[1], false, wire.Yes)
	f.mark(token, list[2], true, wire.Yes)
	f.mark(token, list[3], false, wire.No)
	want(4, 3, 2)
	f.must(wire.CmdDeleteMessage, deletion(token, list[2]))
	f.must(wire.CmdDeleteMessage, deletion(token, list[5]))
	want(3, 2, 1)
	if _, err := f.CountMessages(wire.SessionRef{}, f.now); !errors.Is(err, wire.Unauthenticated) {
		t.Errorf("without a session: %v", err)
	}
}
