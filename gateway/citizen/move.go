package citizen

import (
	"context"
	"errors"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/trail"
	"github.com/staffetta/staffetta/wire"
)

// home is where a citizen lives, and whether there is a move to another region.
type home struct {
	Region wire.RegionID `json:"region"`
	State  string        `json:"state"`
	To     wire.RegionID `json:"to,omitzero"`
}

func homeIn(m *wire.Move) home {
	if m.State == wire.MoveNone {
		return home{Region: m.Region, State: "SETTLED"}
	}
	return home{Region: m.Region, State: "MOVING", To: m.To}
}

// getHome tells where the citizen lives.
func (c *call) getHome() error {
	var m wire.Move
	err := c.ask(wire.MethodGetMove, &wire.MoveRef{Token: c.token}, &m)
	if err != nil {
		return err
	}
	return c.Answer(homeIn(&m))
}

// setHome begins the citizen's move to a region. It takes a moment, in which messages wait; the
// session stays what it is.
func (c *call) setHome() error {
	o, err := c.object()
	if err != nil {
		return err
	}
	to := wire.RegionID(o.Text("region", "name of a region", true, func(s string) bool {
		return wire.RegionID(s).Valid()
	}))
	if err := bodyProblem(o.Err()); err != nil {
		return err
	}
	if _, ok := c.api.relay.RegionByID(to); !ok {
		return refuse(problemRegion, "This federation has no region %q.", to)
	}
	var m wire.Move
	err = c.ask(wire.MethodMove, &wire.MoveIntent{Token: c.token, To: to}, &m)
	if err != nil {
		return err
	}
	return c.Answer(homeIn(&m))
}

// follow makes a call to the region of the session, and follows the citizen who moved away from
// there: the token goes on naming the region where the citizen logged in. A region that names no
// other is handing the citizen over; it is asked again until that is done, within wire.OwnerWait.
func (c *call) follow(ctx context.Context, m wire.Method, req, resp codec.Message) error {
	err := c.api.in(ctx, c.region, m, req, resp)
	if !errors.Is(err, wire.Moved) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	for way := trail.New(c.region, 0); ; err = c.api.in(ctx, c.region, m, req, resp) {
		switch way.Heard(err) {
		case trail.Answered:
			return err
		case trail.Unsettled:
			if !way.Pause(ctx) {
				return wire.Errorf(wire.Unavailable, "the citizen is being handed over")
			}
		case trail.Named:
			if _, known := c.api.relay.RegionByID(way.Region); known {
				c.region = way.Region
				continue
			}
			return errLost // our map is old
		default:
			return errLost
		}
	}
}

var errLost = &wire.Error{Code: wire.Unavailable, Detail: "the citizen's region was not found"}
