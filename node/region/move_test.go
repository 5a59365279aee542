package region

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

func TestMove(t *testing.T) {
	regions := newRegions(t, "lazio", "sicilia")
	lazio, sicilia := regions[0], regions[1]
	p := settle(lazio, "anna", 3)
	r := lazio.hasher.Recipient(p.code)
	profile, err := lazio.Profile(p.token, lazio.now)
	if err != nil {
		t.Fatal(err)
	}
	inbox := lazio.wholeInbox(p.token)
	leaves := leavesOf(lazio, r)

	m := lazio.intend(p.code, "sicilia")
	want := wire.Move{Recipient: r, Region: "lazio", To: "sicilia", Epoch: 2,
		State: wire.MoveIntended, Since: lazio.now}
	if m != want {
		t.Errorf("the intent answers %+v, want %+v", m, want)
	}
	lazio.checkAllThere(p) // until the fence nothing changes
	lazio.must(wire.CmdMoveFence, leaving(m))
	late := lazio.message(p.code, someService, "tardi")
	gone := wire.Outcome{Kind: wire.NotOwner, Region: "sicilia", Epoch: 2}
	lazio.wantOutcomes("behind the fence", lazio.submit(late), gone)
	if out := lazio.Admit(&wire.Block{Records: []wire.Record{late}}, lazio.now); len(out) != 1 ||
		out[0] != gone {
		t.Errorf("the leader admits %+v, want %+v", out, gone)
	}
	_, err = lazio.Session(p.token, lazio.now)
	lazio.wantMoved(err, "", 0) // on the way
	lazio.refuse(wire.Moved, wire.CmdSetProfile, &wire.SetProfile{Token: p.token})
	lazio.wantMoved(lazio.refuse(wire.Moved, wire.CmdLogout, &wire.Logout{Token: p.token}), "", 0)
	if pages := moveAll(lazio, sicilia, m); pages != 1 {
		t.Errorf("%d pages for a few messages, want 1", pages)
	}
	lazio.must(wire.CmdMoveDone, leaving(m))
	_, err = lazio.Session(p.token, lazio.now)
	lazio.wantMoved(err, "sicilia", 2)
	lazio.wantMoved(lazio.refuse(wire.Moved, wire.CmdSetProfile, &wire.SetProfile{Token: p.token}),
		"sicilia", 2)
	lazio.wantMoved(lazio.refuse(wire.Moved, wire.CmdLogout, &wire.Logout{Token: p.token}),
		"sicilia", 2)
	_, err = lazio.SenderProfile(wire.SenderProfileQuery{Recipient: r, Service: someService})
	lazio.wantMoved(err, "sicilia", 2)
	_, err = lazio.FindMessage(wire.FindMessage{Recipient: r, ID: p.delivered[0].ID})
	lazio.wantMoved(err, "sicilia", 2)

	for range 2 {
		sicilia.checkAllThere(p)
		after, err := sicilia.Profile(p.token, sicilia.now)
		if err != nil || !reflect.DeepEqual(after, profile) {
			t.Errorf("profile %+v, %v; want %+v", after, err, profile)
		}
		if got := sicilia.wholeInbox(p.token); !reflect.DeepEqual(got, inbox) {
			t.Errorf("inbox %+v\nwant %+v", got, inbox)
		}
		pref, err := sicilia.Preference(wire.GetPreference{Token: p.token, Service: otherService},
			sicilia.now)
		if err != nil || pref.Inbox || !pref.Email || pref.ReadStatus != wire.No {
			t.Errorf("preference %+v, %v", pref, err)
		}
		sicilia.restart()
	}
	if got := leavesOf(sicilia, r); !reflect.DeepEqual(got, leaves) {
		t.Error("the leaves of the messages changed")
	}
	sicilia.wantOutcomes("the late one", sicilia.submit(late), decided(late.ID, processed))
	if n := sicilia.holds("VICINO"); n != 0 {
		t.Errorf("%d records of a neighbour went along", n)
	}
	pending, err := sicilia.Pending(10)
	if err != nil || len(pending) != 1 || pending[0].Epoch != 2 || !pending[0].Active ||
		pending[0].State != wire.Owned {
		t.Errorf("pending %+v, %v; want the directory to be told", pending, err)
	}
}

// TestMoveInPages moves an inbox that fills many pages: each page may be made and sent again, by
// whoever leads then.
func TestMoveInPages(t *testing.T) {
	regions := newRegions(t, "lazio", "sicilia")
	lazio, sicilia := regions[0], regions[1]
	p := settle(lazio, "anna", 2)
	for i := range 12 {
		var batch []wire.Record
		for j := range 7 {
			m := lazio.message(p.code, someService, fmt.Sprint(i, j))
			m.Content = content(strings.Repeat(fmt.Sprint(i, j, " "), 3000))
			batch = append(batch, m)
		}
		lazio.submit(batch...)
		p.delivered = append(p.delivered, batch...)
	}
	for i := range wire.MoveRowsMax / 64 { // and rejections for more than one
		var batch []wire.Record
		for j := range 64 {
			no := lazio.keyed(lazio.message(p.code, otherService, "no"), fmt.Sprint("n", i, j))
			batch = append(batch, lazio.redact(no))
		}
		lazio.submit(batch...)
		p.rejected = append(p.rejected, batch[0])
	}
	m := lazio.fence(p.code, "sicilia")
	var next []byte
	pages := 0
	for done := false; !done; pages++ {
		page := lazio.page(m, next)
		lazio.restart()
		if again := lazio.page(m, next); string(wire.Encode(again)) != string(wire.Encode(page)) {
			t.Fatalf("page %d differs when it is made again", pages)
		}
		if n := len(wire.Encode(page)); n > wire.CommandBytesMax {
			t.Errorf("page %d has %d bytes", pages, n)
		}
		progress := sicilia.take(page)
		before := sicilia.rows()
		if again := sicilia.take(page); !reflect.DeepEqual(again, progress) {
			t.Errorf("page %d sent again: %+v, want %+v", pages, again, progress)
		}
		if diff := diffRows(sicilia.rows(), before); diff != "" {
			t.Errorf("page %d sent again changed: %s", pages, diff)
		}
		if own, _, _ := sicilia.Ownership(m.Recipient); (own.State == wire.Owned) != page.Last {
			t.Fatalf("page %d, last %v: %+v", pages, page.Last, own)
		}
		next, done = progress.Next, progress.Owned
		sicilia.restart()
	}
	if pages < 7 {
		t.Errorf("%d pages, the test is wrong", pages)
	}
	sicilia.checkAllThere(p)
}

// TestMoveAborted aborts at every point. The new owner's log decides; whatever comes late then
// changes nothing.
func TestMoveAborted(t *testing.T) {
	for _, at := range []string{"intended", "fenced", "half way", "imported"} {
		t.Run(at, func(t *testing.T) {
			regions := newRegions(t, "lazio", "sicilia")
			lazio, sicilia := regions[0], regions[1]
			p := settle(lazio, "anna", 70) // two pages
			r := lazio.hasher.Recipient(p.code)
			m := lazio.intend(p.code, "sicilia")
			if at != "intended" {
				lazio.must(wire.CmdMoveFence, leaving(m))
			}
			var first *wire.MovePage
			switch at {
			case "half way":
				first = lazio.page(m, nil)
				if p := sicilia.take(first); p.Owned || p.Next == nil {
					t.Fatalf("one page was enough: %+v", p)
				}
			case "imported":
				moveAll(lazio, sicilia, m)
			}
			lazio.refuse(wire.Conflict, wire.CmdMoveUndo, leaving(m)) // nobody asked
			if got := lazio.moveOf(lazio.must(wire.CmdMoveAbort,
				&wire.MoveRef{Recipient: r})); !got.Aborting {
				t.Errorf("abort answers %+v", got)
			}
			if at == "intended" {
				lazio.refuse(wire.Conflict, wire.CmdMoveFence, leaving(m))
				lazio.checkAllThere(p)
			} else {
				var refused wire.MoveProgress
				if err := wire.Decode(sicilia.must(wire.CmdMoveRefuse, coming(m)),
					&refused); err != nil {
					t.Fatal(err)
				}
				if refused.Owned != (at == "imported") || refused.Refused == refused.Owned {
					t.Fatalf("the new owner says %+v", refused)
				}
				if refused.Owned {
					lazio.must(wire.CmdMoveDone, leaving(m))
					lazio.must(wire.CmdMoveUndo, leaving(m)) // too late, of a leader that was one once
					sicilia.checkAllThere(p)
					lazio.wantOutcomes("after the move", lazio.submit(p.delivered[0]),
						wire.Outcome{Kind: wire.NotOwner, Region: "sicilia", Epoch: 2})
					return
				}
			}
			for range 2 {
				lazio.must(wire.CmdMoveUndo, leaving(m))
				own, _, _ := lazio.Ownership(r)
				if own != (wire.Ownership{State: wire.Owned, Epoch: 3}) {
					t.Errorf("after the abort: %+v", own)
				}
				lazio.checkAllThere(p)
				lazio.restart()
			}
			if at == "half way" {
				if late := sicilia.take(lazio.page(m, first.Next)); !late.Refused {
					t.Errorf("a late page: %+v, want it refused", late)
				}
				if again := sicilia.take(first); !again.Refused {
					t.Errorf("the first page again: %+v, want it refused", again)
				}
				sicilia.eraseRemains()
				if n := sicilia.holds(string(p.code)); n != 0 {
					t.Errorf("%d records are left of a move that was aborted", n)
				}
			}
			// A second attempt has another epoch, and no trouble with the first.
			if m = move(lazio, sicilia, p.code); m.Epoch != 4 {
				t.Errorf("the second attempt is of epoch %d, want 4", m.Epoch)
			}
			sicilia.checkAllThere(p)
		})
	}
}

// TestLateErasure: the erasure of an earlier stay, ordered twice, comes once more when pages of the
// next one are here already. Nothing of what it takes away is missing in the end.
func TestLateErasure(t *testing.T) {
	regions := newRegions(t, "lazio", "sicilia")
	lazio, sicilia := regions[0], regions[1]
	p := settle(lazio, "anna", 2)
	for i := range 2 * remainsRowsMax / 64 {
		var batch []wire.Record
		for j := range 64 {
			batch = append(batch, lazio.message(p.code, someService, fmt.Sprint(i, j)))
		}
		lazio.submit(batch...)
		p.delivered = append(p.delivered, batch...)
	}
	m := lazio.fence(p.code, "sicilia")
	var next wire.MoveProgress
	for range remainsRowsMax/wire.BlockRecordsMax + 2 {
		next = sicilia.take(lazio.page(m, next.Next))
	}
	late := &wire.MoveErase{Recipient: m.Recipient}
	var e wire.MoveErased
	if err := wire.Decode(sicilia.must(wire.CmdMoveErase, late), &e); err != nil || !e.More {
		t.Fatalf("%+v, %v: the test is wrong", e, err)
	}
	sicilia.refuse(wire.Unavailable, wire.CmdMovePage, lazio.page(m, next.Next))
	sicilia.eraseRemains() // by whoever leads then
	moveAll(lazio, sicilia, m)
	sicilia.checkAllThere(p)
	if n := sicilia.count(movePrefix); n != 0 {
		t.Errorf("%d rows of moves are left", n)
	}
}

// TestMoveBack moves away and back before what remains was erased, and again.
func TestMoveBack(t *testing.T) {
	regions := newRegions(t, "lazio", "sicilia")
	lazio, sicilia := regions[0], regions[1]
	p := settle(lazio, "anna", 3)
	r := lazio.hasher.Recipient(p.code)
	at := []*fixture{lazio, sicilia}
	for i := range 4 {
		from, to := at[i%2], at[(i+1)%2]
		m := from.fence(p.code, to.cfg.Region)
		to.now = from.now
		if i > 0 { // the first time there is nothing
			to.refuse(wire.Unavailable, wire.CmdMovePage, from.page(m, nil))
			if left, err := to.Remains(r, m.Epoch); err != nil || !left {
				t.Errorf("remains %v, %v; want some", left, err)
			}
			for range 3 {
				to.must(wire.CmdMoveErase, &wire.MoveErase{Recipient: r})
			}
		}
		moveAll(from, to, m)
		from.must(wire.CmdMoveDone, leaving(m))
		from.wantMoved(from.refuse(wire.Moved, wire.CmdMoveIntent,
			&wire.MoveIntent{Recipient: r, To: "veneto"}), to.cfg.Region, m.Epoch)
		if m.Epoch != wire.Epoch(2+i) {
			t.Errorf("move %d is of epoch %d", i, m.Epoch)
		}
		fresh := to.message(p.code, someService, fmt.Sprint("dopo ", i))
		to.submit(fresh)
		p.delivered = append(p.delivered, fresh)
		to.checkAllThere(p)
		// Not Auto's default: what the cache believes has to follow.
		no := to.message(p.code, otherService, "no")
		to.wantOutcomes("the preference", to.submit(to.redact(no)),
			decided(no.ID, serviceNotAllowed))
		if n := to.count(movePrefix); n != 0 {
			t.Errorf("%d rows of moves are left where the citizen is", n)
		}
		from.checkCaches()
		to.must(wire.CmdMoveErase, &wire.MoveErase{Recipient: r}) // nothing remains here
		to.checkAllThere(p)
	}
	lazio.now = lazio.now.Add(keepMovedDefault)
	lazio.eraseRemains() // of nobody: she is here
	lazio.checkAllThere(p)
	lazio.must(wire.CmdLogout, &wire.Logout{Token: p.token})
	if _, err := lazio.Session(p.token, lazio.now); wire.AsError(err).Code != wire.Unauthenticated {
		t.Errorf("after the logout: %v", err)
	}
}

// TestForwardOfALostSession: a citizen who comes back with another session has that one only.
func TestForwardOfALostSession(t *testing.T) {
	regions := newRegions(t, "lazio", "sicilia")
	lazio, sicilia := regions[0], regions[1]
	p := settle(lazio, "anna", 1)
	move(lazio, sicilia, p.code)
	second := sicilia.loginAs(p.code, tokenOf("another"))
	sicilia.must(wire.CmdLogin, &second)
	_, err := lazio.Session(p.token, lazio.now)
	lazio.wantMoved(err, "sicilia", 2) // which says that there is no such session
	if _, err := sicilia.Session(p.token, sicilia.now); wire.AsError(err).Code !=
		wire.Unauthenticated {
		t.Errorf("the session that the login ended: %v", err)
	}
	lazio.must(wire.CmdMoveErase, &wire.MoveErase{Recipient: lazio.hasher.Recipient(p.code)})
	move(sicilia, lazio, p.code)
	if _, err := lazio.Session(p.token, lazio.now); wire.AsError(err).Code != wire.Unauthenticated {
		t.Errorf("the first session, back home: %v", err)
	}
	if _, err := lazio.Session(second.Session.Token, lazio.now); err != nil {
		t.Errorf("the second session: %v", err)
	}
	p.token = second.Session.Token
	lazio.checkAllThere(p)
}

// TestRemains: after its time nothing readable of the citizen rests at the old owner, everything
// of others does, and the session is still shown the way.
func TestRemains(t *testing.T) {
	regions := newRegions(t, "lazio", "sicilia")
	lazio, sicilia := regions[0], regions[1]
	lazio.must(wire.CmdGrantSlots, allSlots())
	p := settle(lazio, "anna", 90)
	r := lazio.hasher.Recipient(p.code)
	next := lazio.login(codeOf("anna's neighbour"))
	roots := map[uint64][32]byte{}
	placed, _ := lazio.Messages(r)
	for _, at := range placed {
		roots[at.Block] = lazio.block(at.Block).Root()
	}
	m := move(lazio, sicilia, p.code)
	lazio.now = lazio.now.Add(keepMovedDefault - time.Second)
	lazio.eraseRemains()
	if n := lazio.holds("anna-1"); n == 0 {
		t.Error("the remains went before their time")
	}
	lazio.now = lazio.now.Add(time.Second)
	lazio.eraseRemains()
	for _, text := range []string{string(p.code), "anna-", marker, "Avviso: anna", "mail@"} {
		n := lazio.holds(text)
		if text == "mail@" {
			n-- // the neighbour's
		}
		if n != 0 {
			t.Errorf("%q stands in %d rows and records", text, n)
		}
	}
	for index, root := range roots {
		if lazio.block(index).Root() != root {
			t.Errorf("the root of block %d changed", index)
		}
	}
	for _, near := range p.neighbour {
		lazio.checkReadable(next, near)
	}
	for range 2 {
		_, err := lazio.Session(p.token, lazio.now)
		lazio.wantMoved(err, "sicilia", 2)
		lazio.wantOutcomes("a retry", lazio.submit(p.delivered[0]),
			wire.Outcome{Kind: wire.NotOwner, Region: "sicilia", Epoch: 2})
		lazio.wantMoved(lazio.refuse(wire.Moved, wire.CmdMoveIntent,
			&wire.MoveIntent{Token: p.token, To: "veneto"}), "sicilia", 2)
		lazio.must(wire.CmdMoveDone, leaving(m))
		lazio.must(wire.CmdMoveErase, &wire.MoveErase{Recipient: r})
		lazio.restart()
	}
	sicilia.checkAllThere(p)
	// The forward ends with the session.
	lazio.now = lazio.now.Add(40 * 24 * time.Hour)
	for range 40 * 24 {
		e, due := lazio.DueExpiry(lazio.now)
		if !due {
			break
		}
		lazio.must(wire.CmdExpire, &e)
	}
	if _, err := lazio.Session(p.token, lazio.now); wire.AsError(err).Code != wire.Unauthenticated {
		t.Errorf("a session that ended long ago: %v", err)
	}
	if n := lazio.count(movePrefix); n != 0 {
		t.Errorf("%d rows of moves are left", n)
	}
}
