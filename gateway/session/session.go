// Package session is a gateway's way from a session's token to the region that keeps the session.
//
// The token names the region where the citizen logged in, so that every gateway finds it without
// a look-up; a call follows a citizen who moved away from there. Whether the session exists is the
// region's to say, in the call itself. The app's bearer token and a browser's cookie are the same
// token, so both ways in have this one way on.
//
// Each region has its own places for calls that wait, so that one that is away, where requests wait
// for seconds, does not shut out the others' citizens.
//
// Map of the files:
//
//	session.go  Regions: places, calls, following a citizen who moved
//	token.go    tokens
//	open.go     opening a session where its citizen is
//	logins.go   Logins: logins, counted
//	lock.go     what shows that somebody knows an unlock code
package session

import (
	"context"
	"errors"
	"sync"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/trail"
	"github.com/staffetta/staffetta/wire"
)

// Relay is the way to the regions: a *route.Router.
type Relay interface {
	RegionByTag(tag wire.RegionTag) (wire.Region, bool)
	RegionByID(id wire.RegionID) (wire.Region, bool)
	// CallRegion asks the region's leader. Errors are *wire.Error.
	CallRegion(ctx context.Context, region wire.RegionID, m wire.Method,
		req, resp codec.Message) error
}

// InFlightMax is how many requests one region works on at once, of a gateway that is not told: a
// request waits for a region a few milliseconds, and holds less than 1 MiB.
const InFlightMax = 1024

// Regions are the regions as those who come with tokens meet them. Its methods are safe for
// concurrent use.
type Regions struct {
	// Set at construction.
	relay Relay
	max   int

	// Guarded by mu.
	mu     sync.Mutex
	places map[wire.RegionID]chan struct{} // one element per request that the region works on
}

// New makes Regions of which each works on inFlightMax requests at once; 0: InFlightMax.
func New(relay Relay, inFlightMax int) *Regions {
	if inFlightMax == 0 {
		inFlightMax = InFlightMax
	}
	return &Regions{relay: relay, max: inFlightMax, places: make(map[wire.RegionID]chan struct{})}
}

// Find returns the region that a token names. ok is false for what is no token of this federation.
func (r *Regions) Find(token string) (region wire.RegionID, ok bool) {
	tag, ok := Parse(token)
	if !ok {
		return "", false
	}
	found, ok := r.relay.RegionByTag(tag)
	return found.ID, ok
}

// Enter takes a place among those who wait for a region of the map, until leave is called. The
// error is Overloaded.
func (r *Regions) Enter(region wire.RegionID) (leave func(), err error) {
	r.mu.Lock()
	places := r.places[region]
	if places == nil {
		places = make(chan struct{}, r.max)
		r.places[region] = places
	}
	r.mu.Unlock()
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	default:
		return nil, wire.Errorf(wire.Overloaded, "all places for calls of the region are taken")
	}
}

// Call calls a region.
func (r *Regions) Call(ctx context.Context, region wire.RegionID, m wire.Method,
	req, resp codec.Message) error {
	leave, err := r.Enter(region)
	if err != nil {
		return err
	}
	defer leave()
	return r.relay.CallRegion(ctx, region, m, req, resp)
}

// Follow makes a call to the region of the session, and follows the citizen who moved away from
// there: the token goes on naming the region where the citizen logged in. A region that names no
// other is handing the citizen over; it is asked again until that is done, within wire.OwnerWait.
// Where the citizen was found is left in region.
func (r *Regions) Follow(ctx context.Context, region *wire.RegionID, m wire.Method,
	req, resp codec.Message) error {
	err := r.Call(ctx, *region, m, req, resp)
	if !errors.Is(err, wire.Moved) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	for way := trail.New(*region, 0); ; err = r.Call(ctx, *region, m, req, resp) {
		switch way.Heard(err) {
		case trail.Answered:
			return err
		case trail.Unsettled:
			if !way.Pause(ctx) {
				return wire.Errorf(wire.Unavailable, "the citizen is being handed over")
			}
		case trail.Named:
			if _, known := r.relay.RegionByID(way.Region); known {
				*region = way.Region
				continue
			}
			return errLost // our map is old
		default:
			return errLost
		}
	}
}

var errLost = &wire.Error{Code: wire.Unavailable, Detail: "the citizen's region was not found"}
