package operator

import (
	"context"

	"github.com/staffetta/staffetta/wire"
)

// Upgrade says which versions of the logs the nodes' programs know, and which are in use.
func (c *Client) Upgrade(ctx context.Context) (*wire.Upgrade, error) {
	u := new(wire.Upgrade)
	return u, c.askFederation(ctx, wire.MethodUpgrade, nil, u)
}

// Finalise lets the logs hold what only programs of the version know: none may go back to an older
// one from then on. Conflict when a node does not know it or does not answer. The version that is
// in use already, or an older one, changes nothing.
func (c *Client) Finalise(ctx context.Context, version uint32) error {
	return c.askFederation(ctx, wire.MethodFinalise, &wire.RaiseVersion{Version: version}, nil)
}

// ReleaseBallast makes a node give its ballast back to the file system, and returns how much that
// was: 0 when there is none.
func (c *Client) ReleaseBallast(ctx context.Context, node wire.NodeID) (bytes uint64, err error) {
	m, err := c.Map(ctx)
	if err != nil {
		return 0, err
	}
	if _, ok := m.Node(node); !ok {
		return 0, wire.Errorf(wire.NotFound, "no node %q on the map", string(node))
	}
	var b wire.Ballast
	method, req, dry := rehearsed(ctx, wire.MethodReleaseBallast, &wire.Ballast{})
	if dry {
		return 0, unrehearsed(dry, c.one(ctx, node, method, req, new(wire.Ballast)))
	}
	err = c.one(ctx, node, method, req, &b)
	return b.Bytes, err
}
