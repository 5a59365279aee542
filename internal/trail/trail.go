// Package trail is the way to the region that owns a citizen: ask a region, be told MOVED, ask the
// one that it names.
//
// There is one rule, for whoever searches. A region that denies and names another one under a
// newer epoch than is known tells news, and is followed at once: its log says so. One that names
// nobody is handing the citizen over, and whoever knows is asked again after a pause. Anything else
// is no news: older than what is known, or the same. So no way is a circle.
//
// Who knows, and how long is searched, differs: a session's token names one region, a submission
// has a directory. That is the caller's.
package trail

import (
	"context"
	"time"

	"github.com/staffetta/staffetta/internal/backoff"
	"github.com/staffetta/staffetta/wire"
)

const (
	// HopsMax bounds how many regions a search is sent on to. A directory's replica is a few moves
	// behind; a session's token names the region of its login, and each move of its life is a hop:
	// nobody moves that often, and each hop is a call.
	HopsMax = 16
	// PauseMin and PauseMax bound the pause before somebody is asked again: a hand-over takes a few
	// round trips between two regions, a claim or a lost leader settles within a second or so.
	PauseMin = 20 * time.Millisecond
	PauseMax = 250 * time.Millisecond
)

// Pauses are those of a search.
func Pauses() backoff.Backoff { return backoff.Backoff{Min: PauseMin, Max: PauseMax} }

// IsNews reports whether a region that denies, and names another one under an epoch, tells news to
// who knows of an owner since the epoch known.
func IsNews(region wire.RegionID, epoch, known wire.Epoch) bool {
	return region != "" && epoch > known
}

// Step says how a search goes on.
type Step uint8

const (
	Answered  Step = iota // whatever the region said, it did not send us on
	Named                 // Region is another one now: ask it at once
	Unsettled             // it names nobody: ask again, after a pause
	Lost                  // what it names is no news, or the way is too long
)

// Trail is one search. Whoever searches asks Region, and tells Heard what came of it.
type Trail struct {
	Region wire.RegionID
	Epoch  wire.Epoch // since which Region is the owner; 0: nobody's log said so
	hops   int
	pauses backoff.Backoff
}

// New begins a search at a region.
func New(region wire.RegionID, epoch wire.Epoch) *Trail {
	return &Trail{Region: region, Epoch: epoch, pauses: Pauses()}
}

// Aim makes the search go on at a region that somebody else named.
func (t *Trail) Aim(region wire.RegionID, epoch wire.Epoch) { t.Region, t.Epoch = region, epoch }

// Heard takes what Region answered.
func (t *Trail) Heard(err error) Step {
	e := wire.AsError(err)
	switch {
	case e == nil || e.Code != wire.Moved:
		return Answered
	case e.Region == "":
		return Unsettled
	case !IsNews(e.Region, e.Epoch, t.Epoch) || t.hops == HopsMax:
		return Lost
	}
	t.hops++
	t.Region, t.Epoch = e.Region, e.Epoch
	return Named
}

// Pause waits before somebody is asked again, longer each time; false when ctx ended first.
func (t *Trail) Pause(ctx context.Context) bool { return t.pauses.Pause(ctx) }
