package route

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// citizens makes codes that a region owns.
func (w *world) citizens(from, n int, id wire.RegionID) (codes []fiscalcode.Code) {
	for i := range n {
		codes = append(codes, w.citizen(from+i, id, true))
	}
	return codes
}

// know has a router look codes up.
func know(t testing.TB, r *Router, codes []fiscalcode.Code) {
	for _, c := range codes {
		if _, _, err := r.RegionOf(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

type waitFunc = func() (wire.Outcome, error)

// startAll begins a bulk submission to each code.
func startAll(ctx context.Context, r *Router, codes []fiscalcode.Code) (waits []waitFunc) {
	for _, c := range codes {
		waits = append(waits, r.StartBulk(ctx, record(r, c), sender))
	}
	return waits
}

// empty checks that no lane holds anything.
func empty(t *testing.T, r *Router) {
	t.Helper()
	for id, lane := range r.Status().Lanes {
		if lane.Records != 0 || lane.Bytes != 0 || lane.Queued != (Queued{}) {
			t.Errorf("lane of %s holds %+v after all were answered", id, lane)
		}
	}
}

func TestBulkWithoutGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r, release := held(t, func(*Config) {})
		codes := w.citizens(0, 300, "sicilia")
		know(t, r, codes)
		synctest.Wait()
		before := runtime.NumGoroutine()
		waits := startAll(t.Context(), r, codes)
		synctest.Wait()
		if got := runtime.NumGoroutine(); got != before {
			t.Errorf("%d goroutines for 300 bulk submissions, want none", got-before)
		}
		if got := r.Status().Lanes["sicilia"].Records; got != 300 {
			t.Errorf("%d records in the lane before anybody waits, want all", got)
		}
		release()
		for _, wait := range waits {
			if o, err := wait(); err != nil || o.Verdict.Status != wire.Processed {
				t.Errorf("got %v, %v, want processed", o, err)
			}
		}
		if got := len(w.regions["sicilia"].applied()); got != 300 {
			t.Errorf("%d messages decided, want 300", got)
		}
		empty(t, r)
	})
}

// TestBulkLookUpsGoTogether: the owners of a stream's records are looked up while nobody waits yet,
// many in one call.
func TestBulkLookUpsGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio", "sicilia")
		w.delay = 5 * time.Millisecond
		r := w.router(func(c *Config) { c.Limits.BulkRecords = 400 })
		codes := append(w.citizens(0, 500, "sicilia"), w.citizens(500, 500, "lazio")...)
		before := runtime.NumGoroutine()
		waits := startAll(t.Context(), r, codes)
		if got := runtime.NumGoroutine(); got != before {
			t.Errorf("%d goroutines for 1,000 look-ups, want none", got-before)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := len(w.regions["sicilia"].applied()); got != 500 {
			t.Errorf("%d decided before anybody waits, want 500", got)
		}
		for _, wait := range waits {
			if o, err := wait(); err != nil || o.Verdict.Status != wire.Processed {
				t.Errorf("got %v, %v, want processed", o, err)
			}
		}
		total := 0
		for _, n := range w.resolves {
			total += n
		}
		if total != 1000 || len(w.resolves) > 6 {
			t.Errorf("look-ups of %v, want 1,000 in a few calls", w.resolves)
		}
		empty(t, r)
	})
}

// TestBulkLookUpsWaitForRoom: bulk leaves half of the look-ups to others.
func TestBulkLookUpsWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		w.delay = 10 * time.Millisecond
		r := w.router(func(c *Config) { c.Limits.ResolveWaiting = 20 })
		codes := w.citizens(0, 100, "lazio")
		var waits []waitFunc
		started := make(chan struct{})
		go func() {
			defer close(started)
			waits = startAll(t.Context(), r, codes)
		}()
		synctest.Wait()
		if got := r.resolver.count; got != 10 {
			t.Errorf("%d look-ups of a stream under way, want half of 20", got)
		}
		if _, err := r.Submit(t.Context(), record(r, w.citizen(200, "lazio", true)),
			sender); err != nil {
			t.Errorf("an interactive submission beside: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := r.StartBulk(ctx, record(r, codes[99]), sender)(); !errors.Is(err,
			wire.Unavailable) {
			t.Errorf("no room in time: got %v, want unavailable", err)
		}
		<-started
		for _, wait := range waits {
			if _, err := wait(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestBulkBlocksAtItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r, release := held(t, func(c *Config) { c.Limits.BulkRecords = 10 })
		codes := w.citizens(0, 50, "sicilia")
		near := w.citizen(60, "lazio", true)
		know(t, r, append(codes, near))
		var mu sync.Mutex
		var waits []waitFunc
		stream := func(from wire.InstitutionID, codes []fiscalcode.Code) {
			for _, c := range codes {
				wait := r.StartBulk(t.Context(), record(r, c), from)
				mu.Lock()
				waits = append(waits, wait)
				mu.Unlock()
			}
		}
		var streams sync.WaitGroup
		streams.Go(func() { stream("A", codes) })
		synctest.Wait()
		begun := func() int {
			mu.Lock()
			defer mu.Unlock()
			return len(waits)
		}
		if got := begun(); got != 10 {
			t.Errorf("%d submissions began, want the share of 10", got)
		}
		// Other institutions and the institution's own messages have room.
		streams.Go(func() { stream("B", codes[:10]) })
		synctest.Wait()
		if got := begun(); got != 20 {
			t.Errorf("%d submissions began, want another institution's 10 too", got)
		}
		var urgent sync.WaitGroup
		urgent.Go(func() {
			if _, err := r.Submit(t.Context(), record(r, codes[0]), "A"); err != nil {
				t.Errorf("an interactive submission beside: %v", err)
			}
		})
		synctest.Wait()
		if got := r.Status().Lanes["sicilia"].Queued.Interactive; got != 0 {
			t.Errorf("%d interactive records queued, want it to leave beside the bulk", got)
		}
		release()
		streams.Wait()
		urgent.Wait()
		if got := begun(); got != 60 {
			t.Errorf("%d submissions began after room was made, want all 60", got)
		}
		for _, wait := range waits {
			if _, err := wait(); err != nil {
				t.Error(err)
			}
		}
		empty(t, r)
	})
}

// TestOneAtATimeBesideStreams: a message waits for one block to land and for its own, however much
// other institutions, and its own, stream.
func TestOneAtATimeBesideStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio", "sicilia")
		w.delay = 5 * time.Millisecond // of each block
		r := w.router()
		codes := w.citizens(0, 200, "sicilia")
		know(t, r, codes)
		ctx, stop := context.WithCancel(t.Context())
		var streams sync.WaitGroup
		for n := range 5 {
			streams.Go(func() {
				waits := make(chan waitFunc, 1000)
				go func() {
					defer close(waits)
					for i := 0; ctx.Err() == nil; i++ {
						waits <- r.StartBulk(t.Context(), record(r, codes[i%200]), institution(n))
					}
				}()
				for wait := range waits {
					if _, err := wait(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		time.Sleep(time.Second / 2)
		for n, from := range []wire.InstitutionID{"other", institution(3)} {
			for range 20 {
				began := time.Now()
				if _, err := r.Submit(t.Context(), record(r, codes[n]), from); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > 2*w.delay {
					t.Errorf("a message of %s took %s beside streams, want at most two blocks' time",
						from, took)
				}
				time.Sleep(7 * time.Millisecond)
			}
		}
		stop()
		streams.Wait()
		if all := len(w.regions["sicilia"].applied()); all < 5_000 {
			t.Errorf("%d messages in all: the streams did not fill the blocks", all)
		}
		empty(t, r)
	})
}

// TestBulkGivenUp: what a caller that leaves is told, and what is sent of it.
func TestBulkGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r, release := held(t, func(c *Config) {
			c.Limits.BlocksInFlight, c.Limits.BulkRecords = 1, 2
		})
		codes := w.citizens(0, 4, "sicilia")
		know(t, r, codes)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		recs := make([]*wire.Record, 4)
		waits := make([]waitFunc, 4)
		for i, c := range codes {
			recs[i] = record(r, c)
			began := make(chan struct{})
			go func() {
				defer close(began)
				waits[i] = r.StartBulk(ctx, recs[i], sender)
			}()
			synctest.Wait() // the first is under way, the second waits, the others have no room
			if i == 3 {
				cancel()
				<-began
			}
		}
		synctest.Wait()
		want := []wire.Code{wire.OutcomeUnknown, wire.Unavailable, wire.Unavailable,
			wire.Unavailable}
		for i, wait := range waits {
			if _, err := wait(); !errors.Is(err, want[i]) {
				t.Errorf("record %d: got %v, want %v", i, err, want[i])
			}
		}
		release()
		synctest.Wait()
		for i, rec := range recs {
			if _, sent := w.regions["sicilia"].messages[rec.ID]; sent != (i == 0) {
				t.Errorf("record %d: sent %v, want only what had left before", i, sent)
			}
		}
		empty(t, r)
		if _, err := r.Submit(t.Context(), record(r, codes[0]), sender); err != nil {
			t.Error(err)
		}
	})
}

// TestBulkLookUpGivenUp: a record whose caller leaves during the look-up is not sent.
func TestBulkLookUpGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		r := w.router()
		codes := w.citizens(0, 2, "lazio")
		w.delay = time.Second / 2
		ctx, cancel := context.WithCancel(t.Context())
		left, stays := record(r, codes[0]), record(r, codes[0])
		waitLeft := r.StartBulk(ctx, left, sender)
		waitStays := r.StartBulk(t.Context(), stays, sender)
		cancel()
		if _, err := waitLeft(); !errors.Is(err, wire.Unavailable) {
			t.Errorf("left: got %v, want unavailable", err)
		}
		if _, err := waitStays(); err != nil {
			t.Error(err)
		}
		if _, sent := w.regions["lazio"].messages[left.ID]; sent {
			t.Error("a record was sent after its caller had left")
		}
	})
}

// TestBulkNotFinalAtFirst: outcomes that are not the last word are followed by wait.
func TestBulkNotFinalAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio", "sicilia")
		r := w.router()
		codes := w.citizens(0, 40, "sicilia")
		asleep := w.citizen(50, "sicilia", false)
		know(t, r, append(codes, asleep))
		w.set(func() {
			w.own(w.hash.Recipient(codes[7]), "lazio", 2, true)          // moved
			w.regions["sicilia"].active[w.hash.Recipient(asleep)] = true // activated
			w.regions["sicilia"].outcome = func(rec *wire.Record) (wire.Outcome, bool) {
				return wire.Outcome{Kind: wire.KeyConflict},
					rec.RecipientUnder(w.hash) == w.hash.Recipient(codes[9])
			}
		})
		recs, waits := []*wire.Record{}, []waitFunc{}
		for _, c := range append(codes, asleep) {
			rec := record(r, c)
			recs, waits = append(recs, rec), append(waits, r.StartBulk(t.Context(), rec, sender))
		}
		synctest.Wait()
		// Of all but three the verdict is there already: a record of another region in their
		// block did not make them wait for their turn to be asked for.
		if got := len(w.regions["sicilia"].applied()); got != 38 {
			t.Errorf("%d decided before anybody waits, want 38", got)
		}
		for i, wait := range waits {
			o, err := wait()
			switch {
			case err != nil:
				t.Errorf("record %d: %v", i, err)
			case i == 9 && o.Kind != wire.KeyConflict:
				t.Errorf("record %d: got %v, want a key conflict", i, o)
			case i != 9 && (o.ID != recs[i].ID || o.Verdict.Status != wire.Processed):
				t.Errorf("record %d: got %v, want processed", i, o)
			}
		}
		if _, ok := w.regions["lazio"].messages[recs[7].ID]; !ok {
			t.Error("the record of a code that moved is not with its owner")
		}
		empty(t, r)
	})
}

// TestBulkToARegionThatIsAway: a stream loses the first wait, then next to nothing, and goes on
// when the region does.
func TestBulkToARegionThatIsAway(t *testing.T) {
	for name, state := range map[string]fault{"refusing": refusing, "silent": silent,
		"leaderless": leaderless} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, "lazio", "sicilia")
			r := w.router(func(c *Config) { c.Limits.BulkRecords = 20 })
			codes := w.citizens(0, 30, "sicilia")
			know(t, r, codes)
			fail := func(f fault) {
				w.set(func() {
					for n := 1; n <= 3; n++ {
						w.down[addr("sicilia", n)] = f
					}
				})
			}
			fail(state)
			// round streams 30 records and returns how long that takes.
			round := func(want bool) time.Duration {
				began := time.Now()
				for i, wait := range startAll(t.Context(), r, codes) {
					if _, err := wait(); (err == nil) != want || err != nil &&
						!errors.Is(err, wire.Unavailable) && !errors.Is(err, wire.OutcomeUnknown) {
						t.Errorf("%s: record %d: got %v, want a verdict: %v", name, i, err, want)
					}
				}
				return time.Since(began)
			}
			if took := round(false); took < wire.OwnerWait || took > wire.OwnerWait+probeWait {
				t.Errorf("%s: first round took %s", name, took)
			}
			for range 10 {
				if took := round(false); took != 0 {
					t.Errorf("%s: took %s for a region that is away, want no time", name, took)
				}
			}
			time.Sleep(wire.OwnerWait)
			if took := round(false); took == 0 || took > 2*probeWait {
				t.Errorf("%s: took %s to find out, want at most about %s", name, took, probeWait)
			}
			if took := round(false); took != 0 {
				t.Errorf("%s: took %s after finding out, want no time", name, took)
			}
			// It is back: one record finds out, and the others wait for that.
			fail(healthy)
			time.Sleep(wire.OwnerWait)
			if took := round(true); took > time.Second {
				t.Errorf("%s: took %s when the region was back", name, took)
			}
			empty(t, r)
		})
	}
}

// TestInteractiveEndsTheRefusing: any answer of the region lets bulk in again.
func TestInteractiveEndsTheRefusing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		r := w.router()
		codes := w.citizens(0, 2, "lazio")
		know(t, r, codes)
		w.set(func() { w.down[addr("lazio", 1)] = leaderless })
		r.StartBulk(t.Context(), record(r, codes[0]), sender)()
		if _, err := r.StartBulk(t.Context(), record(r, codes[0]), sender)(); !errors.Is(err,
			wire.Unavailable) {
			t.Errorf("away: got %v, want unavailable", err)
		}
		w.set(func() { w.down[addr("lazio", 1)] = healthy })
		if _, err := r.Submit(t.Context(), record(r, codes[1]), sender); err != nil {
			t.Fatal(err)
		}
		if _, err := r.StartBulk(t.Context(), record(r, codes[0]), sender)(); err != nil {
			t.Errorf("back: got %v, want a verdict", err)
		}
	})
}

// TestBulkWhenTheRouterStops: everybody is told, wherever the record is.
func TestBulkWhenTheRouterStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		r, err := New(Config{Caller: w, Region: "lazio", Coder: w.coder,
			Nodes: []string{addr("lazio", 1)}, Limits: Limits{BulkRecords: 3, BlocksInFlight: 1}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		codes := w.citizens(0, 10, "lazio")
		know(t, r, codes[:4])
		w.set(func() { w.down[addr("lazio", 1)] = silent })
		errs := make(chan error, 20)
		begin := func(codes []fiscalcode.Code) {
			go func() {
				for _, wait := range startAll(t.Context(), r, codes) {
					_, err := wait()
					errs <- err
				}
			}()
			synctest.Wait()
		}
		begin(codes[:4]) // one under way, two waiting, one blocked
		begin(codes[:1])
		begin(codes[:1])
		begin(codes[4:]) // being looked up
		cancel()
		began := time.Now()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for range len(codes) + 2 {
			if err := <-errs; !errors.Is(err, wire.Unavailable) &&
				!errors.Is(err, wire.OutcomeUnknown) {
				t.Errorf("got %v, want unavailable or the unknown told", err)
			}
		}
		if _, err := r.StartBulk(t.Context(), record(r, codes[0]), sender)(); !errors.Is(err,
			wire.Unavailable) {
			t.Errorf("afterwards: got %v, want unavailable", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("stopping took %s, want at once", took)
		}
		empty(t, r)
	})
}

// TestReusedSubmissions: submissions that end in every way, side by side, never see another's
// outcome. It is for the race detector too.
func TestReusedSubmissions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio", "sicilia")
		w.delay = 2 * time.Millisecond
		r := w.router(func(c *Config) { c.Limits.BulkRecords = 20 })
		codes := append(w.citizens(0, 20, "sicilia"), w.citizens(20, 20, "lazio")...)
		check := func(rec *wire.Record, o wire.Outcome, err error) {
			if err == nil && o.ID != rec.ID {
				t.Error("a submission got another's outcome")
			} else if err != nil && !wire.Retriable(err) {
				t.Error(err)
			}
		}
		var wg sync.WaitGroup
		for n := range 20 {
			wg.Go(func() {
				for i := range 50 {
					ctx, cancel := t.Context(), func() {}
					if (i+n)%3 == 0 {
						ctx, cancel = context.WithTimeout(ctx, time.Duration(i)*200*time.Microsecond)
					}
					first, second := record(r, codes[(n+i)%40]), record(r, codes[(n*7+i)%40])
					wait := r.StartBulk(ctx, first, institution(n%3))
					o, err := r.Submit(ctx, second, institution(n%3))
					check(second, o, err)
					o, err = wait()
					check(first, o, err)
					cancel()
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		time.Sleep(link.AttemptWait)
		empty(t, r)
	})
}
