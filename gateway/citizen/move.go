package citizen

import "github.com/staffetta/staffetta/wire"

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
