package virtual

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const day = 24 * time.Hour

// dealsAsked is by when an anchor has asked again whether it still is one.
const dealsAsked = 12 * time.Second

// clocks are wall clocks that a test sets, by node.
type clocks map[wire.NodeID]*atomic.Int64

func (k clocks) set(n *Node, off time.Duration) { k[n.ID].Store(int64(off)) }

// newClocks is a federation whose nodes' clocks can be set.
func newClocks(t *testing.T, version uint32, nodes int, regions ...wire.RegionID) (*World, clocks) {
	k := clocks{}
	w := NewAt(t, version, func(c *node.Config) {
		if k[c.ID] == nil {
			k[c.ID] = new(atomic.Int64)
		}
		off := k[c.ID]
		c.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
	}, nodes, regions...)
	return w, k
}

// checkTimes holds the time of every replica of every group against the right one.
func (w *World) checkTimes(t *testing.T, what string) {
	t.Helper()
	for _, n := range w.nodes {
		if !n.Running() {
			continue
		}
		for group, clock := range map[string]func() (wire.Time, wire.Time, bool){
			"region": n.Node.Region().Clock, "federation": n.Node.Federation().Clock} {
			now, _, ahead := clock()
			if off := now.Sub(wire.TimeOf(time.Now())); off > wire.TimeStepMax || ahead {
				t.Errorf("%s: %s's %s is %s ahead", what, n.ID, group, off)
			}
		}
	}
}

func citizensOf(seed uint64, count int) (list []fiscalcode.Code) {
	invent := synthetic.NewCitizens(seed)
	for range count {
		list = append(list, invent.Next().FiscalCode)
	}
	return list
}

// TestClockSteps: a leader's clock is wrong for less than the time between two heartbeats, by
// seconds, days and years, both ways, while citizens log in and out. Nobody is locked out.
func TestClockSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, k := newClocks(t, wire.Version, 3, "lazio")
		g := w.Gateway("lazio")
		anna := citizensOf(11, 1)[0]
		if err := g.Activate(t.Context(), "lazio", anna); err != nil {
			t.Fatal(err)
		}
		for i, by := range []time.Duration{3 * time.Second, time.Hour, 60 * day, 40 * 365 * day} {
			for _, by := range []time.Duration{by, -by} {
				l := w.Leader("lazio")
				k.set(l, by)
				for end := time.Now().Add(150 * time.Millisecond); time.Now().Before(end); {
					g.CallRegion(t.Context(), "lazio", wire.MethodLogout,
						&wire.Logout{Token: wire.TokenHash{1, byte(i)}}, new(wire.Results))
					w.Operate(wire.MethodDealSlots, &wire.DealSlots{To: "lazio"})
					time.Sleep(time.Millisecond)
				}
				k.set(l, 0)
				w.checkTimes(t, by.String())
				if err := g.SetProfile(t.Context(), "lazio", anna,
					wire.ProfileUpdate{Version: 77}); wire.AsError(err).Code == wire.Unauthenticated {
					t.Errorf("%s: session: %v", by, err)
				}
				other := citizensOf(100+uint64(by), 1)[0]
				if err := g.Activate(t.Context(), "lazio", other); err != nil {
					t.Errorf("%s: login: %v", by, err)
				}
				time.Sleep(20 * time.Second) // due work
			}
		}
		w.checkTimes(t, "at the end")
	})
}

// TestRegionPause: after a week in which nothing ran, the first login succeeds.
func TestRegionPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := newClocks(t, wire.Version, 3, "lazio")
		list := citizensOf(12, 2)
		g := w.Gateway("lazio")
		if err := g.Activate(t.Context(), "lazio", list[0]); err != nil {
			t.Fatal(err)
		}
		g.Stop() // it would ask for a week
		for range 2 {
			for _, n := range w.Nodes("") {
				n.Stop()
			}
			time.Sleep(7 * day)
			for _, n := range w.Nodes("") {
				n.Start()
			}
			w.AwaitReady()
			g := w.Gateway("lazio")
			for _, c := range list {
				if err := g.Activate(t.Context(), "lazio", c); err != nil &&
					wire.AsError(err).Code != wire.Conflict {
					t.Errorf("after a week: %v", err)
				}
			}
			g.Stop()
			w.checkTimes(t, "after a week")
			now, confirmed, _ := w.Leader("lazio").Node.Region().Clock()
			if off := wire.TimeOf(time.Now()).Sub(min(now, confirmed)); off > wire.TimeStepMax {
				t.Errorf("the region's time is %s behind", off)
			}
		}
	})
}

// TestSuspendedAnchor: a whole region, which is all the voters of its group, is suspended between the
// check of a submission and its entry while its slots are taken by force. It tells nobody what it
// decided then.
func TestSuspendedAnchor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slept atomic.Int64
		var suspended atomic.Bool
		w := NewAt(t, wire.Version, func(c *node.Config) {
			if c.Region != "sicilia" {
				return
			}
			began := time.Now()
			c.Uptime = func() time.Duration {
				return time.Since(began) + time.Duration(slept.Load())
			}
			c.State = func(_ string, s consensus.StateMachine) consensus.StateMachine {
				return &sleeper{s, func() {
					if suspended.CompareAndSwap(true, false) {
						slept.Add(int64(3 * time.Minute))
					}
				}}
			}
		}, 1, "lazio", "sicilia")
		g := w.Gateway("sicilia")
		nobody := citizensOf(5, 1)[0]
		for seed := uint64(6); w.found.Anchor(w.Hasher().Recipient(nobody).Slot()) != "sicilia"; seed++ {
			nobody = citizensOf(seed, 1)[0]
		}
		rec := g.Message(nobody).Redact(w.Hasher())
		coder, err := wire.NewCoder(1)
		if err != nil {
			t.Fatal(err)
		}
		defer coder.Close()
		submit := func() wire.Outcome {
			t.Helper()
			var b wire.Builder
			b.Add(&rec)
			l := w.Leader("sicilia")
			answer, err := g.Link.Call(t.Context(), link.Peer{Node: l.ID, Addr: l.addr.String()},
				wire.MethodSubmit, b.Seal(coder))
			if err != nil {
				t.Fatal(err)
			}
			var out wire.Outcomes
			if err := wire.Decode(answer, &out); err != nil {
				t.Fatal(err)
			}
			return out.List[0]
		}
		time.Sleep(dealsAsked) // before it has asked, it decides nothing, and the block is never made
		suspended.Store(true)
		if got := submit(); got.Kind != wire.NotOwner {
			t.Errorf("an anchor that was suspended told what it decided: %+v", got)
		}
		if suspended.Load() {
			t.Error("it was not suspended")
		}
		time.Sleep(dealsAsked) // it hears that it is still the anchor
		if got := submit(); got.Kind != wire.Decided || got.Verdict.Status != wire.Rejected {
			t.Errorf("a retry: %+v", got)
		}
	})
}

// sleeper runs a hook before a block is applied.
type sleeper struct {
	consensus.StateMachine
	before func()
}

func (s *sleeper) Apply(entries []wire.LogEntry) ([]any, error) {
	for _, e := range entries {
		if d, err := wire.DecodeEntry(e.Data); err == nil && d.Kind == wire.BlockEntry {
			s.before()
		}
	}
	return s.StateMachine.Apply(entries)
}
