package operator

import (
	"context"
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// renewalsWait bounds a question for renewals, which the leader keeps for wire.RenewalWait.
const renewalsWait = wire.RenewalWait + 10*time.Second

// Renewals asks a region's leader for the certificates that are to be renewed, and waits for some
// for a while. The client is the region's renewer by asking.
func (c *Client) Renewals(ctx context.Context, region wire.RegionID) ([]wire.PendingRenewal,
	error) {
	ctx, cancel := context.WithTimeout(ctx, renewalsWait)
	defer cancel()
	answer, err := c.callLeader(ctx, link.RegionGroup(region), wire.MethodListRenewals, nil)
	if err != nil {
		return nil, err
	}
	var list wire.Renewals
	err = wire.Decode(answer, &list)
	return list.List, err
}

// CheckRenewal refuses who may not be a region's renewer.
func (c *Client) CheckRenewal(ctx context.Context, region wire.RegionID) error {
	m, req, dry := rehearsed(Rehearse(ctx), wire.MethodListRenewals, nil)
	_, err := c.callLeader(ctx, link.RegionGroup(region), m, wire.Encode(req))
	return unrehearsed(dry, err)
}

// Settle brings a region's leader what became of a renewal.
func (c *Client) Settle(ctx context.Context, region wire.RegionID, s *wire.SettleRenewal) error {
	ctx, cancel := context.WithTimeout(ctx, nodeWait)
	defer cancel()
	_, err := c.callLeader(ctx, link.RegionGroup(region), wire.MethodSettleRenewal, wire.Encode(s))
	return err
}

// Judge says whose certificate this is, or why members would refuse it, by the map that the client
// has last seen.
func (c *Client) Judge(der []byte) (link.Identity, error) { return c.link.Judge(der) }
