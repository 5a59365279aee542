package operator

import (
	"context"
	"fmt"

	"github.com/staffetta/staffetta/wire"
)

// RegionKey is what is known of a region's newest key, from its leader.
func (c *Client) RegionKey(ctx context.Context, region wire.RegionID) (*wire.RegionKeyInfo,
	error) {
	return c.rotateRegionKey(ctx, &wire.RotateRegionKey{Region: region, DryRun: true})
}

// RotateRegionKey has a region make a new key unless it has one newer than after, puts the newest
// on the map and returns it. On return gateways that follow the federation seal to it within a
// second.
func (c *Client) RotateRegionKey(ctx context.Context, region wire.RegionID, after uint32) (
	*wire.RegionKeyInfo, error) {
	info, err := c.rotateRegionKey(ctx, &wire.RotateRegionKey{Region: region, After: after,
		DryRun: rehearsing(ctx)})
	if err != nil {
		return nil, err
	}
	err = c.call(ctx, wire.MethodPublishRegionKey, &wire.PublishRegionKey{Region: region,
		Key: wire.RegionKey{ID: info.ID, Public: info.Public}})
	if err != nil {
		if rehearsing(ctx) {
			return nil, err
		}
		return info, fmt.Errorf("key %d is made and will be published by the region: %w", info.ID,
			err)
	}
	info.Published = info.Published || !rehearsing(ctx)
	return info, nil
}

func (c *Client) rotateRegionKey(ctx context.Context, q *wire.RotateRegionKey) (
	*wire.RegionKeyInfo, error) {
	m, err := c.Map(ctx)
	if err != nil {
		return nil, err
	}
	if _, ok := m.RegionByID(q.Region); !ok {
		return nil, fmt.Errorf("the map has no region %q", q.Region)
	}
	answer, err := c.askLeader(ctx, m, q.Region, wire.MethodRotateRegionKey, wire.Encode(q))
	if err != nil {
		return nil, err
	}
	info := new(wire.RegionKeyInfo)
	return info, wire.Decode(answer, info)
}

// DiscardSpooled has a home region give up the blocks of its spool that their owner cannot read.
// The order is in the operators' log first, but for a rehearsal. The same again changes nothing.
func (c *Client) DiscardSpooled(ctx context.Context, home, owner wire.RegionID) (
	*wire.DiscardedSpooled, error) {
	m, err := c.Map(ctx)
	if err != nil {
		return nil, err
	}
	order := &wire.RegionOrder{Kind: wire.OrderDiscard, Region: home, Other: owner}
	if err := c.orderRegion(ctx, m, order); err != nil {
		return nil, err
	}
	answer, err := c.askLeader(ctx, m, home, wire.MethodDiscardSpooled,
		wire.Encode(&wire.DiscardSpooled{Owner: owner, DryRun: rehearsing(ctx)}))
	if err != nil {
		return nil, fmt.Errorf("region %s: %w", home, err)
	}
	d := new(wire.DiscardedSpooled)
	return d, wire.Decode(answer, d)
}

// orderRegion checks an order's regions, and has the operators' log tell of it.
func (c *Client) orderRegion(ctx context.Context, m *wire.Map, o *wire.RegionOrder) error {
	for _, r := range []wire.RegionID{o.Region, o.Other} {
		if _, ok := m.RegionByID(r); !ok {
			return wire.Errorf(wire.NotFound, "no region %q on the map", r)
		}
	}
	if o.Region == o.Other {
		return wire.Malformedf("two regions are needed, not region %q twice", o.Region)
	}
	return c.call(ctx, wire.MethodOrderRegion, o)
}
