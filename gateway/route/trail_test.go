package route

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// searchers are the two that find an owner by the directory: a call, and a record in a block.
var searchers = map[wire.Method]func(r *Router, code fiscalcode.Code) error{
	wire.MethodSenderProfile: func(r *Router, code fiscalcode.Code) error {
		_, err := r.SenderProfile(context.Background(), code, "SERVICE-1")
		return err
	},
	wire.MethodSubmit: func(r *Router, code fiscalcode.Code) error {
		_, err := r.Submit(context.Background(), record(r, code), sender)
		return err
	},
}

// TestTrail: both go the same ways. The gateway believes that sicilia owns the code.
func TestTrail(t *testing.T) {
	for name, c := range map[string]struct {
		hint   wire.Epoch                       // since when it does
		says   map[wire.RegionID]wire.Ownership // what those say who deny; the others do not
		truth  wire.DirectoryEntry
		away   wire.RegionID
		want   wire.Code
		visits []wire.RegionID // the first ones
	}{
		"moved once": {4, map[wire.RegionID]wire.Ownership{"sicilia": {Region: "veneto", Epoch: 5}},
			wire.DirectoryEntry{Region: "sicilia", Epoch: 4}, "", 0,
			[]wire.RegionID{"sicilia", "veneto"}},
		"moved in a circle": {4, map[wire.RegionID]wire.Ownership{
			"sicilia": {Region: "veneto", Epoch: 5}, "veneto": {Region: "sicilia", Epoch: 5}},
			wire.DirectoryEntry{Region: "veneto", Epoch: 5}, "", wire.Unavailable,
			[]wire.RegionID{"sicilia", "veneto"}},
		"owner away": {4, map[wire.RegionID]wire.Ownership{"sicilia": {Region: "veneto", Epoch: 5}},
			wire.DirectoryEntry{Region: "veneto", Epoch: 5}, "veneto", wire.Unavailable,
			[]wire.RegionID{"sicilia", "veneto"}},
		"stale epoch": {4, map[wire.RegionID]wire.Ownership{"sicilia": {Region: "lazio", Epoch: 4}},
			wire.DirectoryEntry{Region: "veneto", Epoch: 5}, "", 0,
			[]wire.RegionID{"sicilia", "veneto"}},
		"a hint from the future": {900, map[wire.RegionID]wire.Ownership{"sicilia": {Region: "lazio",
			Epoch: 5}}, wire.DirectoryEntry{Region: "veneto", Epoch: 5}, "", 0,
			[]wire.RegionID{"sicilia", "veneto"}},
	} {
		for method, search := range searchers {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "lazio", "sicilia", "veneto")
				r := w.router()
				code := codeOf(1)
				to := w.hash.Recipient(code)
				c.truth.State = wire.Claimed
				var visits []wire.RegionID
				w.set(func() {
					w.directory[to] = c.truth
					for id, reg := range w.regions {
						own, denies := c.says[id]
						if own.State = wire.Released; !denies {
							own = wire.Ownership{State: wire.Owned, Region: id, Epoch: 5}
						}
						reg.owned[to] = own
					}
					w.hook = w.searched(method, to, c.away, &visits)
				})
				r.directory.learn(r.fed.Load(), to, wire.DirectoryEntry{Region: "sicilia",
					Epoch: c.hint, State: wire.Claimed, Active: true})
				began := time.Now()
				err := search(r, code)
				// When time is up, a block may be under way.
				unknown := c.away != "" && errors.Is(err, wire.OutcomeUnknown)
				if c.want == 0 && err != nil || c.want != 0 && !errors.Is(err, c.want) && !unknown {
					t.Errorf("%s, method %d: got %v, want %v", name, method, err, c.want)
				}
				if len(visits) < len(c.visits) || !slices.Equal(visits[:len(c.visits)], c.visits) ||
					c.want == 0 && len(visits) > len(c.visits) {
					t.Errorf("%s, method %d: visited %v, want %v", name, method, visits, c.visits)
				}
				last := c.visits[len(c.visits)-1]
				if e, _ := r.directory.get(r.fed.Load(), to); c.want == 0 && e.Region != last {
					t.Errorf("%s, method %d: cached %v afterwards, want %s", name, method, e, last)
				}
				// A search of five seconds that pauses a quarter of one is no storm.
				if took := time.Since(began); took > wire.OwnerWait || len(visits) > 60 {
					t.Errorf("%s, method %d: %d visits in %s", name, method, len(visits), took)
				}
			})
		}
	}
}

// searched is a hook that notes which regions a method asks, has one of them not answer, and
// answers profiles as their owner does.
func (w *world) searched(method wire.Method, code wire.Recipient, away wire.RegionID,
	visits *[]wire.RegionID) func(context.Context, link.Peer, wire.Method, []byte) ([]byte, error,
	bool) {
	return func(_ context.Context, to link.Peer, m wire.Method, _ []byte) ([]byte, error, bool) {
		node, _ := w.m.Node(to.Node)
		region := w.regions[node.Region]
		if n := len(*visits); m == method && (n == 0 || (*visits)[n-1] != node.Region) {
			*visits = append(*visits, node.Region)
		}
		switch {
		case m == wire.MethodSpool || region != nil && node.Region == away:
			return nil, wire.Errorf(wire.Unavailable, "away"), true
		case m != method || node.ID != region.leader:
			return nil, nil, false
		}
		if m != wire.MethodSenderProfile {
			return nil, nil, false
		}
		if own := region.owned[code]; own.State != wire.Owned {
			return nil, &wire.Error{Code: wire.Moved, Region: own.Region, Epoch: own.Epoch}, true
		}
		return wire.Encode(&wire.SenderProfile{Allowed: true}), nil, true
	}
}
