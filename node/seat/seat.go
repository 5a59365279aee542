package seat

import (
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/node/datadir"
	"github.com/staffetta/staffetta/node/federation"
	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// Seat is what every duty of a node stands on. Its fields are set while the node is made, in the
// order in which they stand here, and never after; its methods may be called concurrently.
type Seat struct {
	ID       wire.NodeID
	RegionID wire.RegionID
	// Founding is the map that the federation starts from, or, for a node that joined, the one as
	// of then.
	Founding *wire.Map
	// Version is the newest version of the logs that the program knows.
	Version uint32
	Log     *slog.Logger
	// Clock is the wall clock, Uptime the time since some moment by a clock that nobody sets.
	Clock  func() time.Time
	Uptime func() time.Duration
	// StaleFor is how old an answer may be that the region gives without a leader; 0: none is given.
	StaleFor time.Duration
	// Stopping is closed when the node begins to stop.
	Stopping chan struct{}

	Dir    *datadir.Dir
	Disk   DiskSpace
	Hasher *wire.Hasher
	Coder  *wire.Coder
	Link   *link.Link
	// Leaders finds the leaders of groups, of other regions, too.
	Leaders *link.Leaders

	// The replicas of what the two groups hold, the groups, and how to propose to them.
	Region          *region.State
	Federation      *federation.State
	RegionGroup     *consensus.Group
	FederationGroup *consensus.Group
	RegionLog       *Timed
	FederationLog   *Timed
	RegionQueue     *Queue
	FederationQueue *Queue

	// Table is what is answered here; see Answer.
	Table map[wire.Method]*Call

	contact *Contact // with the federation
	fresh   fresh    // contact with the region's majority
	cache   *pebble.Cache
	addrs   sync.Map // of wire.NodeID to the last address known, a string
}

// DiskSpace says whether the node has the room that new messages need.
type DiskSpace interface {
	Refuses() bool
	String() string // the room that is left, for people
}
