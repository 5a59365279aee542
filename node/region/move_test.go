package region

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// newRegions opens states that mint different ids.
func newRegions(t testing.TB, names ...wire.RegionID) (list []*fixture) {
	t.Helper()
	coder := newCoder(t)
	for i, name := range names {
		f := openFixture(t, testConfig(vfs.NewMem(), name, coder))
		f.minted = uint64(i) << 32
		list = append(list, f)
	}
	return list
}

// moveOf reads the answer of a command about a move.
func (f *fixture) moveOf(body []byte) wire.Move {
	f.t.Helper()
	var m wire.Move
	if err := wire.Decode(body, &m); err != nil {
		f.t.Fatal(err)
	}
	return m
}

// intend logs that a citizen moves, as an operator does.
func (f *fixture) intend(code fiscalcode.Code, to wire.RegionID) wire.Move {
	f.t.Helper()
	return f.moveOf(f.must(wire.CmdMoveIntent,
		&wire.MoveIntent{Recipient: f.hasher.Recipient(code), To: to}))
}

// leaving and coming are the steps of a move in the old owner's and the new one's log.
func leaving(m wire.Move) *wire.MoveStep {
	return &wire.MoveStep{Recipient: m.Recipient, Epoch: m.Epoch, Region: m.To}
}

func coming(m wire.Move) *wire.MoveStep {
	return &wire.MoveStep{Recipient: m.Recipient, Epoch: m.Epoch, Region: m.Region}
}

// fence intends and fences.
func (f *fixture) fence(code fiscalcode.Code, to wire.RegionID) wire.Move {
	f.t.Helper()
	m := f.intend(code, to)
	f.must(wire.CmdMoveFence, leaving(m))
	return m
}

// page exports what comes after a cursor.
func (f *fixture) page(m wire.Move, at []byte) *wire.MovePage {
	f.t.Helper()
	page, err := f.ExportMove(m.Recipient, at)
	if err != nil {
		f.t.Fatal(err)
	}
	page.Epoch, page.From = m.Epoch, m.Region
	return page
}

// take logs a page at the new owner.
func (f *fixture) take(page *wire.MovePage) (p wire.MoveProgress) {
	f.t.Helper()
	if err := wire.Decode(f.must(wire.CmdMovePage, page), &p); err != nil {
		f.t.Fatal(err)
	}
	return p
}

// moveAll takes pages until the new owner has everything, and returns how many there were.
func moveAll(from, to *fixture, m wire.Move) (pages int) {
	from.t.Helper()
	var p wire.MoveProgress
	for !p.Owned {
		p = to.take(from.page(m, p.Next))
		if pages++; pages > 1000 {
			from.t.Fatal("the pages have no end")
		}
	}
	return pages
}

// move moves a citizen.
func move(from, to *fixture, code fiscalcode.Code) wire.Move {
	from.t.Helper()
	m := from.fence(code, to.cfg.Region)
	to.now = from.now
	moveAll(from, to, m)
	from.must(wire.CmdMoveDone, leaving(m))
	return m
}

// eraseRemains does what is due of citizens who moved away.
func (f *fixture) eraseRemains() {
	f.t.Helper()
	list, err := f.DueRemains(f.now, 100)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, r := range list {
		for more := true; more; {
			var e wire.MoveErased
			err := wire.Decode(f.must(wire.CmdMoveErase, &wire.MoveErase{Recipient: r}), &e)
			if err != nil {
				f.t.Fatal(err)
			}
			more = e.More
		}
	}
	blocks, err := f.DueErasures(f.now, 1000)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := range blocks {
		f.must(wire.CmdErase, &blocks[i])
	}
}

func (f *fixture) wantMoved(err error, to wire.RegionID, epoch wire.Epoch) {
	f.t.Helper()
	if e := wire.AsError(err); err == nil || e.Code != wire.Moved || e.Region != to ||
		e.Epoch != epoch {
		f.t.Errorf("got %+v, want moved to %q at epoch %d", e, to, epoch)
	}
}

// settler is a citizen with something of every kind, who shares blocks with a neighbour.
type settler struct {
	code      fiscalcode.Code
	token     wire.TokenHash
	delivered []wire.Record // in log order
	rejected  []wire.Record
	neighbour []wire.Record
}

const otherService wire.ServiceID = "01ARZ3NDEKTSV4RRFFQ69G5FAW"

func settle(f *fixture, name string, blocks int) *settler {
	f.t.Helper()
	p := &settler{code: codeOf(name)}
	next := codeOf(name + "'s neighbour")
	f.activate(next)
	f.own(p.code)
	p.token = f.login(p.code)
	f.update(p.token, wire.ProfileUpdate{AcceptedTos: 1, SetMode: true, Mode: wire.Auto})
	f.must(wire.CmdSetPreference, &wire.SetPreference{Token: p.token,
		Preference: wire.Preference{Service: otherService, Email: true, ReadStatus: wire.No}})
	for i := range blocks {
		one := f.keyed(f.message(p.code, someService, fmt.Sprintf("%s-%d", name, i)),
			fmt.Sprintf("key-%d", i))
		two := f.message(p.code, someService, fmt.Sprintf("%s-%d bis", name, i))
		no := f.keyed(f.message(p.code, otherService, marker), fmt.Sprintf("no-%d", i))
		near := f.message(next, someService, fmt.Sprintf("neighbour-%d", i))
		near.Content = content(fmt.Sprintf("VICINO %d", i))
		// The later id comes first: log order is not the order of ids.
		f.wantOutcomes("settling", f.submit(near, two, no, one), decided(near.ID, processed),
			decided(two.ID, processed), decided(no.ID, serviceNotAllowed),
			decided(one.ID, processed))
		p.delivered = append(p.delivered, two, one)
		p.rejected = append(p.rejected, no)
		p.neighbour = append(p.neighbour, near)
	}
	return p
}

func (f *fixture) wholeInbox(token wire.TokenHash) (list []wire.InboxItem) {
	f.t.Helper()
	q := wire.ListInbox{Token: token, Size: wire.PageMax}
	for {
		page, err := f.ListInbox(q, f.now)
		if err != nil {
			f.t.Fatal(err)
		}
		list = append(list, page.Items...)
		if !page.More {
			return list
		}
		q.Before = list[len(list)-1].ID
	}
}

// checkAllThere reads everything of a citizen at the owner.
func (f *fixture) checkAllThere(p *settler) {
	f.t.Helper()
	r := f.hasher.Recipient(p.code)
	for _, m := range p.delivered {
		f.checkReadable(p.token, m)
		f.wantOutcomes("a retry", f.submit(m), decided(m.ID, processed))
		again := m
		if !m.Idempotency.IsZero() {
			again.ID = f.id()
			f.wantOutcomes("the same key", f.submit(again), decided(m.ID, processed))
			again.Digest[0]++
			f.wantOutcomes("another body", f.submit(again), wire.Outcome{Kind: wire.KeyConflict})
		}
		view, err := f.FindMessage(wire.FindMessage{Recipient: r, ID: m.ID})
		if err != nil || view.Verdict != processed || view.Content == nil {
			f.t.Errorf("the sender of %v finds %+v, %v", m.ID, view, err)
		}
	}
	for _, m := range p.rejected {
		f.wantOutcomes("a retry", f.submit(f.digest(m)), decided(m.ID, serviceNotAllowed))
		again := f.digest(m)
		again.ID = f.id()
		f.wantOutcomes("the same key", f.submit(again), decided(m.ID, serviceNotAllowed))
		view, err := f.FindMessage(wire.FindMessage{Recipient: r, ID: m.ID})
		if err != nil || view.Verdict != serviceNotAllowed {
			f.t.Errorf("the sender of %v finds %+v, %v", m.ID, view, err)
		}
	}
	placed, err := f.Messages(r)
	if err != nil || len(placed) != len(p.delivered) {
		f.t.Fatalf("%d messages, %v; want %d", len(placed), err, len(p.delivered))
	}
	for i := range placed {
		if placed[i].ID != p.delivered[i].ID {
			f.t.Errorf("message %d in log order is %v, want %v", i, placed[i].ID,
				p.delivered[i].ID)
		}
	}
	f.checkCaches()
}

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
	if pages := moveAll(lazio, sicilia, m); pages != 1 {
		t.Errorf("%d pages for a few messages, want 1", pages)
	}
	lazio.must(wire.CmdMoveDone, leaving(m))
	_, err = lazio.Session(p.token, lazio.now)
	lazio.wantMoved(err, "sicilia", 2)
	lazio.wantMoved(lazio.refuse(wire.Moved, wire.CmdSetProfile, &wire.SetProfile{Token: p.token}),
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

// leavesOf are the leaves of a citizen's messages, by id.
func leavesOf(f *fixture, r wire.Recipient) map[wire.MessageID]wire.Leaf {
	f.t.Helper()
	placed, err := f.Messages(r)
	if err != nil {
		f.t.Fatal(err)
	}
	leaves := map[wire.MessageID]wire.Leaf{}
	for _, p := range placed {
		leaves[p.ID] = f.block(p.Block).Leaf(p.Position)
	}
	return leaves
}

// holds counts the rows and the records that hold a text, blocks as a reader sees them.
func (f *fixture) holds(text string) (n int) {
	f.t.Helper()
	for k, v := range f.rows() {
		if k[0] != blockPrefix {
			if strings.Contains(k, text) || strings.Contains(v, text) {
				n++
			}
			continue
		}
		b, err := f.coder.Decode([]byte(v))
		if err != nil {
			f.t.Fatal(err)
		}
		for i := range b.Records {
			rec := &b.Records[i]
			if bytes.Contains(rec.Content, []byte(text)) || string(rec.FiscalCode) == text {
				n++
			}
		}
	}
	return n
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
			batch = append(batch, lazio.digest(no))
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
		to.wantOutcomes("the preference", to.submit(to.digest(no)),
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
	for _, prefix := range []byte{inboxPrefix, rejectedPrefix, idempotencyPrefix,
		preferencePrefix, profilePrefix, currentPrefix} {
		for k := range lazio.rows() {
			if k[0] == prefix && wire.Recipient([]byte(k[1:17])) == r {
				t.Errorf("a row of kind %q is left", prefix)
			}
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
		e, due := lazio.Expire(lazio.now)
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
