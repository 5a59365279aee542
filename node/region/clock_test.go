package region

import (
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

const day = 24 * time.Hour

func init() {
	corpora["v3-clock"] = (*writer).version3Clock
}

// confirm has a majority confirm the fixture's time, as often as it takes.
func (f *fixture) confirm() (entries int) {
	f.t.Helper()
	for entries = 1; ; entries++ {
		var done wire.TimeConfirmed
		body := f.must(wire.CmdConfirmTime, &wire.ConfirmTime{At: f.now})
		if err := wire.Decode(body, &done); err != nil || !done.More {
			return entries
		}
	}
}

func (f *fixture) raise() {
	f.t.Helper()
	f.must(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: 3})
}

// logouts are entries of a leader whose clock is off, and which is then right again.
func (f *fixture) logouts(off time.Duration, entries int) {
	f.t.Helper()
	at := f.now
	f.now = at.Add(off)
	for range entries {
		f.must(wire.CmdLogout, &wire.Logout{Token: tokenOf("nobody")})
	}
	f.now = at
}

// TestOneWrongClock: a leader whose clock is wrong moves the state's time by a minute, however many
// entries it has; sessions go on, logins succeed, and nothing expires.
func TestOneWrongClock(t *testing.T) {
	for _, off := range []time.Duration{time.Hour, 60 * day, 50 * 365 * day, -60 * day} {
		f := newFixture(t, "lazio")
		f.raise()
		f.confirm()
		anna := codeOf("anna")
		f.own(anna)
		short := f.loginAs(anna, tokenOf("short"))
		short.Session.ExpiresAt = f.now.Add(2 * time.Minute)
		f.must(wire.CmdLogin, &short)
		f.logouts(off, 2000)
		if now, _, _ := f.Clock(); now < f.now || now > f.now.Add(wire.TimeStepMax) {
			t.Errorf("off by %s: the state's time is %s from the right one", off, now.Sub(f.now))
		}
		f.must(wire.CmdExpire, &wire.Expire{RejectionsBefore: f.now})
		if _, err := f.Session(tokenOf("short"), f.now); err != nil {
			t.Errorf("off by %s: session: %v", off, err)
		}
		f.login(anna)
	}
}

// TestPauseHeals: after any time without entries one confirmed time is enough.
func TestPauseHeals(t *testing.T) {
	for _, pause := range []time.Duration{time.Hour, 7 * day, 3 * 365 * day} {
		f := newFixture(t, "lazio")
		f.raise()
		f.confirm()
		anna := codeOf("anna")
		f.own(anna)
		f.login(anna)
		f.now = f.now.Add(pause)
		f.logouts(0, 1)
		if now, _, _ := f.Clock(); now == f.now {
			t.Errorf("%s: an entry alone moved the time", pause)
		}
		if n := f.confirm(); n != 1 {
			t.Errorf("%s: confirmed with %d entries", pause, n)
		}
		if now, confirmed, ahead := f.Clock(); now != f.now || confirmed != f.now || ahead {
			t.Errorf("%s: time %s, confirmed %s, ahead %t", pause, now, confirmed, ahead)
		}
		later := f.loginAs(anna, tokenOf("later"))
		f.must(wire.CmdLogin, &later)
	}
}

// TestAheadHeals: a state that went ahead in an earlier version goes back, and with it everything
// that is dated in the future.
func TestAheadHeals(t *testing.T) {
	f := newFixture(t, "lazio")
	p := f.wentAhead(1500)
	if _, err := f.Session(p.token, f.now); err == nil {
		t.Fatal("the state did not go ahead")
	}
	f.raise()
	if n := f.confirm(); n < 2 {
		t.Errorf("%d rows were dated anew by one entry", p.rejections)
	}
	if now, _, ahead := f.Clock(); now != f.now || ahead {
		t.Errorf("the time is %s, ahead: %t, want %s", now, ahead, f.now)
	}
	if _, err := f.Session(p.token, f.now); err != nil {
		t.Errorf("session: %v", err)
	}
	again := f.loginAs(codeOf("anna"), tokenOf("again"))
	f.must(wire.CmdLogin, &again)
	c := f.clock.Load()
	if c.Expiry > f.now || c.NewestID > f.now.Add(wire.SkewMax) {
		t.Errorf("expiry at %s, newest id of %s", c.Expiry, c.NewestID)
	}
	for _, kind := range []byte{dueRejected, dueStub, dueRemains} {
		_, lower := dueRange(kind, f.now)
		f.noRows(lower, []byte{duePrefix, kind + 1})
	}
	f.mustFind(dueRejected, dueStub, dueRemains)
	k, err := f.NewestRegionKey()
	if err != nil || k.At > f.now {
		t.Errorf("the region's key is of %s, %v", k.At, err)
	}
	f.now = f.now.Add(8 * day)
	f.confirm()
	if due, err := f.DueErasures(f.now, 10); err != nil || len(due) == 0 {
		t.Errorf("%d erasures are due, %v", len(due), err)
	}
	if due, err := f.DueRemains(f.now, 10); err != nil || len(due) == 0 {
		t.Errorf("what remains of %d citizens is due, %v", len(due), err)
	}
	f.checkCaches()
}

// ahead is what a state holds that went ahead.
type ahead struct {
	token      wire.TokenHash
	rejections int
}

// wentAhead lets the state go 60 days ahead while everything that has a date is made.
func (f *fixture) wentAhead(rejections int) (p ahead) {
	f.t.Helper()
	f.must(wire.CmdGrantSlots, allSlots())
	anna := codeOf("anna")
	p = ahead{token: f.activate(anna), rejections: rejections}
	away := settle(f, "who moves away", 2)
	sicilia := newAway(f.t, "sicilia")
	at := f.now
	f.now = at.Add(60 * day)
	m := f.fence(away.code, "sicilia")
	f.must(wire.CmdMoveDone, leaving(m))
	for i := 0; i < rejections; i += 100 {
		var list []wire.Record
		for j := range 100 {
			list = append(list, f.redact(f.message(codeOf(string(rune(i+j))+"?"), someService, "")))
		}
		f.submit(list...)
	}
	message := f.message(anna, someService, "once")
	f.submit(message, f.message(codeOf("nobody"), someService, "refused, with its text"))
	spooled := f.message(codeOf("theirs"), someService, "spooled")
	f.must(wire.CmdSpool, &wire.Spool{Block: f.sealed(sicilia, spooled), BytesMax: plenty})
	f.must(wire.CmdSpoolDone, &wire.SpoolDone{Owner: "sicilia", Seq: f.waiting(sicilia)[0].Seq,
		Outcomes: []wire.Outcome{{Kind: wire.Decided, ID: spooled.ID, Verdict: processed}}})
	pair, err := wire.NewRegionKey(1)
	if err != nil {
		f.t.Fatal(err)
	}
	f.must(wire.CmdRegionKey, pair)
	for range 10 {
		f.must(wire.CmdExpire, &wire.Expire{})
	}
	f.now = at.Add(time.Minute)
	return p
}

func (f *fixture) noRows(lower, upper []byte) {
	f.t.Helper()
	err := f.db.Iterate(lower, upper, false, func(k, _ []byte) (bool, error) {
		f.t.Errorf("a row of %q is dated in the future", k[:2])
		return false, nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) mustFind(kinds ...byte) {
	f.t.Helper()
	for _, kind := range kinds {
		lower, upper := dueRange(kind, f.now)
		n := 0
		err := f.db.Iterate(lower, upper, false, func(_, _ []byte) (bool, error) {
			n++
			return true, nil
		})
		if err != nil || n == 0 {
			f.t.Errorf("no due row of kind %q, %v", kind, err)
		}
	}
}

// version3Clock is what confirmed times do, and what entries do after them.
func (c *writer) version3Clock() {
	c.membership("members of the beginning")
	c.command(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: 3})
	c.commands(wire.Command{Kind: wire.CmdConfirmTime, Body: []byte{0xff}})
	c.commands(wire.Command{Kind: wire.CmdConfirmTime})
	c.command(wire.CmdGrantSlots, allSlots())
	c.citizen(codeOf("a citizen"), 4)
	nobody := codeOf("nobody")
	confirm := func() { c.command(wire.CmdConfirmTime, &wire.ConfirmTime{At: c.now}) }
	c.now = c.now.Add(60 * day) // nobody confirmed a time yet
	for i := range 3 {
		c.block(c.message(codeOf("a citizen"), someService, "text"),
			c.message(nobody, someService, "refused"))
		if i == 1 {
			c.now = c.now.Add(-60 * day)
			confirm()
		}
	}
	confirm()
	for _, step := range []time.Duration{time.Minute, time.Hour, -time.Hour, 7 * day, -time.Second,
		-30 * day} {
		c.now = c.now.Add(step)
		c.block(c.redact(c.message(nobody, someService, "before")))
		confirm()
		c.block(c.redact(c.message(nobody, someService, "after")))
	}
}
