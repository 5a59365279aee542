package region

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

func init() {
	corpora["v3-status"] = (*writer).version3Status
	corpora["v3-status-restored"] = (*writer).version3StatusRestored
}

func setStatus(token wire.TokenHash, id wire.MessageID, read bool,
	archived wire.Tri) *wire.SetMessageStatus {
	return &wire.SetMessageStatus{Token: token, ID: id, Read: read, Archived: archived}
}

// mark sets the status of a message that is there.
func (f *fixture) mark(token wire.TokenHash, m wire.Record, read bool, archived wire.Tri) (
	status wire.MessageStatus) {
	f.t.Helper()
	body := f.must(wire.CmdSetMessageStatus, setStatus(token, m.ID, read, archived))
	if err := wire.Decode(body, &status); err != nil {
		f.t.Fatal(err)
	}
	return status
}

// version3Status is a citizen who reads and archives, one who comes with that, and one who leaves.
func (c *writer) version3Status() {
	c.membership("members of the beginning")
	sicilia := openFixture(c.t, testConfig(vfs.NewMem(), "sicilia", c.coder))
	sicilia.minted = 1 << 32
	sicilia.raise()
	comes := settle(sicilia, "who comes", 2)
	m := sicilia.fence(comes.code, "lazio")
	page := sicilia.page(m, nil)
	if r := c.command(wire.CmdMovePage, page); r.Err == nil { // as by a program of before
		c.t.Fatal("a status moved in a log of the first version")
	}
	c.command(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: 3})
	for _, body := range [][]byte{{0xff}, nil} {
		c.commands(wire.Command{Kind: wire.CmdSetMessageStatus, Body: body})
	}
	for i := range 2 {
		c.citizen(codeOf(fmt.Sprint("citizen ", i)), 4)
	}
	one, other := codeOf("citizen 0"), codeOf("citizen 1")
	token := tokenOf(string(one))
	list := []wire.Record{c.message(one, someService, "uno"), c.message(one, someService, "due"),
		c.message(other, someService, "tre")}
	c.block(list...)
	for _, s := range []*wire.SetMessageStatus{
		setStatus(token, list[0].ID, true, wire.Unset),
		setStatus(token, list[0].ID, true, wire.Unset), // is done
		setStatus(token, list[0].ID, false, wire.Unset),
		setStatus(token, list[0].ID, false, 3),
		setStatus(token, list[1].ID, false, wire.No),
		setStatus(token, list[1].ID, true, wire.Yes),
		setStatus(token, list[1].ID, false, wire.No),
		setStatus(token, list[2].ID, true, wire.Yes), // another's
		setStatus(token, c.id(), true, wire.Yes),
		setStatus(tokenOf("nobody's"), list[0].ID, true, wire.Yes),
	} {
		c.command(wire.CmdSetMessageStatus, s)
	}
	astray := *page
	astray.Rows = append(slices.Clone(page.Rows), wire.Row{Key: statusKey(m.Recipient, c.id())})
	c.command(wire.CmdMovePage, &astray)
	c.command(wire.CmdSetMessageStatus, setStatus(comes.token, comes.delivered[0].ID, false, wire.No))
	away := c.hasher.Recipient(one)
	c.command(wire.CmdMoveIntent, &wire.MoveIntent{Recipient: away, To: "umbria"})
	leaves := &wire.MoveStep{Recipient: away, Epoch: 2, Region: "umbria"}
	c.command(wire.CmdMoveFence, leaves)
	c.command(wire.CmdMoveDone, leaves)
	c.command(wire.CmdMoveErase, &wire.MoveErase{Recipient: away})
	c.erasures()
	if n := c.count(statusPrefix); n != 2 {
		c.t.Fatalf("%d statuses are left, want those of who came", n)
	}
}

// version3StatusRestored is a restored region that is given what an earlier owner still has, and
// has a status that is newer.
func (c *writer) version3StatusRestored() {
	c.membership("members of the beginning")
	c.command(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: 3})
	sicilia := openFixture(c.t, testConfig(vfs.NewMem(), "sicilia", c.coder))
	sicilia.minted = 1 << 32
	sicilia.raise()
	p := settle(sicilia, "a citizen", 70) // two pages
	m := sicilia.fence(p.code, "lazio")
	sicilia.must(wire.CmdMoveDone, leaving(m))
	c.command(wire.CmdReconcile, &wire.Reconcile{Incarnation: 1, Done: true,
		List: []wire.Standing{{Recipient: m.Recipient, Region: "lazio", Epoch: 2}}})
	l := c.loginAs(p.code, p.token)
	c.command(wire.CmdLogin, &l)
	c.command(wire.CmdSetProfile, &wire.SetProfile{Token: p.token,
		Update: wire.ProfileUpdate{AcceptedTos: 1}})
	c.block(p.delivered[0]) // a retry
	c.command(wire.CmdSetMessageStatus, setStatus(p.token, p.delivered[0].ID, true, wire.No))
	var at wire.MoveProgress
	for !at.Owned {
		r := c.command(wire.CmdMoveCopy, sicilia.copyPage(m, at.Next))
		if at = (wire.MoveProgress{}); r.Err != nil || wire.Decode(r.Body, &at) != nil {
			c.t.Fatal(r.Err)
		}
	}
}

// TestMessageStatus: a change answers with what is then, does not undo a reading, and says why it
// changed nothing.
func TestMessageStatus(t *testing.T) {
	f := newFixture(t, "lazio")
	maria, mario := codeOf("maria"), codeOf("mario")
	token, other := f.activate(maria), f.activate(mario)
	m := f.message(maria, someService, "x")
	f.submit(m)
	for _, s := range []struct {
		read     bool
		archived wire.Tri
		want     wire.MessageStatus
	}{
		{false, wire.No, wire.MessageStatus{}},
		{false, wire.Yes, wire.MessageStatus{Archived: true}},
		{true, wire.Unset, wire.MessageStatus{Read: true, Archived: true}},
		{false, wire.Yes, wire.MessageStatus{Read: true, Archived: true}},
		{false, wire.No, wire.MessageStatus{Read: true}},
		{true, wire.Yes, wire.MessageStatus{Read: true, Archived: true}},
	} {
		for range 2 {
			if got := f.mark(token, m, s.read, s.archived); got != s.want {
				t.Errorf("%+v: got %+v", s, got)
			}
			if got, err := f.GetInbox(wire.GetInbox{Token: token, ID: m.ID}, f.now); err != nil ||
				got.Item.Read != s.want.Read || got.Item.Archived != s.want.Archived {
				t.Errorf("read %+v, %v after %+v", got, err, s)
			}
		}
	}
	for name, s := range map[string]struct {
		m    *wire.SetMessageStatus
		code wire.Code
	}{
		"nothing":     {setStatus(token, m.ID, false, wire.Unset), wire.Malformed},
		"no switch":   {setStatus(token, m.ID, true, 3), wire.Malformed},
		"another's":   {setStatus(other, m.ID, true, wire.No), wire.NotFound},
		"unknown":     {setStatus(token, f.id(), true, wire.No), wire.NotFound},
		"no session":  {setStatus(tokenOf("x"), m.ID, true, wire.No), wire.Unauthenticated},
		"no body, id": {&wire.SetMessageStatus{Token: token, Read: true}, wire.NotFound},
	} {
		if err := f.refuse(s.code, wire.CmdSetMessageStatus, s.m); err.Detail == "" {
			t.Errorf("%s: refused without a reason", name)
		}
	}
	f.now = f.now.Add(SessionMax)
	f.refuse(wire.Unauthenticated, wire.CmdSetMessageStatus, setStatus(token, m.ID, true, wire.No))
}

// TestListByArchive: pages of what is archived, and of what is not, are full, whatever lies between,
// and walking them meets every message once.
func TestListByArchive(t *testing.T) {
	f := newFixture(t, "lazio")
	rng := rand.New(rand.NewPCG(3, 4))
	code := codeOf("maria")
	token := f.activate(code)
	lists := map[bool][]wire.MessageID{} // newest first
	for i := range 300 {
		m := f.message(code, someService, "x")
		f.submit(m)
		archived := rng.IntN(3) > 0 && i > 20
		if archived || rng.IntN(2) == 0 {
			f.mark(token, m, rng.IntN(2) == 0, wire.TriOf(archived))
		}
		lists[archived] = slices.Insert(lists[archived], 0, m.ID)
	}
	for range 400 {
		archived := rng.IntN(2) == 0
		list := lists[archived]
		q := wire.ListInbox{Token: token, Size: 1 + rng.Uint32N(wire.PageMax), Archived: archived}
		if rng.IntN(2) == 0 {
			at := rng.IntN(len(list))
			q.Before, list = list[at], list[at+1:]
		}
		page, err := f.ListInbox(q, f.now)
		if err != nil {
			t.Fatal(err)
		}
		var got []wire.MessageID
		for _, item := range page.Items {
			if got = append(got, item.ID); item.Archived != archived {
				t.Fatalf("%+v: %+v is listed", q, item)
			}
		}
		if want := list[:min(len(list), int(q.Size))]; !slices.Equal(got, want) {
			t.Fatalf("%+v: got %v, want %v", q, got, want)
		}
		if next := page.Next(); len(list) > int(q.Size) && next != got[len(got)-1] {
			t.Fatalf("%+v: the next page begins below %v, want the last item", q, next)
		}
		if !page.More && len(list) > int(q.Size) {
			t.Fatalf("%+v: more remain", q)
		}
	}
}

// TestPageIsBounded: a page passes over a bounded number of messages and says where it goes on.
func TestPageIsBounded(t *testing.T) {
	f := newFixture(t, "lazio")
	code := codeOf("maria")
	token := f.activate(code)
	var sent []wire.Record
	for len(sent) < 2*inboxScanMax+200 {
		var block []wire.Record
		for range wire.BlockRecordsMax {
			block = append(block, f.message(code, someService, "x"))
		}
		f.submit(block...)
		sent = append(sent, block...)
	}
	slices.SortFunc(sent, func(a, b wire.Record) int { return slices.Compare(a.ID[:], b.ID[:]) })
	shown := []wire.MessageID{sent[len(sent)-1].ID, sent[0].ID} // all between are archived
	var list []wire.Command
	for i, m := range sent[1 : len(sent)-1] {
		list = append(list, command(wire.CmdSetMessageStatus, setStatus(token, m.ID, false, wire.Yes)))
		if len(list) == wire.CommandsMax || i == len(sent)-3 {
			f.doAll(list...)
			list = nil
		}
	}
	var walked []wire.MessageID
	pages := 0
	for q := (wire.ListInbox{Token: token, Size: 12}); ; pages++ {
		page, err := f.ListInbox(q, f.now)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			walked = append(walked, item.ID)
		}
		if next := page.Next(); page.More == next.IsZero() || pages > 9 {
			t.Fatalf("page %d: %d items, more %v, next %v", pages, len(page.Items), page.More, next)
		}
		if !page.More {
			break
		}
		q.Before = page.Next()
	}
	if !slices.Equal(walked, shown) || pages != 2 {
		t.Errorf("walked %v in %d pages and a last one, want %v in 2", walked, pages, shown)
	}
	page, err := f.ListInbox(wire.ListInbox{Token: token, Size: wire.PageMax, Archived: true}, f.now)
	if err != nil || len(page.Items) != wire.PageMax || page.Next() != page.Items[99].ID {
		t.Errorf("archived: %d items, %v", len(page.Items), err)
	}
}

// TestStatusOfACopyIsOlder: after a restore, what the citizen did since stays.
func TestStatusOfACopyIsOlder(t *testing.T) {
	sicilia := newFixture(t, "sicilia")
	sicilia.raise()
	p := settle(sicilia, "anna", 1)
	m := sicilia.fence(p.code, "lazio")
	sicilia.must(wire.CmdMoveDone, leaving(m))
	cfg := testConfig(vfs.NewMem(), "lazio", sicilia.coder)
	cfg.Store.Identity.Incarnation = 1
	lazio := openFixture(t, cfg)
	lazio.raise()
	lazio.reconcile(true, wire.Standing{Recipient: m.Recipient, Region: "lazio", Epoch: m.Epoch})
	l := lazio.loginAs(p.code, p.token)
	lazio.must(wire.CmdLogin, &l)
	lazio.update(p.token, wire.ProfileUpdate{AcceptedTos: 1})
	lazio.submit(p.delivered[0]) // a retry
	want := lazio.mark(p.token, p.delivered[0], true, wire.No)
	copyAll(sicilia, lazio, m)
	got, err := lazio.GetInbox(wire.GetInbox{Token: p.token, ID: p.delivered[0].ID}, lazio.now)
	if err != nil || got.Item.Archived || !got.Item.Read || want.Archived {
		t.Errorf("a newer status became %+v, %v", got, err)
	}
	if n := lazio.count(statusPrefix); n != 2 {
		t.Errorf("%d statuses, want the newer one and one that was missing", n)
	}
}

// TestStatusNeedsItsMessage: of what another region hands over, a status whose message is not here
// is left out, and one that is here is newer than a copy.
func TestStatusNeedsItsMessage(t *testing.T) {
	regions := newRegions(t, "lazio", "sicilia")
	lazio, sicilia := regions[0], regions[1]
	lazio.raise()
	sicilia.raise()
	p := settle(lazio, "anna", 1)
	m := lazio.fence(p.code, "sicilia")
	page := lazio.page(m, nil)
	astray := statusKey(m.Recipient, lazio.id())
	page.Rows = append(page.Rows, wire.Row{Key: astray})
	if !sicilia.take(page).Owned {
		t.Fatal("the page is not all")
	}
	if _, there, err := sicilia.db.Get(astray); err != nil || there {
		t.Errorf("a status that leads nowhere: stored %v, %v", there, err)
	}
	got, err := sicilia.GetInbox(wire.GetInbox{Token: p.token, ID: p.delivered[0].ID}, sicilia.now)
	if err != nil || !got.Item.Read || !got.Item.Archived {
		t.Errorf("the status of a message that moved: %+v, %v", got, err)
	}
	if _, err := lazio.ListInbox(wire.ListInbox{Token: p.token, Size: 1, Archived: true},
		lazio.now); !errors.Is(err, wire.Moved) {
		t.Errorf("the old owner lists what is archived: %v", err)
	}
}
