package region

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// One entry with a wrong clock expires an hour's worth, not everything.
func TestExpiryStep(t *testing.T) {
	f := newFixture(t, "lazio")
	for i := range 5 {
		code := codeOf(strings.Repeat("x", i+1))
		f.own(code)
		l := f.loginAs(code, tokenOf(string(code)))
		l.Session.ExpiresAt = f.now.Add(time.Duration(i+1)*time.Hour - time.Minute)
		f.must(wire.CmdLogin, &l)
	}
	f.now = f.now.Add(SessionMax) // the leader's clock leaps
	for left := 5; left > 0; left-- {
		if got := f.count(sessionPrefix); got != left {
			t.Fatalf("%d sessions left, want %d", got, left)
		}
		e, due := f.DueExpiry(f.now)
		if !due {
			t.Fatal("nothing is due")
		}
		f.must(wire.CmdExpire, &e)
	}
	if f.Due(f.now) {
		t.Error("work is due when nothing is left")
	}
	// The state's clock does not go back with the leader's.
	high := f.Now()
	f.now = start
	f.must(wire.CmdExpire, &wire.Expire{})
	if got := f.Now(); got != high {
		t.Errorf("time went from %v to %v", high, got)
	}
}

func TestRejectionsExpire(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdGrantSlots, allSlots())
	code := codeOf("nessuno")
	r := f.hasher.Recipient(code)
	m := f.keyed(f.message(code, someService, "uno"), "k")
	f.submit(m, f.message(code, someService, "due"))
	retention := RejectionRetention
	end := f.now.Add(retention)
	f.now = end - 1
	if f.Due(f.now) {
		t.Error("work is due before the retention ends")
	}
	// A leader with a shorter retention asks for more: its setting counts, on every replica.
	f.cfg.RejectionRetention = time.Hour
	f.now = start.Add(time.Hour)
	f.restart()
	if !f.Due(f.now) {
		t.Error("no work is due after the shorter retention")
	}
	e, _ := f.DueExpiry(f.now)
	f.must(wire.CmdExpire, &e)
	if n := f.count(rejectedPrefix) + f.count(idempotencyPrefix) + f.count(duePrefix); n != 0 {
		t.Errorf("%d rows of expired rejections", n)
	}
	_, err := f.FindMessage(wire.FindMessage{Recipient: r, ID: m.ID})
	if !errors.Is(err, wire.NotFound) {
		t.Errorf("find: got %v, want not found", err)
	}
	f.checkCaches()

	// An Expire that names no time keeps to the contract's.
	f.submit(f.message(code, someService, "tre"))
	f.now = f.now.Add(retention - time.Hour)
	f.must(wire.CmdExpire, &wire.Expire{})
	if n := f.count(rejectedPrefix); n != 1 {
		t.Errorf("%d rejections, want 1: it was removed early", n)
	}
}

func TestExpireIsBounded(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdGrantSlots, allSlots())
	code := codeOf("nessuno")
	for range expireRowsMax/wire.BlockRecordsMax + 4 {
		var block []wire.Record
		for range wire.BlockRecordsMax {
			block = append(block, f.redact(f.message(code, someService, "x")))
		}
		f.submit(block...)
	}
	all := f.count(rejectedPrefix)
	e := wire.Expire{RejectionsBefore: f.now}
	f.must(wire.CmdExpire, &e)
	if left := f.count(rejectedPrefix); left == 0 || left > all-expireRowsMax+2*wire.BlockRecordsMax {
		t.Errorf("%d of %d rejections left after one command", left, all)
	}
	f.must(wire.CmdExpire, &e)
	if left := f.count(rejectedPrefix) + f.count(duePrefix); left != 0 {
		t.Errorf("%d rows left after the second", left)
	}
}
