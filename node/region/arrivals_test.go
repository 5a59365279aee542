package region

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

func init() {
	corpora["v3-arrivals"] = (*writer).version3Arrivals
	corpora["v3-arrivals-restored"] = (*writer).version3ArrivalsRestored
}

// version3Arrivals are messages that come late and in time, of citizens of whom one comes, and one
// leaves.
func (c *writer) version3Arrivals() {
	c.membership("members of the beginning")
	sicilia := openFixture(c.t, testConfig(vfs.NewMem(), "sicilia", c.coder))
	sicilia.minted = 1 << 32
	sicilia.raise()
	comes := settle(sicilia, "who comes", 2)
	m := sicilia.fence(comes.code, "lazio")
	page := sicilia.page(m, nil)
	one, other := codeOf("citizen 0"), codeOf("citizen 1")
	c.citizen(one, 4)
	c.citizen(other, 4)
	c.block(aged(c.message(one, someService, "of before"), time.Hour))
	if r := c.command(wire.CmdMovePage, page); r.Err == nil { // as by a program of before
		c.t.Fatal("a late arrival moved in a log of the first version")
	}
	c.command(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: 3})
	edge := c.message(one, someService, "not late yet")
	c.block(aged(c.message(one, someService, "late"), time.Hour), aged(edge, lateAfter),
		aged(edge, lateAfter+time.Millisecond), aged(c.message(other, someService, "late"), time.Hour),
		c.message(other, someService, "in time"),
		aged(c.message(codeOf("nobody"), someService, "nobody's"), time.Hour))
	astray := *page
	astray.Rows = append(slices.Clone(page.Rows), wire.Row{Key: lateKey(m.Recipient, c.id())})
	c.command(wire.CmdMovePage, &astray)
	away := c.hasher.Recipient(one)
	c.command(wire.CmdMoveIntent, &wire.MoveIntent{Recipient: away, To: "umbria"})
	leaves := &wire.MoveStep{Recipient: away, Epoch: 2, Region: "umbria"}
	c.command(wire.CmdMoveFence, leaves)
	c.command(wire.CmdMoveDone, leaves)
	c.command(wire.CmdMoveErase, &wire.MoveErase{Recipient: away})
	c.erasures()
	if n := c.count(latePrefix); n != 2 {
		c.t.Fatalf("%d late arrivals are left, want those of who came and who stayed", n)
	}
}

// version3ArrivalsRestored is a restored region that is given what an earlier owner still has.
func (c *writer) version3ArrivalsRestored() {
	c.membership("members of the beginning")
	c.command(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: 3})
	sicilia := openFixture(c.t, testConfig(vfs.NewMem(), "sicilia", c.coder))
	sicilia.minted = 1 << 32
	sicilia.raise()
	p := settle(sicilia, "a citizen", 2)
	m := sicilia.fence(p.code, "lazio")
	sicilia.must(wire.CmdMoveDone, leaving(m))
	c.command(wire.CmdReconcile, &wire.Reconcile{Incarnation: 1, Done: true,
		List: []wire.Standing{{Recipient: m.Recipient, Region: "lazio", Epoch: 2}}})
	c.now = c.now.Add(time.Hour)
	c.command(wire.CmdMoveCopy, sicilia.copyPage(m, nil))
}

// refresh asks behind a place, as a client does that takes nothing but items and prev.
func (f *fixture) refresh(token wire.TokenHash, size uint32, at wire.Arrival) *wire.InboxPage {
	f.t.Helper()
	at, err := wire.ParseArrival(at.String()) // on its way through a client
	if err != nil {
		f.t.Fatal(err)
	}
	page, err := f.ListInbox(wire.ListInbox{Token: token, Size: size, Arrived: at}, f.now)
	if err != nil {
		f.t.Fatal(err)
	}
	if page.More || page.Arrived.IsZero() || len(page.Items) > int(size) {
		f.t.Fatalf("a page of %d with %d items, more %v, %+v", size, len(page.Items), page.More,
			page.Arrived)
	}
	for i := 1; i < len(page.Items); i++ {
		if string(page.Items[i-1].ID[:]) <= string(page.Items[i].ID[:]) {
			f.t.Fatal("a page is not in the order of ids")
		}
	}
	return page
}

// TestRefreshShowsWhatArrived: 30 messages come between two looks, and one of long ago.
func TestRefreshShowsWhatArrived(t *testing.T) {
	f := newFixture(t, "lazio")
	f.raise()
	code := codeOf("maria")
	token := f.activate(code)
	f.submit(f.message(code, someService, "seen"))
	first, err := f.ListInbox(wire.ListInbox{Token: token, Size: 12}, f.now)
	if err != nil || len(first.Items) != 1 {
		t.Fatal(first, err)
	}
	var sent []wire.MessageID
	for i := range 30 {
		f.now = f.now.Add(time.Minute)
		m := f.message(code, someService, "new")
		if i == 7 {
			m = aged(m, 24*time.Hour)
		}
		sent = append(sent, m.ID)
		f.submit(m)
	}
	at := first.Arrived
	for _, want := range [][]wire.MessageID{sent[:12], sent[12:24], sent[24:], nil, nil} {
		page := f.refresh(token, 12, at)
		var got []wire.MessageID
		for _, item := range page.Items {
			got = append(got, item.ID)
		}
		want = slices.Clone(want)
		slices.SortFunc(want, func(a, b wire.MessageID) int { return slices.Compare(b[:], a[:]) })
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		at = page.Arrived
	}
	older, err := f.ListInbox(wire.ListInbox{Token: token, Size: 12, Before: sent[9]}, f.now)
	if err != nil || !older.Arrived.IsZero() {
		t.Errorf("a page of older messages says what is new: %+v, %v", older.Arrived, err)
	}
}

// TestNothingHidesFromARefresh: whatever the ids, the moves, and what lies in the archive, a client
// that looks only behind the place that it was given meets every message that came after its first
// look.
func TestNothingHidesFromARefresh(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 1))
		regions := newRegions(t, "lazio", "sicilia")
		for _, f := range regions {
			f.raise()
		}
		f, other := regions[0], regions[1]
		code := codeOf("maria")
		token := f.activate(code)
		var at wire.Arrival
		waits := map[wire.MessageID]bool{}
		look := func(size uint32) (n int) {
			if at.IsZero() {
				page, err := f.ListInbox(wire.ListInbox{Token: token, Size: size}, f.now)
				if err != nil {
					t.Fatal(err)
				}
				clear(waits) // next leads to them
				at = page.Arrived
				return 0
			}
			page := f.refresh(token, size, at)
			for _, item := range page.Items {
				delete(waits, item.ID)
			}
			at = page.Arrived
			return len(page.Items)
		}
		for range 300 {
			f.now = f.now.Add(time.Duration(rng.IntN(40)) * time.Second)
			switch n := rng.IntN(60); {
			case n < 30:
				m := f.message(code, someService, "x")
				switch rng.IntN(6) {
				case 0:
					m = aged(m, time.Duration(rng.IntN(300))*time.Minute)
				case 1:
					m = aged(m, time.Duration(rng.IntN(600)-300)*time.Second)
				}
				f.submit(m)
				waits[m.ID] = true
			case n < 50:
				look(1 + rng.Uint32N(5))
			case n < 52:
				f.restart()
			case n < 54:
				move(f, other, code)
				for f.count(inboxPrefix) > 0 {
					f.must(wire.CmdMoveErase, &wire.MoveErase{Recipient: f.hasher.Recipient(code)})
				}
				f, other = other, f
			case len(waits) > 0:
				for id := range waits {
					f.mark(token, wire.Record{ID: id}, true, wire.Yes)
					delete(waits, id)
					break
				}
			}
		}
		for n := 0; look(5) > 0; n++ {
			if n > 1000 {
				t.Fatal("refreshing has no end")
			}
		}
		if len(waits) > 0 {
			t.Errorf("seed %d: %d messages were never shown", seed, len(waits))
		}
	}
}

// TestRefreshAfterARestore: a place that the region gave before it was restored means nothing in
// its log of now, which is shorter.
func TestRefreshAfterARestore(t *testing.T) {
	before, after := newFixture(t, "lazio"), newFixture(t, "lazio")
	code := codeOf("maria")
	token := before.activate(code)
	before.raise()
	for range 40 {
		before.submit(before.message(code, someService, "lost, or not"))
	}
	at := before.refresh(token, 12, wire.Arrival{Stand: 1, Index: 1}).Arrived
	for at.Record != wire.ArrivalEntry {
		at = before.refresh(token, 100, at).Arrived
	}
	cfg := testConfig(vfs.NewMem(), "lazio", after.coder)
	cfg.Store.Identity.Incarnation = 1
	after = openFixture(t, cfg)
	after.now = before.now.Add(time.Hour)
	after.raise()
	after.activate(code)
	late := aged(after.message(code, someService, "late"), 2*time.Hour)
	fresh := after.message(code, someService, "fresh")
	after.submit(late)
	after.submit(fresh)
	page := after.refresh(token, 12, at)
	if len(page.Items) != 2 || page.Items[0].ID != fresh.ID || page.Items[1].ID != late.ID {
		t.Errorf("got %d messages, want both that came since", len(page.Items))
	}
	if at = page.Arrived; len(after.refresh(token, 12, at).Items) != 0 {
		t.Error("what was shown is shown again")
	}
	if at.Stand == before.stand() {
		t.Error("places of two incarnations look alike")
	}
}

// TestRefreshIsBounded: who was sent more than is looked at is shown the newest.
func TestRefreshIsBounded(t *testing.T) {
	f := newFixture(t, "lazio")
	f.raise()
	code := codeOf("maria")
	token := f.activate(code)
	at := f.position()
	for n := 0; n <= arrivalScanMax; n += wire.BlockRecordsMax {
		var block []wire.Record
		for range wire.BlockRecordsMax {
			block = append(block, f.message(code, someService, "x"))
		}
		f.submit(block...)
	}
	page, err := f.ListInbox(wire.ListInbox{Token: token, Size: 12, Arrived: at}, f.now)
	if err != nil || len(page.Items) != 12 || !page.More || page.Arrived != f.position() {
		t.Fatalf("got %d items, more %v, %+v, %v", len(page.Items), page.More, page.Arrived, err)
	}
	newest, err := f.ListInbox(wire.ListInbox{Token: token, Size: 12}, f.now)
	if err != nil || newest.Items[0].ID != page.Items[0].ID {
		t.Errorf("they are not the newest: %v", err)
	}
}

// TestNoArrivalsBelowTheirVersion: a log of before does not say what came late.
func TestNoArrivalsBelowTheirVersion(t *testing.T) {
	f := newFixture(t, "lazio")
	code := codeOf("maria")
	token := f.activate(code)
	f.submit(aged(f.message(code, someService, "x"), time.Hour))
	page, err := f.ListInbox(wire.ListInbox{Token: token, Size: 12}, f.now)
	if err != nil || !page.Arrived.IsZero() || f.count(latePrefix) != 0 {
		t.Errorf("got %+v, %d late rows, %v", page, f.count(latePrefix), err)
	}
}

func BenchmarkRefresh(b *testing.B) {
	cfg := testConfig(nil, "lazio", newCoder(b))
	cfg.Store.Dir, cfg.Store.MemTableBytes, cfg.CacheBytes = b.TempDir(), 8<<20, 0
	f := openFixture(b, cfg)
	f.raise()
	code := codeOf("maria")
	token := f.activate(code)
	for _, n := range []int{10, 1000, 10_000} {
		f.now = f.now.Add(time.Hour)
		at := f.position()
		for i := 0; i < n; i += 10 {
			var block []wire.Record
			for range 10 {
				block = append(block, f.message(code, "OTHER", "x"))
			}
			f.submit(block...)
			f.log = f.log[len(f.log)-1:]
		}
		b.Run(fmt.Sprint(n, " new"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				page, err := f.ListInbox(wire.ListInbox{Token: token, Size: 12, Arrived: at}, f.now)
				if err != nil || len(page.Items) == 0 {
					b.Fatal(err)
				}
			}
		})
	}
}
