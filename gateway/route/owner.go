package route

import (
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// owner reaches one region: its leader, and the lane of its blocks. Safe for concurrent use.
type owner struct {
	*link.Group
	id   wire.RegionID
	lane *lane
}

func newOwner(id wire.RegionID, cfg *Config, st *stats) *owner {
	return &owner{Group: link.NewGroup("region "+string(id), cfg.Caller), id: id,
		lane: newLane(cfg, st)}
}

// errStopping answers whoever waits when the router stops.
var errStopping = &wire.Error{Code: wire.Unavailable, Detail: "the gateway is stopping"}
