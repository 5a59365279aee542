package route

import (
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// owner reaches one region: its leader, the lane of its blocks, and that of the blocks that are
// spooled for it while it is away. Safe for concurrent use.
type owner struct {
	*link.Group
	id       wire.RegionID
	lane     *lane
	spool    *lane
	presence *presence
	// absence is of the region's leader, as reads that may be stale find it.
	absence absence
}

func newOwner(id wire.RegionID, cfg *Config, st *stats) *owner {
	o := &owner{Group: link.NewGroup("region "+string(id), cfg.Caller), id: id,
		lane: newLane(cfg, st), spool: newLane(cfg, st), presence: newPresence(),
		absence: absence{began: time.Now()}}
	o.lane.spool, o.lane.presence = o.spool, o.presence
	return o
}

// errStopping answers whoever waits when the router stops.
var errStopping = &wire.Error{Code: wire.Unavailable, Detail: "the gateway is stopping"}
