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

// fakeSpool keeps sealed blocks as a home region does, and opens them with the owners' keys.
type fakeSpool struct {
	keys    map[wire.RegionID]*wire.RegionPrivateKey // of all regions
	records []wire.Record                            // as the owner reads them
	blocks  int
	views   map[wire.MessageID]*wire.SpooledView
	refuse  wire.SpoolRefusal
}

// publishKeys gives every region a key, and the first one's spool the private halves.
func (w *world) publishKeys() {
	w.t.Helper()
	keys := map[wire.RegionID]*wire.RegionPrivateKey{}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.m.Regions {
		pair, err := wire.NewRegionKey(1)
		if err != nil {
			w.t.Fatal(err)
		}
		private, err := pair.Open()
		if err != nil {
			w.t.Fatal(err)
		}
		w.m.Regions[i].Keys = []wire.RegionKey{{ID: 1, Public: pair.Public}}
		keys[w.m.Regions[i].ID] = private
	}
	for _, r := range w.regions {
		r.spool = fakeSpool{keys: keys, views: map[wire.MessageID]*wire.SpooledView{}}
	}
}

func (s *fakeSpool) keep(w *world, home wire.RegionID, req []byte) ([]byte, error) {
	var b wire.SpoolBlock
	w.decode(req, &b)
	if err := b.Validate(); err != nil {
		w.t.Errorf("a block for the spool: %v", err)
	}
	if b.Sealed.Home != home || b.Sealed.Owner == home {
		w.t.Errorf("a block of %s for %s in the spool of %s", b.Sealed.Home, b.Sealed.Owner, home)
	}
	if s.refuse != wire.SpoolTook {
		return wire.Encode(&wire.Spooled{Refused: s.refuse}), nil
	}
	frame, err := s.keys[b.Sealed.Owner].Open(w.m.Federation, &b.Sealed)
	if err != nil {
		w.t.Fatalf("the owner cannot open a block: %v", err)
	}
	block, err := w.coder.Decode(frame)
	if err != nil || len(block.Records) != len(b.Stubs) {
		w.t.Fatalf("a block of %d stubs: %v", len(b.Stubs), err)
	}
	var a wire.Spooled
	s.blocks++
	for i := range block.Records {
		rec := block.Records[i]
		if d := rec.Redact(w.hash); d.IsRedacted() == rec.IsRedacted() ||
			string(wire.Encode(&d)) != string(wire.Encode(&b.Stubs[i])) {
			w.t.Errorf("record %d and its stub differ, or it is not whole", i)
		}
		s.records = append(s.records, rec)
		s.views[rec.ID] = &wire.SpooledView{ID: rec.ID, Service: rec.Service,
			Owner: b.Sealed.Owner, Verdict: wire.Verdict{Status: wire.Throttled},
			Offered: slices.Contains(b.Offered, uint8(i))}
		a.Outcomes = append(a.Outcomes, wire.Outcome{Kind: wire.Decided, ID: rec.ID,
			Verdict: wire.Verdict{Status: wire.Throttled}})
	}
	return wire.Encode(&a), nil
}

func (s *fakeSpool) find(w *world, req []byte) ([]byte, error) {
	var q wire.FindMessage
	w.decode(req, &q)
	if v := s.views[q.ID]; v != nil {
		return wire.Encode(v), nil
	}
	return nil, wire.Errorf(wire.NotFound, "no such message in the spool")
}

// takeDown makes every node of a region behave so.
func (w *world) takeDown(region wire.RegionID, f fault) {
	w.set(func() {
		for n := 1; n <= 3; n++ {
			w.down[addr(region, n)] = f
		}
	})
}

// inSpoolWorld runs a test on three regions with keys; the gateway's is lazio.
func inSpoolWorld(t *testing.T, test func(t *testing.T, w *world, r *Router)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio", "sicilia", "puglia")
		w.publishKeys()
		test(t, w, w.router())
	})
}

func wantThrottled(t *testing.T, o wire.Outcome, err error, id wire.MessageID) {
	t.Helper()
	want := wire.Outcome{Kind: wire.Decided, ID: id, Verdict: wire.Verdict{Status: wire.Throttled}}
	if err != nil || o != want {
		t.Errorf("got %+v, %v, want it throttled", o, err)
	}
}

// TestSpoolWhileAway: the first submission finds out, the others do not wait, and when the region
// answers again they go there at once.
func TestSpoolWhileAway(t *testing.T) {
	for _, f := range []fault{silent, refusing, leaderless, forgetful} {
		inSpoolWorld(t, func(t *testing.T, w *world, r *Router) {
			code := w.citizen(1, "sicilia", true)
			w.takeDown("sicilia", f)
			rec := record(r, code)
			began := time.Now()
			o, err := r.Submit(t.Context(), rec, sender)
			wantThrottled(t, o, err, rec.ID)
			if took := time.Since(began); took != wire.SpoolAfter {
				t.Errorf("fault %d: the first took %s, want %s", f, took, wire.SpoolAfter)
			}
			began = time.Now()
			rec = record(r, code)
			o, err = r.Submit(t.Context(), rec, sender)
			wantThrottled(t, o, err, rec.ID)
			v, err := r.FindMessage(t.Context(), code, rec.ID)
			if err != nil || v.Verdict.Status != wire.Throttled {
				t.Errorf("fault %d: read back %+v, %v, want it throttled", f, v, err)
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("fault %d: the second and its reading took %s, want none", f, took)
			}
			if s := r.Status().Lanes["sicilia"]; !s.Away {
				t.Errorf("fault %d: the status does not say that the region is away", f)
			}
			time.Sleep(time.Hour)
			w.takeDown("sicilia", healthy)
			time.Sleep(probeCall + 2*probePause)
			o, err = r.Submit(t.Context(), record(r, code), sender)
			if err != nil || o.Verdict.Status != wire.Processed {
				t.Errorf("fault %d: back again: %+v, %v", f, o, err)
			}
			if n := len(w.regions["lazio"].spool.records); n != 2 {
				t.Errorf("fault %d: %d records were spooled, want 2", f, n)
			}
		})
	}
}

// TestSpoolTakesWhatWaits: records that wait in the lane behind a block without an answer go to
// the spool together, in few blocks, and bulk ones too.
func TestSpoolTakesWhatWaits(t *testing.T) {
	inSpoolWorld(t, func(t *testing.T, w *world, r *Router) {
		w.takeDown("sicilia", silent)
		var all sync.WaitGroup
		began := time.Now()
		for i := range 400 {
			code := w.citizen(i, "sicilia", i%2 == 0)
			rec := record(r, code)
			all.Go(func() {
				if i%4 == 0 {
					o, err := r.StartBulk(t.Context(), rec, sender)()
					wantThrottled(t, o, err, rec.ID)
					return
				}
				o, err := r.Submit(t.Context(), rec, sender)
				wantThrottled(t, o, err, rec.ID)
			})
		}
		all.Wait()
		if took := time.Since(began); took > wire.SpoolAfter+time.Second {
			t.Errorf("took %s, want little more than %s", took, wire.SpoolAfter)
		}
		s := &w.regions["lazio"].spool
		if len(s.records) != 400 || s.blocks > 60 {
			t.Errorf("%d records in %d blocks, want 400 in few", len(s.records), s.blocks)
		}
	})
}

// TestSpoolRefusesToGuess: what is never spooled.
func TestSpoolRefusesToGuess(t *testing.T) {
	unavailable := func(t *testing.T, r *Router, code fiscalcode.Code, what string) {
		t.Helper()
		began := time.Now()
		_, err := r.Submit(t.Context(), record(r, code), sender)
		if !errors.Is(err, wire.Unavailable) && !errors.Is(err, wire.OutcomeUnknown) {
			t.Errorf("%s: %v, want unavailable", what, err)
		}
		if took := time.Since(began); took > wire.OwnerWait {
			t.Errorf("%s took %s", what, took)
		}
	}
	inSpoolWorld(t, func(t *testing.T, w *world, r *Router) {
		w.set(func() { // sicilia anchors everything that nobody claimed
			for s := range w.m.SlotOwners {
				w.m.SlotOwners[s] = 2
			}
			w.regions["lazio"].anchored, w.regions["sicilia"].anchored = false, true
			w.m.Version++
			m := w.m
			w.sayLocked(wire.FeedEvent{Map: &m})
		})
		synctest.Wait()
		w.takeDown("sicilia", silent)
		unavailable(t, r, codeOf(7), "a code that nobody claimed")
		rec := record(r, w.citizen(1, "sicilia", true))
		o, err := r.Submit(t.Context(), rec, sender)
		wantThrottled(t, o, err, rec.ID)
		unavailable(t, r, codeOf(8), "another one, while the region is known to be away")
		w.takeDown("lazio", silent)
		unavailable(t, r, w.citizen(2, "lazio", true), "the home region's own citizen")
		unavailable(t, r, w.citizen(3, "sicilia", true), "a spool without a leader")
		if n := len(w.regions["lazio"].spool.records); n != 1 {
			t.Errorf("%d records were spooled, want 1", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio", "sicilia") // without keys
		r := w.router()
		w.takeDown("sicilia", silent)
		unavailable(t, r, w.citizen(1, "sicilia", true), "a region without a key")
	})
}

func TestSpoolFull(t *testing.T) {
	inSpoolWorld(t, func(t *testing.T, w *world, r *Router) {
		code := w.citizen(1, "sicilia", true)
		w.takeDown("sicilia", silent)
		w.set(func() { w.regions["lazio"].spool.refuse = wire.SpoolFull })
		if _, err := r.Submit(t.Context(), record(r, code), sender); !errors.Is(err,
			wire.Unavailable) && !errors.Is(err, wire.OutcomeUnknown) {
			t.Errorf("the first: %v, want its outcome at the owner unknown", err)
		}
		began := time.Now()
		if _, err := r.Submit(t.Context(), record(r, code), sender); !errors.Is(err,
			wire.Overloaded) {
			t.Errorf("beyond the spool's bounds: %v, want overloaded", err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the refusal took %s, want none", took)
		}
	})
}

// TestSpoolRepeatsTheRecord: a home leader that loses its answers gets the same bytes again.
func TestSpoolRepeatsTheRecord(t *testing.T) {
	inSpoolWorld(t, func(t *testing.T, w *world, r *Router) {
		code := w.citizen(1, "sicilia", true)
		w.takeDown("sicilia", refusing)
		lose, requests := 2, map[string]int{}
		w.set(func() {
			w.hook = func(_ context.Context, _ link.Peer, m wire.Method, req []byte) ([]byte, error,
				bool) {
				if m != wire.MethodSpool {
					return nil, nil, false
				}
				requests[string(req)]++
				lose--
				return nil, wire.Errorf(wire.OutcomeUnknown, "lost"), lose >= 0
			}
		})
		rec := record(r, code)
		o, err := r.Submit(t.Context(), rec, sender)
		wantThrottled(t, o, err, rec.ID)
		if len(requests) != 1 {
			t.Errorf("%d different requests, want the same one again", len(requests))
		}
	})
}

func TestFindSpooled(t *testing.T) {
	throttled := wire.Verdict{Status: wire.Throttled}
	processed := wire.Verdict{Status: wire.Processed}
	failed := wire.Verdict{Status: wire.Failed}
	rejected := wire.Verdict{Status: wire.Rejected, Reason: wire.UserNotFound}
	other := wire.MessageID{1, 2, 3}
	for _, c := range []struct {
		name  string
		view  wire.SpooledView
		away  wire.RegionID
		has   wire.MessageID // at the owner; zero: the message itself
		nowhy bool           // the owner has nothing
		want  wire.Verdict
		err   error
	}{
		{name: "waits", view: wire.SpooledView{Verdict: throttled}, nowhy: true, want: throttled},
		{name: "waits, owner away", view: wire.SpooledView{Verdict: throttled}, nowhy: true,
			away: "sicilia", want: throttled},
		{name: "offered, not there", view: wire.SpooledView{Verdict: throttled, Offered: true},
			nowhy: true, want: throttled},
		{name: "offered, decided", view: wire.SpooledView{Verdict: throttled, Offered: true},
			want: processed},
		{name: "offered, owner away", view: wire.SpooledView{Verdict: throttled, Offered: true},
			away: "sicilia", err: wire.Unavailable},
		{name: "relayed", view: wire.SpooledView{Verdict: processed, RelayedAt: 1},
			want: processed},
		{name: "relayed, owner away", away: "sicilia",
			view: wire.SpooledView{Verdict: processed, RelayedAt: 1}, err: wire.Unavailable},
		{name: "alias", view: wire.SpooledView{Verdict: processed, RelayedAt: 1, Alias: other},
			has: other, want: processed},
		{name: "conflict", view: wire.SpooledView{Verdict: failed, RelayedAt: 1}, nowhy: true,
			want: failed},
		{name: "rejected and forgotten", view: wire.SpooledView{Verdict: rejected, RelayedAt: 1},
			nowhy: true, want: rejected},
		{name: "delivered and lost", view: wire.SpooledView{Verdict: processed, RelayedAt: 1},
			nowhy: true, err: wire.NotFound},
		{name: "failed, owner away", view: wire.SpooledView{Verdict: failed, RelayedAt: 1},
			nowhy: true, away: "sicilia", want: failed},
	} {
		t.Run(c.name, func(t *testing.T) {
			inSpoolWorld(t, func(t *testing.T, w *world, r *Router) {
				code, id := w.citizen(1, "sicilia", true), r.NewID()
				view := c.view
				view.ID, view.Owner, view.Service = id, "sicilia", "01SERVICE"
				w.set(func() {
					w.regions["lazio"].spool.views[id] = &view
					at := c.has
					if at.IsZero() {
						at = id
					}
					if !c.nowhy {
						w.regions["sicilia"].messages[at] = wire.Outcome{Kind: wire.Decided,
							ID: at, Verdict: processed}
					}
				})
				if c.away != "" {
					w.takeDown(c.away, silent)
				}
				for range 2 {
					got, err := r.FindMessage(t.Context(), code, id)
					if c.err != nil {
						if !errors.Is(err, c.err) {
							t.Errorf("got %+v, %v, want %v", got, err, c.err)
						}
						continue
					}
					if err != nil || got.ID != id || got.Verdict != c.want {
						t.Errorf("got %+v, %v, want %+v", got, err, c.want)
					}
				}
			})
		})
	}
	inSpoolWorld(t, func(t *testing.T, w *world, r *Router) {
		code, id := w.citizen(1, "sicilia", true), wire.NewMessageID(wire.TimeOf(time.Now()), 3)
		w.takeDown("puglia", silent)
		if _, err := r.FindMessage(t.Context(), code, id); !errors.Is(err, wire.Unavailable) {
			t.Errorf("a spool that cannot be asked: %v, want unavailable", err)
		}
		w.takeDown("puglia", healthy)
		if _, err := r.FindMessage(t.Context(), code, id); !errors.Is(err, wire.NotFound) {
			t.Errorf("a message that nobody knows: %v, want not found", err)
		}
	})
}

// TestSpoolStream: a stream for a region that is away goes through the spool in full blocks, and
// no more of it is held than in two lanes.
func TestSpoolStream(t *testing.T) {
	inSpoolWorld(t, func(t *testing.T, w *world, r *Router) {
		const records, ahead = 6000, 1024
		w.delay = 5 * time.Millisecond
		w.takeDown("sicilia", silent)
		code := w.citizen(1, "sicilia", true)
		waits := make(chan func() (wire.Outcome, error), ahead)
		var reader sync.WaitGroup
		held, throttled := 0, 0
		reader.Go(func() {
			for wait := range waits {
				o, err := wait()
				if err != nil || o.Verdict.Status != wire.Throttled {
					t.Errorf("got %+v, %v, want it throttled", o, err)
					continue
				}
				throttled++
				lane := r.Status().Lanes["sicilia"]
				held = max(held, lane.Spooling+lane.Records)
			}
		})
		for range records {
			waits <- r.StartBulk(t.Context(), record(r, code), sender)
		}
		close(waits)
		reader.Wait()
		s := &w.regions["lazio"].spool
		if throttled != records || len(s.records) != records {
			t.Errorf("%d throttled, %d spooled, want %d", throttled, len(s.records), records)
		}
		if limit := 2 * 512; held > limit { // what moves to the spool lane, and what comes there
			t.Errorf("%d records were held, at most %d wanted", held, limit)
		}
		if s.blocks > records/wire.BlockRecordsMax*5/4 {
			t.Errorf("%d blocks of %d records, want them nearly full", s.blocks, records)
		}
	})
}
