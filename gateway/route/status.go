package route

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// frameLate is how old the last frame may be before the gateway is not ready: time enough to
// notice a dead node and to try two others.
const frameLate = 10 * time.Second

// faultsShown bounds the nodes whose fault Ready tells.
const faultsShown = 5

// Ready returns nil when the router can do its job: a home node has answered and its feed runs.
// Otherwise NotReady with the reason.
func (r *Router) Ready() error {
	now := time.Now()
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	why := ""
	for i, addr := range slices.Sorted(maps.Keys(r.feed.faults)) {
		if i < faultsShown {
			why += "; " + addr + ": " + r.feed.faults[addr]
		}
	}
	switch {
	case r.fed.Load() == nil:
		return wire.Errorf(wire.NotReady, "no home node of region %s has answered%s",
			r.cfg.Region, why)
	case !r.feed.began:
		return wire.Errorf(wire.NotReady, "the changes feed has not begun%s", why)
	case now.Sub(r.feed.frameAt) > frameLate:
		return wire.Errorf(wire.NotReady, "no home node has answered for %s%s",
			now.Sub(r.feed.frameAt).Round(time.Second), why)
	case r.feed.freshLocked(now) > r.cfg.KeyGrace:
		return wire.Errorf(wire.NotReady, "keys were last confirmed longer than %s ago",
			r.cfg.KeyGrace)
	}
	return nil
}

// Degraded says what works on borrowed time: nothing in normal operation.
func (r *Router) Degraded() []string {
	age, began := r.feed.fresh(time.Now())
	if !began || age <= contactLate {
		return nil
	}
	left := max(0, r.cfg.KeyGrace-age)
	return []string{fmt.Sprintf("no news from the federation's leader for %s: known keys and "+
		"services are accepted for another %s, changes do not arrive",
		age.Round(time.Second), left.Round(time.Second))}
}

// Status is what a router tells its operator.
type Status struct {
	Region         wire.RegionID             `json:"region"`
	FeedNode       wire.NodeID               `json:"feed_node"`
	FeedIndex      uint64                    `json:"feed_index"`
	ContactSeconds float64                   `json:"contact_seconds"`
	MapVersion     uint64                    `json:"map_version"`
	CachedOwners   int                       `json:"cached_owners"`
	CachedKeys     int                       `json:"cached_keys"`
	CachedServices int                       `json:"cached_services"`
	Degraded       []string                  `json:"degraded"`
	Lanes          map[wire.RegionID]Waiting `json:"lanes"`
}

// Waiting is what has no verdict yet of one region.
type Waiting struct {
	Leader  wire.NodeID `json:"leader"`
	Records int         `json:"records"`
	Bytes   int         `json:"bytes"`
	Queued  Queued      `json:"queued"`
	// Away: the region does not answer, and what is for it is spooled; Spooling records are on
	// their way to the spool.
	Away     bool `json:"away"`
	Spooling int  `json:"spooling"`
}

// Queued is what of that is in no block yet, by class.
type Queued struct {
	Interactive int `json:"interactive"`
	Bulk        int `json:"bulk"`
}

// Status returns how the router is now.
func (r *Router) Status() Status {
	s := Status{Region: r.cfg.Region, Lanes: make(map[wire.RegionID]Waiting),
		Degraded: append([]string{}, r.Degraded()...)}
	if f := r.fed.Load(); f != nil {
		s.MapVersion = f.m.Version
	}
	if age, ok := r.feed.fresh(time.Now()); ok {
		s.ContactSeconds = age.Seconds()
	}
	r.feed.mu.Lock()
	s.FeedNode, s.FeedIndex = r.feed.node, r.feed.index
	r.feed.mu.Unlock()
	s.CachedOwners = r.directory.len()
	s.CachedKeys, s.CachedServices = r.services.len()
	r.mu.RLock()
	defer r.mu.RUnlock()
	for id, o := range r.owners {
		queued, all := o.lane.load()
		_, spooling := o.spool.load()
		s.Lanes[id] = Waiting{Leader: o.Leader(), Records: all.records, Bytes: all.bytes,
			Queued: Queued{queued[interactive], queued[bulk]},
			Away:   o.presence.away.Load(), Spooling: spooling.records}
	}
	return s
}

// outcomeName is the verdict's word in metrics.
func outcomeName(o wire.Outcome, err error) string {
	switch {
	case err != nil:
		return wire.AsError(err).Code.String()
	case o.Kind == wire.KeyConflict:
		return "key-conflict"
	case o.Verdict.Status == wire.Rejected:
		return strings.ToLower(strings.ReplaceAll(o.Verdict.Reason.String(), "_", "-"))
	}
	return strings.ToLower(o.Verdict.Status.String())
}
