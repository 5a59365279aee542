package route

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name            string
		claimed, active bool // in truth
		hint            *wire.DirectoryEntry
		want            wire.Verdict
		digests, wholes int
	}{
		{name: "active goes whole", claimed: true, active: true,
			want: wire.Verdict{Status: wire.Processed}, wholes: 1},
		{name: "not active goes as a digest", claimed: true,
			want: wire.Verdict{Status: wire.Rejected, Reason: wire.UserNotFound}, digests: 1},
		{name: "unclaimed goes as a digest",
			want: wire.Verdict{Status: wire.Rejected, Reason: wire.UserNotFound}, digests: 1},
		{name: "active and not known to be", claimed: true, active: true,
			hint: &wire.DirectoryEntry{Region: "sicilia", Epoch: 1, State: wire.Claimed},
			want: wire.Verdict{Status: wire.Processed}, digests: 1, wholes: 1},
		{name: "claim in the directory still pending", claimed: true, active: true,
			hint: &wire.DirectoryEntry{Region: "lazio", State: wire.ClaimPending},
			want: wire.Verdict{Status: wire.Processed}, digests: 1, wholes: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "lazio", "sicilia")
				code := codeOf(1)
				if c.claimed {
					w.citizen(1, "sicilia", c.active)
				}
				if c.hint != nil {
					w.directory[w.hash.Recipient(code)] = *c.hint
				}
				r := w.router()
				rec := record(r, code)
				o, err := r.Submit(t.Context(), rec, sender)
				if err != nil {
					t.Fatal(err)
				}
				if o.Kind != wire.Decided || o.Verdict != c.want || o.ID != rec.ID {
					t.Errorf("got %v %v, want %v under the record's id", o.Kind, o.Verdict, c.want)
				}
				digests := w.regions["lazio"].digests + w.regions["sicilia"].digests
				wholes := w.regions["lazio"].wholes + w.regions["sicilia"].wholes
				if digests != c.digests || wholes != c.wholes {
					t.Errorf("got %d digests and %d whole records, want %d and %d", digests, wholes,
						c.digests, c.wholes)
				}
				if w.regions["lazio"].wholes != 0 {
					t.Error("an anchor saw a whole record")
				}
				// The second one knows better, where the first had to learn.
				before := w.regions["sicilia"].digests
				if c.active && c.hint != nil && c.hint.State == wire.Claimed {
					if _, err := r.Submit(t.Context(), record(r, code), sender); err != nil {
						t.Fatal(err)
					}
					if got := w.regions["sicilia"].digests; got != before {
						t.Error("a code known to be active went as a digest again")
					}
				}
			})
		})
	}
}

// storm submits n records to citizens of both regions, from n goroutines, and returns the ids by
// region once every one has its verdict.
func storm(t *testing.T, w *world, r *Router, n int) map[wire.RegionID][]wire.MessageID {
	var mu sync.Mutex
	ids := map[wire.RegionID][]wire.MessageID{}
	var wg sync.WaitGroup
	for i := range n {
		id := w.m.Regions[i%2].ID
		code := w.citizen(i, id, true)
		wg.Go(func() {
			rec := record(r, code)
			for {
				o, err := r.Submit(t.Context(), rec, sender)
				if errors.Is(err, wire.Unavailable) || errors.Is(err, wire.OutcomeUnknown) {
					continue // as the institution would, under the same id
				}
				if err != nil || o.Kind != wire.Decided || o.ID != rec.ID {
					t.Errorf("got %v, %v, want decided under the record's id", o, err)
				}
				mu.Lock()
				ids[id] = append(ids[id], rec.ID)
				mu.Unlock()
				return
			}
		})
	}
	wg.Wait()
	return ids
}

func TestExactlyOnceThroughFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio", "sicilia")
		w.delay = 2 * time.Millisecond
		r := w.router()
		dice := rand.New(rand.NewChaCha8([32]byte{7}))
		w.set(func() {
			w.hook = func(ctx context.Context, to link.Peer, m wire.Method, req []byte) ([]byte,
				error, bool) {
				if m != wire.MethodSubmit {
					return nil, nil, false
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				switch dice.IntN(8) {
				case 0: // another leader
					node, _ := w.m.Node(to.Node)
					reg := w.regions[node.Region]
					reg.leader = w.m.Nodes[slices.IndexFunc(w.m.Nodes, func(n wire.Node) bool {
						return n.Region == node.Region
					})+dice.IntN(3)].ID
				case 1: // failed, not applied
					return nil, wire.Errorf(wire.OutcomeUnknown, "lost"), true
				case 2, 3: // failed, but applied
					if _, err := w.answer(to, m, req); err != nil {
						return nil, err, true
					}
					return nil, wire.Errorf(wire.OutcomeUnknown, "lost"), true
				case 4:
					return nil, wire.Errorf(wire.Unavailable, "no quorum"), true
				case 5:
					return nil, wire.Errorf(wire.NotReady, "starting"), true
				}
				return nil, nil, false
			}
		})
		ids := storm(t, w, r, 600)
		for id, want := range ids {
			slices.SortFunc(want, func(a, b wire.MessageID) int { return bytes.Compare(a[:], b[:]) })
			if got := w.regions[id].applied(); !slices.Equal(got, want) {
				t.Errorf("%s applied %d messages, want the %d acknowledged", id, len(got), len(want))
			}
		}
		for id, lane := range r.Status().Lanes {
			if lane.Records != 0 || lane.Bytes != 0 {
				t.Errorf("lane of %s holds %d records, %d bytes after all were answered", id,
					lane.Records, lane.Bytes)
			}
		}
	})
}

func TestMovedByEpoch(t *testing.T) {
	type notOwner struct {
		region wire.RegionID
		epoch  wire.Epoch
	}
	for _, c := range []struct {
		name   string
		hint   wire.DirectoryEntry // as cached
		says   notOwner            // what the hinted region answers
		truth  wire.RegionID       // per directory and log, at epoch 5
		visits []wire.RegionID     // in order
	}{
		{"higher epoch is followed at once", wire.DirectoryEntry{Region: "sicilia", Epoch: 4,
			State: wire.Claimed, Active: true}, notOwner{"veneto", 5}, "veneto",
			[]wire.RegionID{"sicilia", "veneto"}},
		{"lower epoch is not followed", wire.DirectoryEntry{Region: "sicilia", Epoch: 4,
			State: wire.Claimed, Active: true}, notOwner{"lazio", 3}, "veneto",
			[]wire.RegionID{"sicilia", "veneto"}},
		{"equal epoch is not followed", wire.DirectoryEntry{Region: "sicilia", Epoch: 4,
			State: wire.Claimed, Active: true}, notOwner{"lazio", 4}, "veneto",
			[]wire.RegionID{"sicilia", "veneto"}},
		{"a bare denial asks the directory", wire.DirectoryEntry{Region: "sicilia", Epoch: 4,
			State: wire.Claimed, Active: true}, notOwner{}, "veneto",
			[]wire.RegionID{"sicilia", "veneto"}},
		{"a hint from the future can be corrected", wire.DirectoryEntry{Region: "sicilia",
			Epoch: 900, State: wire.Claimed, Active: true}, notOwner{"lazio", 3}, "veneto",
			[]wire.RegionID{"sicilia", "veneto"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "lazio", "sicilia", "veneto")
				r := w.router()
				code := codeOf(1)
				to := w.hash.Recipient(code)
				w.set(func() { w.own(to, c.truth, 5, true) })
				w.set(func() {
					for id, reg := range w.regions {
						if id != c.truth {
							reg.owned[to] = wire.Ownership{State: wire.Released,
								Region: c.says.region, Epoch: c.says.epoch}
						}
					}
				})
				r.directory.learn(r.fed.Load(), to, c.hint)
				var visits []wire.RegionID
				w.set(func() {
					w.hook = func(_ context.Context, to link.Peer, m wire.Method, _ []byte) ([]byte,
						error, bool) {
						node, _ := w.m.Node(to.Node)
						if n := len(visits); m == wire.MethodSubmit &&
							(n == 0 || visits[n-1] != node.Region) {
							visits = append(visits, node.Region)
						}
						return nil, nil, false
					}
				})
				o, err := r.Submit(t.Context(), record(r, code), sender)
				if err != nil || o.Verdict.Status != wire.Processed {
					t.Fatalf("got %v, %v, want processed", o, err)
				}
				if !slices.Equal(visits, c.visits) {
					t.Errorf("visited %v, want %v", visits, c.visits)
				}
				if e, _ := r.directory.get(r.fed.Load(), to); e.Region != c.truth || e.Epoch != 5 {
					t.Errorf("cached %v afterwards, want %s at epoch 5", e, c.truth)
				}
			})
		})
	}
}

func TestClaimInProgressIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio", "sicilia")
		r := w.router()
		code := codeOf(1)
		to := w.hash.Recipient(code)
		// Released by the anchor, not yet imported by the claimer; the directory says pending.
		w.set(func() {
			w.regions["lazio"].owned[to] = wire.Ownership{State: wire.Released, Region: "sicilia",
				Epoch: 1}
			w.directory[to] = wire.DirectoryEntry{Region: "lazio", State: wire.ClaimPending}
		})
		time.AfterFunc(time.Second, func() { w.set(func() { w.own(to, "sicilia", 1, true) }) })
		o, err := r.Submit(t.Context(), record(r, code), sender)
		if err != nil || o.Verdict.Status != wire.Processed {
			t.Fatalf("got %v, %v, want processed", o, err)
		}
		if n := w.calls[wire.MethodSubmit]; n > 60 {
			t.Errorf("%d blocks sent in a second of waiting, want a paced search", n)
		}
	})
}

func TestDeadRegionHoldsNobodyElse(t *testing.T) {
	for state, want := range map[fault]wire.Code{refusing: wire.Unavailable,
		leaderless: wire.Unavailable, silent: wire.OutcomeUnknown, forgetful: wire.OutcomeUnknown} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, "lazio", "sicilia")
			r := w.router()
			dead, alive := w.citizen(1, "sicilia", true), w.citizen(2, "lazio", true)
			w.set(func() {
				for n := 1; n <= 3; n++ {
					w.down[addr("sicilia", n)] = state
				}
			})
			var wg sync.WaitGroup
			var told atomic.Int32
			for range 300 {
				wg.Go(func() {
					began := time.Now()
					_, err := r.Submit(t.Context(), record(r, dead), sender)
					if errors.Is(err, want) {
						told.Add(1)
					} else if !errors.Is(err, wire.Unavailable) && // was never sent
						!errors.Is(err, wire.OutcomeUnknown) { // left during the last attempt
						t.Errorf("dead region: got %v, want %v", err, want)
					}
					if took := time.Since(began); took > wire.OwnerWait {
						t.Errorf("dead region answered after %s, want at most %s", took, wire.OwnerWait)
					}
				})
			}
			synctest.Wait()
			for range 10 {
				began := time.Now()
				if _, err := r.Submit(t.Context(), record(r, alive), sender); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > 0 {
					t.Errorf("live region took %s beside a dead one, want no time", took)
				}
			}
			wg.Wait()
			if told.Load() == 0 {
				t.Errorf("state %d: nobody was told %v", state, want)
			}
		})
	}
}

func TestOutOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio", "sicilia")
		r := w.router()
		code := w.citizen(1, "sicilia", true)
		rec := record(r, code)
		old := rec.ID
		w.set(func() {
			w.regions["sicilia"].outcome = func(got *wire.Record) (wire.Outcome, bool) {
				return wire.Outcome{Kind: wire.OutOfTime}, got.ID == old
			}
		})
		o, err := r.Submit(t.Context(), rec, sender)
		if err != nil || o.ID == old || o.Kind != wire.Decided {
			t.Errorf("never sent before: got %v, %v, want decided under a new id", o, err)
		}

		rec = record(r, code)
		old = rec.ID
		lost := true
		w.set(func() {
			w.hook = func(_ context.Context, _ link.Peer, m wire.Method, _ []byte) ([]byte, error,
				bool) {
				if m != wire.MethodSubmit || !lost {
					return nil, nil, false
				}
				lost = false
				return nil, wire.Errorf(wire.OutcomeUnknown, "lost"), true
			}
		})
		before := len(w.regions["sicilia"].messages)
		if o, err := r.Submit(t.Context(), rec, sender); !errors.Is(err, wire.OutcomeUnknown) {
			t.Errorf("after a lost answer: got %v, %v, want the unknown told", o, err)
		}
		if got := len(w.regions["sicilia"].messages); got != before {
			t.Error("a second id was minted although the first may be applied")
		}

		w.set(func() {
			w.hook = nil
			w.regions["sicilia"].outcome = func(*wire.Record) (wire.Outcome, bool) {
				return wire.Outcome{Kind: wire.OutOfTime}, true
			}
		})
		began := time.Now()
		if _, err := r.Submit(t.Context(), record(r, code), sender); !errors.Is(err, wire.Unavailable) {
			t.Errorf("wrong clock: got %v, want unavailable", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("wrong clock told after %s, want at once", took)
		}
	})
}

func TestBadRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		r := w.router()
		code := w.citizen(1, "lazio", true)
		whole := *record(r, code)
		digest := whole.Redact(w.hash)
		empty := whole
		empty.Content = nil
		big := whole
		big.Content = wire.Encode(&wire.Content{Subject: "a subject of ten",
			Markdown: string(bytes.Repeat([]byte("x"), wire.RecordBytesMax))})
		for name, c := range map[string]struct {
			rec  wire.Record
			want wire.Code
		}{"digest": {digest, wire.Malformed}, "no content": {empty, wire.Malformed},
			"no id": {wire.Record{FiscalCode: code}, wire.Malformed}, "too large": {big, wire.TooLarge}} {
			if _, err := r.Submit(t.Context(), &c.rec, sender); !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", name, err, c.want)
			}
		}
	})
}

func TestKeyConflictIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		r := w.router()
		w.set(func() {
			w.regions["lazio"].outcome = func(*wire.Record) (wire.Outcome, bool) {
				return wire.Outcome{Kind: wire.KeyConflict}, true
			}
		})
		o, err := r.Submit(t.Context(), record(r, w.citizen(1, "lazio", true)), sender)
		if err != nil || o.Kind != wire.KeyConflict {
			t.Errorf("got %v, %v, want a key conflict", o, err)
		}
	})
}

func TestBeforeFirstContactAndAfterRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		r, err := New(Config{Caller: w, Region: "lazio", Nodes: []string{addr("lazio", 1)}})
		if err != nil {
			t.Fatal(err)
		}
		rec := &wire.Record{ID: wire.MessageID{1}}
		if _, err := r.Submit(t.Context(), rec, sender); !errors.Is(err, wire.Unavailable) {
			t.Errorf("before Run: got %v, want unavailable", err)
		}
		if err := r.Ready(); !errors.Is(err, wire.NotReady) {
			t.Errorf("Ready before Run: got %v, want not ready", err)
		}
		if r.Hasher() != nil {
			t.Error("a hasher before the first contact")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		code := w.citizen(1, "lazio", true)
		r.RegionOf(ctx, code)
		w.set(func() { w.down[addr("lazio", 1)] = silent })
		waiting := make(chan error, 1)
		go func() {
			_, err := r.Submit(t.Context(), record(r, code), sender)
			waiting <- err
		}()
		synctest.Wait()
		cancel()
		began := time.Now()
		if err := <-done; err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
		if err := <-waiting; !errors.Is(err, wire.OutcomeUnknown) {
			t.Errorf("sent when the router stopped: got %v, want the unknown told", err)
		}
		if _, err := r.Submit(t.Context(), record(r, code), sender); !errors.Is(err, wire.Unavailable) {
			t.Errorf("after Run: got %v, want unavailable", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("stopping took %s, want at once", took)
		}
	})
}
