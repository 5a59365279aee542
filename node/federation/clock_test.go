package federation

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

const day = 24 * time.Hour

func init() { corpora["v3-clock"] = (*writer).version3Clock }

// clocked is a state whose entries have the times that a test gives them.
type clocked struct {
	*State
	t   *testing.T
	now wire.Time
}

func newClocked(t *testing.T) *clocked {
	s := mustOpen(t, vfs.NewMem())
	t.Cleanup(func() { s.Close() })
	c := &clocked{State: s, t: t, now: 1_700_000_000_000}
	c.must(wire.CmdFound, testMap("lazio", "sicilia"))
	return c
}

func (c *clocked) do(kind wire.CommandKind, m codec.Message) wire.Result {
	c.t.Helper()
	list := wire.Commands{List: []wire.Command{command(kind, m)}}
	results, err := c.Apply([]wire.LogEntry{{Index: c.Position().Index + 1, Term: 1,
		Data: wire.EncodeEntry(wire.CommandsEntry, c.now, wire.Encode(&list))}})
	if err != nil {
		c.t.Fatal(err)
	}
	return results[0].(*wire.Results).List[0]
}

func (c *clocked) must(kind wire.CommandKind, m codec.Message) {
	c.t.Helper()
	if r := c.do(kind, m); r.Err != nil {
		c.t.Fatalf("command %d: %v", kind, r.Err)
	}
}

func (c *clocked) confirm() {
	c.t.Helper()
	c.must(wire.CmdConfirmFederationTime, &wire.ConfirmTime{At: c.now})
}

func (c *clocked) token(name wire.NodeID) wire.Result {
	c.t.Helper()
	return c.do(wire.CmdToken, &wire.JoinToken{Hash: keyOf(string(name)), Node: name,
		Region: "lazio", Addr: "127.0.0.1:9" + string(name[len(name)-3:]),
		Expires: c.now.Add(time.Hour)})
}

func (c *clocked) deal(slot wire.Slot) wire.SlotDeal {
	c.t.Helper()
	m, _ := c.Map()
	deal, moving := m.SlotDeal(slot)
	if !moving {
		c.t.Fatalf("slot %d is not on its way", slot)
	}
	return deal
}

// TestOneWrongClock: a leader whose clock is wrong moves the state's time by a minute, however many
// entries it has; tokens are good, and a forced deal waits no longer than it has to.
func TestOneWrongClock(t *testing.T) {
	for _, off := range []time.Duration{60 * day, -60 * day} {
		c := newClocked(t)
		c.must(wire.CmdFinalise, &wire.RaiseVersion{Version: 3})
		c.confirm()
		right := c.now
		c.now = right.Add(off)
		for range 100 {
			c.do(wire.CmdDealSlots, &wire.DealSlots{To: "molise"})
		}
		c.now = right.Add(time.Second)
		if now, _, _ := c.Clock(); now < right || now > right.Add(wire.TimeStepMax) {
			t.Errorf("off by %s: the state's time is %s from the right one", off, now.Sub(right))
		}
		if r := c.token("lazio-100"); r.Err != nil {
			t.Errorf("off by %s: token: %v", off, r.Err)
		}
		c.must(wire.CmdDealSlots, &wire.DealSlots{Slots: []wire.Slot{0}, To: "sicilia", Force: true})
		if at := c.deal(0).At; at > right.Add(wire.TimeStepMax) {
			t.Errorf("off by %s: a deal of %s from now", off, at.Sub(c.now))
		}
	}
}

// TestPauseHeals: after any time without entries one confirmed time is enough.
func TestPauseHeals(t *testing.T) {
	c := newClocked(t)
	c.must(wire.CmdFinalise, &wire.RaiseVersion{Version: 3})
	c.confirm()
	c.now = c.now.Add(365 * day)
	if r := c.token("lazio-100"); r.Err == nil {
		t.Error("an entry alone moved the time")
	}
	c.confirm()
	if r := c.token("lazio-100"); r.Err != nil {
		t.Error(r.Err)
	}
}

// TestAheadHeals: a state that went ahead in an earlier version goes back, and with it what it dated
// in the future.
func TestAheadHeals(t *testing.T) {
	c := newClocked(t)
	right := c.now
	c.must(wire.CmdFinalise, &wire.RaiseVersion{Version: 2})
	c.now = right.Add(60 * day)
	c.must(wire.CmdDealSlots, &wire.DealSlots{Slots: []wire.Slot{0}, To: "sicilia", Force: true})
	c.must(wire.CmdRevoke, &wire.Revocation{Identity: "spiffe://italia/operator/x", Before: c.now})
	if r := c.token("lazio-200"); r.Err != nil {
		t.Fatal(r.Err)
	}
	c.now = right.Add(time.Minute)
	if r := c.token("lazio-100"); r.Err == nil {
		t.Fatal("the state did not go ahead")
	}
	c.must(wire.CmdFinalise, &wire.RaiseVersion{Version: 3})
	c.confirm()
	if r := c.token("lazio-100"); r.Err != nil {
		t.Error(r.Err)
	}
	m, _ := c.Map()
	if at := c.deal(0).At; at != c.now {
		t.Errorf("the deal waits from %s, want %s", at, c.now)
	}
	if before := m.Trust.Revoked[0].Before; before != c.now {
		t.Errorf("revoked as of %s, want %s", before, c.now)
	}
	tokens, err := c.Tokens()
	if err != nil || len(tokens) != 2 {
		t.Fatal(tokens, err)
	}
	for _, k := range tokens {
		if k.Expires > c.now.Add(wire.TokenAgeMax) {
			t.Errorf("the token of %s is good until %s", k.Node, k.Expires)
		}
	}
}

// version3Clock is what confirmed times do, and what entries do after them.
func (c *writer) version3Clock() {
	at := wire.Time(1_700_000_000_000)
	do := func(kind wire.CommandKind, m codec.Message) {
		list := wire.Commands{List: []wire.Command{command(kind, m)}}
		c.add("e", wire.EncodeEntry(wire.CommandsEntry, at, wire.Encode(&list)))
	}
	confirm := func() { do(wire.CmdConfirmFederationTime, &wire.ConfirmTime{At: at}) }
	c.add("c", []byte("members of the beginning"))
	do(wire.CmdFound, testMap("lazio", "sicilia"))
	do(wire.CmdFinalise, &wire.RaiseVersion{Version: 3})
	c.commands(wire.Command{Kind: wire.CmdConfirmFederationTime, Body: []byte{0xff}})
	c.commands(wire.Command{Kind: wire.CmdConfirmFederationTime})
	work := func(slot wire.Slot) {
		do(wire.CmdDealSlots, &wire.DealSlots{Slots: []wire.Slot{slot}, To: "sicilia", Force: true})
		do(wire.CmdRevoke, &wire.Revocation{Identity: "spiffe://italia/operator/x", Before: at})
		do(wire.CmdToken, &wire.JoinToken{Hash: [32]byte{byte(slot + 1)}, Node: "lazio-9",
			Region: "lazio", Addr: "127.0.0.1:9009", Expires: at.Add(time.Hour)})
	}
	at = at.Add(60 * day) // nobody confirmed a time yet
	work(0)
	at = at.Add(-60 * day)
	confirm()
	work(2)
	for i, step := range []time.Duration{time.Minute, time.Hour, -time.Hour, 7 * day, -time.Second,
		-30 * day} {
		at = at.Add(step)
		work(wire.Slot(4 + 4*i))
		confirm()
		work(wire.Slot(6 + 4*i))
	}
}
