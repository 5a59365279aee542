package route

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// held starts a router whose region sicilia answers blocks only when release is called.
func held(t *testing.T, change func(*Config)) (w *world, r *Router, release func()) {
	w = newWorld(t, "lazio", "sicilia")
	r = w.router(change)
	open := make(chan struct{})
	w.set(func() {
		w.hook = func(ctx context.Context, _ link.Peer, m wire.Method, _ []byte) ([]byte, error,
			bool) {
			if m == wire.MethodSubmit {
				select {
				case <-open:
				case <-ctx.Done():
					return nil, wire.Errorf(wire.OutcomeUnknown, "lost"), true
				}
			}
			return nil, nil, false
		}
	})
	return w, r, sync.OnceFunc(func() { close(open) })
}

func sizes(r *region) (n []int) {
	for _, ids := range r.log {
		n = append(n, len(ids))
	}
	return n
}

func TestLoneRecordLeavesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		r := w.router()
		code := w.citizen(1, "lazio", true)
		for range 5 {
			began := time.Now()
			if _, err := r.Submit(t.Context(), record(r, code), sender); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("a lone record took %s, want no waiting at all", took)
			}
		}
	})
}

func TestWhatWaitsFillsTheNextBlock(t *testing.T) {
	for _, c := range []struct {
		inFlight, submitted int
		want                []int // sizes of the blocks, smallest first
	}{
		{1, 100, []int{1, 99}},
		{1, 300, []int{1, 43, 128, 128}},
		{2, 1 + spareRecords - 1, []int{1, spareRecords - 1}}, // not worth a second block yet
		{2, 1 + spareRecords, []int{1, spareRecords}},
	} {
		synctest.Test(t, func(t *testing.T) {
			w, r, release := held(t, func(c2 *Config) { c2.Limits.BlocksInFlight = c.inFlight })
			began := time.Now()
			var wg sync.WaitGroup
			for i := range c.submitted {
				code := w.citizen(i, "sicilia", true)
				wg.Go(func() {
					if _, err := r.Submit(t.Context(), record(r, code), sender); err != nil {
						t.Error(err)
					}
				})
				if i == 0 {
					synctest.Wait() // it has left, alone
				}
			}
			synctest.Wait()
			release()
			wg.Wait()
			got := sizes(w.regions["sicilia"])
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("%d submitted with %d in flight: blocks of %v, want %v", c.submitted,
					c.inFlight, got, c.want)
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("%d submitted: waited %s for company, want no waiting", c.submitted, took)
			}
		})
	}
}

func TestStuckBlockIsPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio", "sicilia")
		r := w.router()
		first := true
		w.set(func() {
			w.hook = func(ctx context.Context, _ link.Peer, m wire.Method, _ []byte) ([]byte,
				error, bool) {
				w.mu.Lock()
				stuck := m == wire.MethodSubmit && first
				first = first && !stuck
				w.mu.Unlock()
				if stuck {
					<-ctx.Done()
					return nil, wire.Errorf(wire.OutcomeUnknown, "lost"), true
				}
				return nil, nil, false
			}
		})
		var wg sync.WaitGroup
		submit := func(n int, within time.Duration) {
			code, began := w.citizen(n, "sicilia", true), time.Now()
			wg.Go(func() {
				if _, err := r.Submit(t.Context(), record(r, code), sender); err != nil {
					t.Errorf("record %d: %v", n, err)
				}
				if took := time.Since(began); took > within {
					t.Errorf("record %d took %s, want at most %s", n, took, within)
				}
			})
			synctest.Wait()
		}
		submit(1, link.AttemptWait+250*time.Millisecond) // and a pause
		submit(2, spareAfter)
		submit(3, spareAfter)
		wg.Wait()
	})
}

func TestOverload(t *testing.T) {
	for name, limits := range map[string]Limits{
		"records": {WaitingRecords: 10},
		"bytes":   {WaitingBytes: 10*(itemBytes+len("a subject of ten")+len("text")+8) - 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			w, r, release := held(t, func(c *Config) { c.Limits = limits })
			var wg sync.WaitGroup
			accepted, refused := 0, 0
			var mu sync.Mutex
			for i := range 30 {
				code := w.citizen(i, "sicilia", true)
				wg.Go(func() {
					_, err := r.Submit(t.Context(), record(r, code), sender)
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						accepted++
					case errors.Is(err, wire.Overloaded):
						refused++
					default:
						t.Errorf("%s: got %v, want a verdict or overloaded", name, err)
					}
				})
			}
			synctest.Wait()
			mu.Lock()
			if refused < 19 {
				t.Errorf("%s: %d refused at once, want those beyond the bound", name, refused)
			}
			mu.Unlock()
			// Another region has room.
			if _, err := r.resolver.ask(t.Context(), wire.Recipient{1}, interactive,
				nil); err != nil {
				t.Error(err)
			}
			release()
			wg.Wait()
			if accepted < 9 || accepted > 10 || accepted+refused != 30 {
				t.Errorf("%s: %d accepted, %d refused; want about 10 and the rest", name, accepted,
					refused)
			}
			code := w.citizen(1, "sicilia", true)
			if _, err := r.Submit(t.Context(), record(r, code), sender); err != nil {
				t.Errorf("%s: after the crowd: got %v, want a verdict", name, err)
			}
		})
	}
}

func TestCallerThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r, release := held(t, func(c *Config) { c.Limits.BlocksInFlight = 1 })
		code := w.citizen(1, "sicilia", true)
		submit := func(ctx context.Context) (*wire.Record, chan error) {
			rec, done := record(r, code), make(chan error, 1)
			go func() {
				_, err := r.Submit(ctx, rec, sender)
				done <- err
			}()
			synctest.Wait()
			return rec, done
		}
		sentCtx, leaveSent := context.WithCancel(t.Context())
		waitCtx, leaveWaiting := context.WithCancel(t.Context())
		sent, sentDone := submit(sentCtx)
		waiting, waitingDone := submit(waitCtx)
		last, lastDone := submit(t.Context())
		leaveSent()
		leaveWaiting()
		if err := <-sentDone; !errors.Is(err, wire.OutcomeUnknown) {
			t.Errorf("left while under way: got %v, want the unknown told", err)
		}
		if err := <-waitingDone; !errors.Is(err, wire.Unavailable) {
			t.Errorf("left the queue: got %v, want unavailable", err)
		}
		release()
		if err := <-lastDone; err != nil {
			t.Error(err)
		}
		reg := w.regions["sicilia"]
		if _, ok := reg.messages[waiting.ID]; ok {
			t.Error("a record was sent after its caller had left the queue")
		}
		if _, ok := reg.messages[sent.ID]; !ok {
			t.Error("a record under way was lost with its caller")
		}
		if _, ok := reg.messages[last.ID]; !ok {
			t.Error("the record behind was lost")
		}
		if lane := r.Status().Lanes["sicilia"]; lane.Records != 0 || lane.Bytes != 0 {
			t.Errorf("lane holds %v after all were answered", lane)
		}
	})
}

func TestRefusedBlockIsSeparated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r, release := held(t, func(c *Config) { c.Limits.BlocksInFlight = 1 })
		bad := w.citizen(7, "sicilia", true)
		badTo := w.hash.Recipient(bad)
		w.set(func() {
			w.regions["sicilia"].blockErr = func(n int) error {
				if n > 1 {
					return wire.Malformedf("one of them")
				}
				return nil
			}
			w.regions["sicilia"].outcome = func(rec *wire.Record) (wire.Outcome, bool) {
				return wire.Outcome{Kind: wire.KeyConflict}, rec.RecipientUnder(w.hash) == badTo
			}
		})
		var wg sync.WaitGroup
		for i := range 20 {
			code := w.citizen(i, "sicilia", true)
			wg.Go(func() {
				o, err := r.Submit(t.Context(), record(r, code), sender)
				if want := code == bad; err != nil || (o.Kind == wire.KeyConflict) != want {
					t.Errorf("got %v, %v", o, err)
				}
			})
		}
		synctest.Wait()
		release()
		wg.Wait()
		for _, n := range sizes(w.regions["sicilia"]) {
			if n != 1 {
				t.Errorf("a block of %d was applied, want single records", n)
			}
		}
	})
}

func TestOutcomesThatDoNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		r := w.router()
		code := w.citizen(1, "lazio", true)
		w.set(func() {
			w.hook = func(_ context.Context, _ link.Peer, m wire.Method, _ []byte) ([]byte, error,
				bool) {
				return wire.Encode(&wire.Outcomes{List: make([]wire.Outcome, 2)}), nil,
					m == wire.MethodSubmit
			}
		})
		o, err := r.Submit(t.Context(), record(r, code), sender)
		if !errors.Is(err, wire.OutcomeUnknown) {
			t.Errorf("got %v, %v, want the unknown told", o, err)
		}
	})
}

// TestSeparatedRecordsKeepTheirDoubt: a block whose first copy may be in the log is refused by the
// next node, and its records, alone, find nobody. Nobody may be told that nothing was recorded.
func TestSeparatedRecordsKeepTheirDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r, release := held(t, func(c *Config) { c.Limits.BlocksInFlight = 1 })
		codes := make([]fiscalcode.Code, 6)
		for i := range codes {
			codes[i] = w.citizen(i, "sicilia", true)
		}
		var wg sync.WaitGroup
		wg.Go(func() { // holds the lane, so that the others share a block
			if _, err := r.Submit(t.Context(), record(r, codes[0]), sender); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		for _, code := range codes[1:] {
			wg.Go(func() {
				if _, err := r.Submit(t.Context(), record(r, code), sender); !errors.Is(err,
					wire.OutcomeUnknown) {
					t.Errorf("got %v, want outcome-unknown", err)
				}
			})
		}
		synctest.Wait()
		lost := false
		w.set(func() {
			w.hook = func(_ context.Context, _ link.Peer, m wire.Method, req []byte) ([]byte,
				error, bool) {
				n, err := wire.CheckBlock(req)
				switch {
				case m != wire.MethodSubmit || err != nil:
					return nil, nil, false
				case n == 1:
					return nil, wire.Errorf(wire.Unavailable, "nobody"), true
				case !lost:
					lost = true
					return nil, wire.Errorf(wire.OutcomeUnknown, "lost"), true
				}
				return nil, wire.Malformedf("one of them"), true
			}
		})
		release()
		wg.Wait()
		if !lost {
			t.Error("no block was lost: the test proves nothing")
		}
	})
}
