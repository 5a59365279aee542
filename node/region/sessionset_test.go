package region

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

func init() {
	corpora["v3-sessions"] = (*writer).version3Sessions
	corpora["v3-sessions-restored"] = (*writer).version3SessionsRestored
}

// version3Sessions is a citizen with more sessions than there may be, what ends them, one who comes
// with a set, and one who leaves, and is back before anything was erased.
func (c *writer) version3Sessions() {
	c.membership("members of the beginning")
	sicilia := openFixture(c.t, testConfig(vfs.NewMem(), "sicilia", c.coder))
	sicilia.minted = 1 << 32
	sicilia.raise()
	comes := settle(sicilia, "who comes", 1)
	m := sicilia.fence(comes.code, "lazio")
	page := sicilia.page(m, nil)
	if r := c.command(wire.CmdMovePage, page); r.Err == nil { // as by a program of before
		c.t.Fatal("a set moved in a log of the first version")
	}
	c.command(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: 3})
	for _, kind := range []wire.CommandKind{wire.CmdOpenSession, wire.CmdEndSessions} {
		c.commands(wire.Command{Kind: kind, Body: []byte{0xff}}, wire.Command{Kind: kind})
	}
	one := codeOf("citizen 0")
	c.citizen(one, 4)
	open := func(word string, change func(*wire.OpenSession)) {
		o := c.openAs(one, word)
		if change != nil {
			change(&o)
		}
		c.command(wire.CmdOpenSession, &o)
	}
	for i := range wire.SessionsMax + 2 {
		open(fmt.Sprint("device ", i), nil)
	}
	for _, name := range slices.Sorted(maps.Keys(badSessions)) {
		open(name, badSessions[name])
	}
	open("device 11", nil) // the same again
	end := func(word, id string, own bool) {
		m := &wire.EndSessions{Token: tokenOf(word), KeepOwn: own}
		if id != "" {
			m.ID = c.openAs(one, id).Session.ID
		}
		c.command(wire.CmdEndSessions, m)
	}
	end("device 11", "device 5", false)
	end("device 11", "device 5", false) // is done
	open("device 5", nil)               // a late copy
	c.command(wire.CmdLogout, &wire.Logout{Token: tokenOf("device 6")})
	end("device 11", "device 11", true)
	end("device 11", "", true)
	end("nobody's", "", false)
	open("with a key", func(o *wire.OpenSession) {
		o.Session.Ref, o.Session.Key, o.Session.Level = "sha256-x", "{}", wire.Level3
		o.Session.ExpiresAt = c.now.Add(15 * time.Minute)
		o.Session.EndsAt = c.now.Add(SessionMax)
	})
	open("short", func(o *wire.OpenSession) { o.Session.ExpiresAt = c.now.Add(time.Minute) })
	open("the only one", func(o *wire.OpenSession) { o.One = true })
	open("another", nil)
	c.now = c.now.Add(40 * time.Minute)
	c.command(wire.CmdExpire, &wire.Expire{})

	astray := *page
	astray.Rows = append(slices.Clone(page.Rows),
		wire.Row{Key: memberKey(m.Recipient, wire.SessionID{9})})
	c.command(wire.CmdMovePage, &astray)
	c.command(wire.CmdMovePage, page)
	c.command(wire.CmdEndSessions, &wire.EndSessions{Token: comes.more[0], KeepOwn: true})

	away := c.hasher.Recipient(one)
	for epoch, to := range []wire.RegionID{"umbria", "marche"} {
		c.command(wire.CmdMoveIntent, &wire.MoveIntent{Recipient: away, To: to})
		leaves := &wire.MoveStep{Recipient: away, Epoch: wire.Epoch(2 + 2*epoch), Region: to}
		c.command(wire.CmdMoveFence, leaves)
		c.command(wire.CmdLogout, &wire.Logout{Token: tokenOf("another")})
		if epoch == 0 {
			c.command(wire.CmdMoveAbort, &wire.MoveRef{Recipient: away})
			c.command(wire.CmdMoveUndo, leaves)
			continue
		}
		c.command(wire.CmdMoveDone, leaves)
		c.command(wire.CmdMoveErase, &wire.MoveErase{Recipient: away})
	}
	if n := c.count(memberPrefix); n != 1 {
		c.t.Fatalf("%d sessions of sets are left, want the one of who came", n)
	}
	c.now = c.now.Add(SessionMax)
	c.command(wire.CmdExpire, &wire.Expire{})
}

// version3SessionsRestored is a restored region: what was opened before is void.
func (c *writer) version3SessionsRestored() {
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
	c.command(wire.CmdMoveCopy, sicilia.copyPage(m, nil))
	o := c.openAs(p.code, "after the restore")
	c.command(wire.CmdOpenSession, &o)
	c.command(wire.CmdEndSessions, &wire.EndSessions{Token: p.more[0]})
}

// badSessions are what no login may open.
var badSessions = map[string]func(*wire.OpenSession){
	"no id":       func(o *wire.OpenSession) { o.Session.ID = wire.SessionID{} },
	"no level":    func(o *wire.OpenSession) { o.Session.Level = 0 },
	"level 4":     func(o *wire.OpenSession) { o.Session.Level = 4 },
	"device":      func(o *wire.OpenSession) { o.Session.Device = strings.Repeat("a", 129) },
	"not text":    func(o *wire.OpenSession) { o.Session.Device = "\xff" },
	"provider":    func(o *wire.OpenSession) { o.Session.Provider = strings.Repeat("a", 257) },
	"a key alone": func(o *wire.OpenSession) { o.Session.Key = "{}" },
	"a reference": func(o *wire.OpenSession) { o.Session.Ref = "sha256-x" },
	"no hash":     func(o *wire.OpenSession) { o.Session.Ref, o.Session.Key = "md5-x", "{}" },
	"a long key": func(o *wire.OpenSession) {
		o.Session.Ref, o.Session.Key = "sha256-x", strings.Repeat("k", 1025)
	},
	"a long ref": func(o *wire.OpenSession) {
		o.Session.Ref, o.Session.Key = "sha256-"+strings.Repeat("x", 90), "{}"
	},
	"over before its token": func(o *wire.OpenSession) { o.Session.EndsAt = 1 },
	"without end": func(o *wire.OpenSession) {
		o.Session.EndsAt = o.Session.ExpiresAt.Add(SessionMax)
	},
	"no token": func(o *wire.OpenSession) { o.Session.Token = wire.TokenHash{} },
}

func TestOpenSessionRefuses(t *testing.T) {
	f := newFixture(t, "lazio")
	code := codeOf("maria")
	o := f.openAs(code, "one")
	f.refuse(wire.Conflict, wire.CmdOpenSession, &o) // nobody's yet
	f.own(code)
	for name, change := range badSessions {
		o := f.openAs(code, name)
		change(&o)
		f.refuse(wire.Malformed, wire.CmdOpenSession, &o)
	}
	f.open(code, "one")
	other := codeOf("mario")
	f.own(other)
	thief := f.openAs(other, "one")
	f.refuse(wire.Conflict, wire.CmdOpenSession, &thief)
	same := f.openAs(code, "two")
	same.Session.ID = f.openAs(code, "one").Session.ID
	f.refuse(wire.Conflict, wire.CmdOpenSession, &same)
	if n := f.count(memberPrefix) + f.count(sessionPrefix); n != 2 {
		t.Errorf("%d rows of one session", n)
	}
}

// words are the devices whose sessions are valid, of some words.
func (f *fixture) valid(words ...string) (list []string) {
	f.t.Helper()
	for _, w := range words {
		switch _, err := f.Session(tokenOf(w), f.now); {
		case err == nil:
			list = append(list, w)
		case !errors.Is(err, wire.Unauthenticated):
			f.t.Errorf("session %s: %v", w, err)
		}
	}
	return list
}

// TestSessionSet: sessions stand beside each other, up to a bound; each ends alone, and what has
// ended does not come back with a late copy of its login.
func TestSessionSet(t *testing.T) {
	f := newFixture(t, "lazio")
	code := codeOf("maria")
	f.activate(code)
	var words []string
	for i := range wire.SessionsMax + 2 {
		words = append(words, fmt.Sprint("device ", i))
		f.now = f.now.Add(time.Second)
		f.open(code, words[i])
	}
	// The oldest one is that of the Login.
	if _, err := f.Session(tokenOf(string(code)), f.now); !errors.Is(err, wire.Unauthenticated) {
		t.Errorf("the session of the login: %v", err)
	}
	if got := f.valid(words...); !slices.Equal(got, words[2:]) {
		t.Errorf("valid are %v, want the newest ten", got)
	}
	own := words[11]
	list, err := f.Sessions(tokenOf(own), f.now)
	if err != nil || len(list.List) != 10 || !list.List[9].Current || list.List[0].Current ||
		list.List[9].Device != "telefono" || list.List[9].Level != wire.Level2 {
		t.Fatalf("listed: %+v, %v", list, err)
	}
	end := &wire.EndSessions{Token: tokenOf(own), ID: list.List[0].ID}
	f.must(wire.CmdEndSessions, end)
	f.refuse(wire.NotFound, wire.CmdEndSessions, end)
	f.must(wire.CmdLogout, &wire.Logout{Token: tokenOf(words[3])})
	if got := f.valid(words...); !slices.Equal(got, words[4:]) {
		t.Errorf("valid are %v after two ends", got)
	}
	for _, w := range words[2:4] {
		late := f.openAs(code, w)
		f.refuse(wire.Conflict, wire.CmdOpenSession, &late)
	}
	f.must(wire.CmdEndSessions, &wire.EndSessions{Token: tokenOf(own), KeepOwn: true})
	if got := f.valid(words...); !slices.Equal(got, words[11:]) {
		t.Errorf("valid are %v, want the one that asked", got)
	}
	f.open(code, "another")
	only := f.openAs(code, "the only one")
	only.One = true
	f.must(wire.CmdOpenSession, &only)
	if got := f.valid(own, "another", "the only one"); !slices.Equal(got, []string{"the only one"}) {
		t.Errorf("valid are %v, want the only one", got)
	}
	f.must(wire.CmdEndSessions, &wire.EndSessions{Token: tokenOf("the only one")})
	f.now = f.now.Add(endedKept)
	for f.Due(f.now) {
		e, _ := f.DueExpiry(f.now)
		f.must(wire.CmdExpire, &e)
	}
	if n := f.count(memberPrefix) + f.count(sessionPrefix) + f.count(duePrefix) +
		f.count(movePrefix); n != 0 {
		t.Errorf("%d rows are left of sessions that ended", n)
	}
}

// TestLoginBesideASet: the session of a Login, as gateways of before open it, and the set do not
// touch each other.
func TestLoginBesideASet(t *testing.T) {
	f := newFixture(t, "lazio")
	code := codeOf("maria")
	first := f.activate(code)
	f.open(code, "of the set")
	l := f.loginAs(code, tokenOf("second"))
	f.must(wire.CmdLogin, &l)
	if got := f.valid("of the set", "second"); len(got) != 2 {
		t.Errorf("valid are %v", got)
	}
	if _, err := f.Session(first, f.now); !errors.Is(err, wire.Unauthenticated) {
		t.Errorf("the first login's session: %v", err)
	}
	list, err := f.Sessions(tokenOf("of the set"), f.now)
	if err != nil || len(list.List) != 2 {
		t.Fatalf("listed: %+v, %v", list, err)
	}
	for _, v := range list.List {
		if !v.Current {
			f.must(wire.CmdEndSessions, &wire.EndSessions{Token: tokenOf("of the set"), ID: v.ID})
		}
	}
	if got := f.valid("of the set", "second"); !slices.Equal(got, []string{"of the set"}) {
		t.Errorf("valid are %v after the end of the login's", got)
	}
}

// TestSessionSetMoves: every session goes along, and leads there from where it was opened, but for
// one that has ended, at whichever region; also when the move is undone.
func TestSessionSetMoves(t *testing.T) {
	regions := newRegions(t, "lazio", "sicilia")
	lazio, sicilia := regions[0], regions[1]
	lazio.raise()
	sicilia.raise()
	code := codeOf("anna")
	lazio.activate(code)
	words := []string{"a", "b", "c", "d"}
	for _, w := range words {
		lazio.open(code, w)
	}
	lazio.must(wire.CmdLogout, &wire.Logout{Token: tokenOf("a")})
	m := lazio.fence(code, "sicilia")
	lazio.must(wire.CmdMoveAbort, &wire.MoveRef{Recipient: m.Recipient})
	lazio.must(wire.CmdMoveUndo, leaving(m))
	if got := lazio.valid(words...); !slices.Equal(got, words[1:]) {
		t.Fatalf("valid are %v after a move that was undone", got)
	}
	m = move(lazio, sicilia, code)
	for _, w := range words {
		_, err := lazio.Session(tokenOf(w), lazio.now)
		lazio.wantMoved(err, "sicilia", m.Epoch)
	}
	if got := sicilia.valid(words...); !slices.Equal(got, words[1:]) {
		t.Fatalf("valid are %v after the move", got)
	}
	sicilia.must(wire.CmdLogout, &wire.Logout{Token: tokenOf("b")})
	lazio.now = lazio.now.Add(keepMovedDefault)
	lazio.eraseRemains()
	if _, err := lazio.Session(tokenOf("c"), lazio.now); !errors.Is(err, wire.Moved) {
		t.Errorf("a session leads nowhere once the remains are erased: %v", err)
	}
	sicilia.now = lazio.now
	move(sicilia, lazio, code)
	if got := lazio.valid(words...); !slices.Equal(got, words[2:]) {
		t.Errorf("valid are %v when the citizen is back", got)
	}
	late := lazio.openAs(code, "b")
	lazio.refuse(wire.Conflict, wire.CmdOpenSession, &late)
}

// TestSetsFillAPage: a page that is full of rows has room for a whole set.
func TestSetsFillAPage(t *testing.T) {
	regions := newRegions(t, "lazio", "sicilia")
	lazio, sicilia := regions[0], regions[1]
	lazio.raise()
	sicilia.raise()
	code := codeOf("anna")
	token := lazio.activate(code)
	for i := range wire.SessionsMax - 1 {
		lazio.open(code, fmt.Sprint(i))
	}
	lazio.update(token, wire.ProfileUpdate{SetMode: true, Mode: wire.Auto})
	most := 0
	for i := range wire.MoveRowsMax + 2 {
		lazio.must(wire.CmdSetPreference, &wire.SetPreference{Token: token,
			Preference: wire.Preference{Service: wire.ServiceID(fmt.Sprint("S", i))}})
		if i < wire.MoveRowsMax-2*wire.SessionsMax {
			continue
		}
		page, err := lazio.export(lazio.hasher.Recipient(code), nil, moveStages)
		if err != nil || len(page.Rows) > wire.MoveRowsMax {
			t.Fatalf("a page of %d rows, %v", len(page.Rows), err)
		}
		most = max(most, len(page.Rows))
	}
	if most < wire.MoveRowsMax-lastRows {
		t.Errorf("no page was full: %d rows", most)
	}
	m := move(lazio, sicilia, code)
	if n := sicilia.count(memberPrefix); n != wire.SessionsMax-1 {
		t.Errorf("%d sessions arrived with the move to %s", n, m.To)
	}
}

// TestRestoredSessionsAreVoid: of a region that was restored, what was opened before has ended, as
// far as anybody knows; and does not come to life by a move.
func TestRestoredSessionsAreVoid(t *testing.T) {
	cfg := testConfig(vfs.NewMem(), "lazio", newCoder(t))
	f := openFixture(t, cfg)
	f.raise()
	code := codeOf("maria")
	f.activate(code)
	f.open(code, "before")
	r := f.restored.Load()
	f.restored.Store(&restored{incarnation: r.incarnation + 1, row: restoreRow{Done: true}})
	f.open(code, "after")
	if got := f.valid("before", "after"); !slices.Equal(got, []string{"after"}) {
		t.Errorf("valid are %v", got)
	}
	f.refuse(wire.Unauthenticated, wire.CmdEndSessions, &wire.EndSessions{Token: tokenOf("before")})
	if n := f.count(memberPrefix); n != 1 {
		t.Errorf("%d sessions after a login, want one", n)
	}
}

// TestForeignSets: a region that hands over takes no more sessions than there may be, and none that
// is not one.
func TestForeignSets(t *testing.T) {
	regions := newRegions(t, "lazio", "sicilia")
	lazio, sicilia := regions[0], regions[1]
	lazio.raise()
	sicilia.raise()
	p := settle(lazio, "anna", 1)
	m := lazio.fence(p.code, "sicilia")
	add := func(word string, change func(*wire.Session)) *wire.MovePage {
		page := lazio.page(m, nil)
		s := lazio.openAs(p.code, word).Session
		if change != nil {
			change(&s)
		}
		page.Rows = append(page.Rows, wire.Row{Key: memberKey(m.Recipient, s.ID),
			Value: wire.Encode(&s)})
		return page
	}
	other := codeOf("mario")
	for name, change := range map[string]func(*wire.Session){
		"another's": func(s *wire.Session) { s.FiscalCode = other },
		"no token":  func(s *wire.Session) { s.Token = wire.TokenHash{} },
		"no level":  func(s *wire.Session) { s.Level = 0 },
		"long name": func(s *wire.Session) { s.Name = strings.Repeat("a", 1000) },
	} {
		if err := sicilia.refuse(wire.Malformed, wire.CmdMovePage, add("x", change)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	astray := add("x", nil)
	astray.Rows[len(astray.Rows)-1].Key = memberKey(m.Recipient, wire.SessionID{1})
	sicilia.refuse(wire.Malformed, wire.CmdMovePage, astray)
	page := lazio.page(m, nil)
	for i := range 20 {
		page.Rows = append(page.Rows, add(fmt.Sprint(i), nil).Rows[len(page.Rows)-i:]...)
	}
	sicilia.take(page)
	if n := sicilia.count(memberPrefix); n > wire.SessionsMax {
		t.Errorf("%d sessions were taken", n)
	}
}
