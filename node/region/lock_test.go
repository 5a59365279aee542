package region

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

func init() { corpora["v3-lock"] = (*writer).version3Lock }

// version3Lock is a citizen who locks access, one who unlocks with the code and one who does not
// know it, what an operator ends, and a lock that moves here.
func (c *writer) version3Lock() {
	c.membership("members of the beginning")
	sicilia := openFixture(c.t, testConfig(vfs.NewMem(), "sicilia", c.coder))
	sicilia.minted = 1 << 32
	sicilia.raise()
	comes := settle(sicilia, "who comes", 1)
	sicilia.lock(comes.token)
	page := sicilia.page(sicilia.fence(comes.code, "lazio"), nil)
	c.command(wire.CmdMovePage, page) // as by a program of before
	c.command(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: 3})
	for _, kind := range []wire.CommandKind{wire.CmdLockAccess, wire.CmdUnlockAccess,
		wire.CmdEndSessionsOf} {
		c.commands(wire.Command{Kind: kind, Body: []byte{0xff}}, wire.Command{Kind: kind})
	}
	one, nobody := codeOf("citizen 0"), codeOf("nobody")
	c.citizen(one, 4)
	r := c.hasher.Recipient(one)
	lock := &wire.LockAccess{Token: tokenOf(string(one)), Proof: wire.Proof{1}}
	high := c.openAs(one, "high")
	high.Session.Level = wire.Level3
	low, login := c.openAs(one, "low"), c.loginAs(one, tokenOf("a login"))
	unlock := func(u wire.UnlockAccess) { c.command(wire.CmdUnlockAccess, &u) }
	c.command(wire.CmdLockAccess, lock)
	c.command(wire.CmdLockAccess, lock) // whose session has ended
	c.command(wire.CmdLogin, &login)
	c.command(wire.CmdOpenSession, &low)
	unlock(wire.UnlockAccess{Recipient: r})
	unlock(wire.UnlockAccess{Recipient: r, Proof: wire.Proof{2}})
	unlock(wire.UnlockAccess{Recipient: r, Proof: wire.Proof{1}})
	unlock(wire.UnlockAccess{Recipient: r, Proof: wire.Proof{1}}) // is done
	c.command(wire.CmdOpenSession, &low)
	lock.Token = low.Session.Token
	c.command(wire.CmdLockAccess, lock)
	for range wire.UnlockTriesMax + 1 {
		unlock(wire.UnlockAccess{Recipient: r, Proof: wire.Proof{2}})
	}
	unlock(wire.UnlockAccess{Recipient: r, Proof: wire.Proof{1}}) // too late
	c.command(wire.CmdOpenSession, &high)
	lock.Token = high.Session.Token
	c.command(wire.CmdLockAccess, lock) // is locked
	unlock(wire.UnlockAccess{Token: high.Session.Token})
	c.command(wire.CmdEndSessionsOf, &wire.EndSessionsOf{Recipient: r, ID: wire.SessionID{9}})
	c.command(wire.CmdEndSessionsOf, &wire.EndSessionsOf{Recipient: r, ID: high.Session.ID})
	c.command(wire.CmdEndSessionsOf, &wire.EndSessionsOf{Recipient: r})
	for _, none := range []wire.Recipient{c.hasher.Recipient(nobody), {}} {
		c.command(wire.CmdEndSessionsOf, &wire.EndSessionsOf{Recipient: none})
		unlock(wire.UnlockAccess{Recipient: none})
	}
	astray := *page
	astray.Rows = append(astray.Rows[:len(astray.Rows):len(astray.Rows)],
		wire.Row{Key: recipientKey(lockPrefix, page.Recipient)})
	c.command(wire.CmdMovePage, &astray)
	c.command(wire.CmdMovePage, page)
	again := c.openAs(comes.code, "low again")
	c.command(wire.CmdOpenSession, &again)
	c.command(wire.CmdMoveIntent, &wire.MoveIntent{Recipient: page.Recipient, To: "umbria"})
	leaves := &wire.MoveStep{Recipient: page.Recipient, Epoch: 3, Region: "umbria"}
	c.command(wire.CmdMoveFence, leaves)
	c.command(wire.CmdMoveDone, leaves)
	c.command(wire.CmdMoveErase, &wire.MoveErase{Recipient: page.Recipient})
	if n := c.count(lockPrefix); n != 0 {
		c.t.Fatalf("%d locks are left", n)
	}
}

func (f *fixture) lock(token wire.TokenHash) {
	f.t.Helper()
	f.must(wire.CmdLockAccess, &wire.LockAccess{Token: token, Proof: wire.Proof{1}})
}

func (f *fixture) openHigh(code fiscalcode.Code, word string) wire.TokenHash {
	f.t.Helper()
	o := f.openAs(code, word)
	o.Session.Level = wire.Level3
	f.must(wire.CmdOpenSession, &o)
	return o.Session.Token
}

func (f *fixture) unlock(u wire.UnlockAccess) (a wire.AccessState) {
	f.t.Helper()
	if err := wire.Decode(f.must(wire.CmdUnlockAccess, &u), &a); err != nil {
		f.t.Fatal(err)
	}
	return a
}

// TestLock: a lock ends all sessions and lets in level 3 only, until it is opened.
func TestLock(t *testing.T) {
	f := newFixture(t, "lazio")
	code := codeOf("maria")
	r := f.hasher.Recipient(code)
	first := f.activate(code)
	f.open(code, "one")
	f.lock(tokenOf("one"))
	if got := f.valid("one"); len(got) != 0 {
		t.Error("a session outlives the lock")
	}
	if _, err := f.Session(first, f.now); !errors.Is(err, wire.Unauthenticated) {
		t.Errorf("the session of a login outlives the lock: %v", err)
	}
	low, login := f.openAs(code, "two"), f.loginAs(code, tokenOf("three"))
	f.refuse(wire.Locked, wire.CmdOpenSession, &low)
	f.refuse(wire.Locked, wire.CmdLogin, &login)

	high := f.openHigh(code, "high")
	if a, err := f.Access(high, f.now); err != nil || !a.Locked || a.Since != f.now {
		t.Errorf("got %+v, %v", a, err)
	}
	f.refuse(wire.Conflict, wire.CmdLockAccess, &wire.LockAccess{Token: high, Proof: wire.Proof{2}})
	if a := f.unlock(wire.UnlockAccess{Token: high}); a.Locked {
		t.Errorf("level 3 does not unlock: %+v", a)
	}
	f.must(wire.CmdOpenSession, &low)
	f.lock(low.Session.Token)
	if a := f.unlock(wire.UnlockAccess{Recipient: r, Proof: wire.Proof{2}}); a.Tries != 1 {
		t.Errorf("a wrong code: got %+v", a)
	}
	if a := f.unlock(wire.UnlockAccess{Recipient: r, Proof: wire.Proof{1}}); a.Locked {
		t.Errorf("the code does not unlock: %+v", a)
	}
	again := f.open(code, "again")
	f.lock(again)
	for range wire.UnlockTriesMax {
		f.unlock(wire.UnlockAccess{Recipient: r, Proof: wire.Proof{2}})
	}
	if a := f.unlock(wire.UnlockAccess{Recipient: r, Proof: wire.Proof{1}}); !a.Locked ||
		a.Tries != wire.UnlockTriesMax {
		t.Errorf("the code unlocks after too many wrong ones: %+v", a)
	}
	f.refuse(wire.Malformed, wire.CmdLockAccess, &wire.LockAccess{Token: high})
	f.refuse(wire.Malformed, wire.CmdUnlockAccess, &wire.UnlockAccess{})
	f.refuse(wire.NotFound, wire.CmdUnlockAccess, &wire.UnlockAccess{Recipient: wire.Recipient{1}})
}

// TestLockMoves: a lock goes along, and a session of a lower level does not open it there either.
func TestLockMoves(t *testing.T) {
	regions := newRegions(t, "lazio", "sicilia")
	lazio, sicilia := regions[0], regions[1]
	lazio.raise()
	sicilia.raise()
	code := codeOf("anna")
	lazio.lock(lazio.activate(code))
	move(lazio, sicilia, code)
	o := lazio.openAs(code, "low")
	lazio.refuse(wire.Moved, wire.CmdOpenSession, &o)
	sicilia.refuse(wire.Locked, wire.CmdOpenSession, &o)
	lazio.refuse(wire.Moved, wire.CmdUnlockAccess, &wire.UnlockAccess{
		Recipient: lazio.hasher.Recipient(code), Proof: wire.Proof{1}})
	sicilia.openHigh(code, "high")
}

// TestOperatorEndsSessions: one or all of a citizen's, where the citizen is.
func TestOperatorEndsSessions(t *testing.T) {
	f := newFixture(t, "lazio")
	code := codeOf("maria")
	r := f.hasher.Recipient(code)
	f.activate(code)
	f.open(code, "one")
	f.open(code, "two")
	list, err := f.SessionsOf(r, f.now)
	if err != nil || len(list.List) != 3 {
		t.Fatalf("listed: %+v, %v", list, err)
	}
	end := &wire.EndSessionsOf{Recipient: r, ID: f.openAs(code, "one").Session.ID}
	f.must(wire.CmdEndSessionsOf, end)
	f.refuse(wire.NotFound, wire.CmdEndSessionsOf, end)
	if got := f.valid("one", "two"); len(got) != 1 || got[0] != "two" {
		t.Errorf("valid are %v", got)
	}
	var ended wire.EndedSessions
	body := f.must(wire.CmdEndSessionsOf, &wire.EndSessionsOf{Recipient: r})
	if err := wire.Decode(body, &ended); err != nil || ended.Count != 2 {
		t.Errorf("got %+v, %v, want two ended", ended, err)
	}
	if list, err := f.SessionsOf(r, f.now); err != nil || len(list.List) != 0 {
		t.Errorf("listed: %+v, %v", list, err)
	}
	none := wire.Recipient{9}
	f.refuse(wire.NotFound, wire.CmdEndSessionsOf, &wire.EndSessionsOf{Recipient: none})
	if _, err := f.SessionsOf(none, f.now); !errors.Is(err, wire.NotFound) {
		t.Errorf("of nobody: %v", err)
	}
}
