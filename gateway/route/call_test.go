package route

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

func TestFindMessage(t *testing.T) {
	// The code is owned by sicilia; lazio anchors it and has released it.
	put := func(w *world, id wire.MessageID, region wire.RegionID) {
		w.regions[region].messages[id] = wire.Outcome{Kind: wire.Decided, ID: id,
			Verdict: wire.Verdict{Status: wire.Processed}}
	}
	for _, c := range []struct {
		name  string
		setup func(w *world, to wire.Recipient, id wire.MessageID)
		tag   wire.RegionTag // 0: the gateway's
		want  error
	}{
		{name: "with the owner", setup: func(w *world, _ wire.Recipient, id wire.MessageID) {
			put(w, id, "sicilia")
		}},
		{name: "nowhere", want: wire.NotFound},
		{name: "unknown tag", tag: 77, want: wire.NotFound},
		{name: "known to the anchor alone",
			setup: func(w *world, to wire.Recipient, id wire.MessageID) {
				delete(w.regions["lazio"].owned, to) // answers what it still has
				put(w, id, "lazio")
			}},
		{name: "owner away", want: wire.Unavailable,
			setup: func(w *world, _ wire.Recipient, id wire.MessageID) {
				put(w, id, "sicilia")
				for n := 1; n <= 3; n++ {
					w.down[addr("sicilia", n)] = silent
				}
			}},
		{name: "anchor away, not with the owner", want: wire.Unavailable,
			setup: func(w *world, _ wire.Recipient, id wire.MessageID) {
				w.hook = func(ctx context.Context, to link.Peer, m wire.Method, _ []byte) ([]byte,
					error, bool) {
					return nil, wire.Errorf(wire.Unavailable, "cut"), m == wire.MethodFindMessage &&
						to.Node[:5] == "lazio"
				}
			}},
		{name: "wrong hint, followed", setup: func(w *world, to wire.Recipient, id wire.MessageID) {
			put(w, id, "sicilia")
			w.directory[to] = wire.DirectoryEntry{Region: "lazio"}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "lazio", "sicilia")
				r := w.router()
				code := w.citizen(1, "sicilia", true)
				id := r.NewID()
				if c.tag != 0 {
					id = wire.NewMessageID(wire.TimeOf(time.Now()), c.tag)
				}
				if c.setup != nil {
					w.set(func() { c.setup(w, w.hash.Recipient(code), id) })
				}
				began := time.Now()
				view, err := r.FindMessage(t.Context(), code, id)
				if c.want != nil && !errors.Is(err, c.want) || c.want == nil && err != nil {
					t.Errorf("got %v, want %v", err, c.want)
				}
				if (view != nil) != (err == nil) || view != nil && view.ID != id {
					t.Errorf("got %v with %v", view, err)
				}
				if took := time.Since(began); took > 2*wire.OwnerWait {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestCallsAreRepeatedOnlyWhenHarmless(t *testing.T) {
	for _, c := range []struct {
		m     wire.Method
		again bool
	}{{wire.MethodGetProfile, true}, {wire.MethodLogin, true}, {wire.MethodLogout, true},
		{wire.MethodSetProfile, false}, {wire.MethodSetPreference, false},
		{wire.MethodSetMessageStatus, false}, {wire.MethodOpenSession, true},
		{wire.MethodDeleteMessage, true},
		{wire.MethodEndSessions, false}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, "lazio")
			r := w.router()
			calls := 0
			w.set(func() {
				w.hook = func(_ context.Context, to link.Peer, m wire.Method, _ []byte) ([]byte,
					error, bool) {
					if m != c.m {
						return nil, nil, false
					}
					switch calls++; calls {
					case 1:
						return nil, &wire.Error{Code: wire.NotLeader, Leader: "lazio-3"}, true
					case 2:
						if to.Node != "lazio-3" {
							t.Errorf("asked %s, want the leader that was named", to.Node)
						}
						return nil, wire.Errorf(wire.OutcomeUnknown, "lost"), true
					}
					return nil, nil, true
				}
			})
			err := r.CallRegion(t.Context(), "lazio", c.m, &wire.SessionRef{}, nil)
			if c.again && (err != nil || calls != 3) {
				t.Errorf("method %d: got %v after %d calls, want it repeated", c.m, err, calls)
			}
			if !c.again && (!errors.Is(err, wire.OutcomeUnknown) || calls != 2) {
				t.Errorf("method %d: got %v after %d calls, want the unknown told", c.m, err, calls)
			}
		})
	}
}

func TestCallRegionErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		r := w.router()
		call := func(id wire.RegionID) error {
			return r.CallRegion(t.Context(), id, wire.MethodGetProfile, &wire.SessionRef{},
				new(wire.Profile))
		}
		if err := call("atlantide"); !errors.Is(err, wire.NotFound) {
			t.Errorf("unknown region: got %v, want not found", err)
		}
		w.set(func() {
			w.hook = func(context.Context, link.Peer, wire.Method, []byte) ([]byte, error, bool) {
				return nil, &wire.Error{Code: wire.Unauthenticated}, true
			}
		})
		if err := call("lazio"); !errors.Is(err, wire.Unauthenticated) {
			t.Errorf("the leader's own error: got %v, want it verbatim", err)
		}
		w.set(func() {
			w.hook = func(context.Context, link.Peer, wire.Method, []byte) ([]byte, error, bool) {
				return []byte{0xff}, nil, true
			}
		})
		if err := call("lazio"); !errors.Is(err, wire.Malformed) {
			t.Errorf("an answer that makes no sense: got %v, want malformed", err)
		}
		w.set(func() {
			w.hook = nil
			for n := 1; n <= 3; n++ {
				w.down[addr("lazio", n)] = leaderless
			}
		})
		began := time.Now()
		if err := call("lazio"); !errors.Is(err, wire.Unavailable) {
			t.Errorf("no leader: got %v, want unavailable", err)
		}
		if took := time.Since(began); took > wire.OwnerWait {
			t.Errorf("no leader: took %s, want at most %s", took, wire.OwnerWait)
		}
	})
}

func TestLeaderChangeIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		r := w.router()
		code := w.citizen(1, "lazio", true)
		if _, err := r.Submit(t.Context(), record(r, code), sender); err != nil {
			t.Fatal(err)
		}
		// The leader dies; the others name it until they have elected another.
		w.set(func() { w.down[addr("lazio", 1)] = silent })
		time.AfterFunc(2500*time.Millisecond, func() {
			w.set(func() { w.regions["lazio"].leader = "lazio-3" })
		})
		began := time.Now()
		if _, err := r.Submit(t.Context(), record(r, code), sender); err != nil {
			t.Fatalf("through an election: %v", err)
		}
		// A round may have just begun: a greeting of the dead leader, and a pause with jitter.
		if took := time.Since(began); took > 3250*time.Millisecond {
			t.Errorf("found the new leader after %s, want soon after 2.5s", took)
		}
		began = time.Now()
		if _, err := r.Submit(t.Context(), record(r, code), sender); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("afterwards took %s, want the leader remembered", took)
		}
	})
}
