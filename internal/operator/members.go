package operator

import (
	"context"
	"time"

	"github.com/staffetta/staffetta/internal/backoff"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// ChangeMembers changes the map, or with DryRun and in a rehearsal says how it would, and returns
// the map as it then is. On return the change is in the federation's log; the groups follow within
// seconds.
func (c *Client) ChangeMembers(ctx context.Context, change *wire.MemberChange) (*wire.Map, error) {
	change.DryRun = change.DryRun || rehearsing(ctx)
	req, last := wire.Encode(change), error(nil)
	for {
		// Not by way of leaders.Call: the leader may have to ask a region's, or to read the whole
		// directory.
		answer, err := c.callLeader(ctx, link.FederationGroup, wire.MethodChangeMembers, req)
		if err == nil {
			m := new(wire.Map)
			return m, wire.Decode(answer, m)
		}
		if ctx.Err() != nil && last != nil {
			return nil, last
		}
		last = err
		if !wire.Retriable(err) || NoMajority(err) || !backoff.Pause(ctx, retryPause) {
			return nil, last
		}
	}
}

// retryPause separates the tries of a call that goes to a leader at length.
const retryPause = 250 * time.Millisecond

// callLeader calls a group's leader once, for as long as ctx lasts.
func (c *Client) callLeader(ctx context.Context, group string, m wire.Method, req []byte) (
	[]byte, error) {
	members, err := c.Members(ctx, group)
	if err != nil {
		return nil, err
	}
	if end, ok := ctx.Deadline(); ok {
		req = wire.WithDeadline(req, wire.TimeOf(end))
	}
	call := func(ctx context.Context) ([]byte, error) {
		return c.link.Call(ctx, link.Peer{Node: members.Leader}, m, req)
	}
	if group != link.FederationGroup {
		return call(ctx)
	}
	return c.whileLed(ctx, VotersOf(c.view.Load()), call)
}

// VotersOf are the nodes that vote in the federation's group.
func VotersOf(m *wire.Map) (ids []wire.NodeID) {
	for _, n := range m.Nodes {
		if n.Voter {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

// Members asks a group's leader for its membership. Without a leader the error is Unavailable.
func (c *Client) Members(ctx context.Context, group string) (*wire.GroupMembers, error) {
	m, err := c.Map(ctx)
	if err != nil {
		return nil, err
	}
	var nodes []wire.NodeID
	for _, n := range m.Nodes {
		if group == link.RegionGroup(n.Region) {
			nodes = append(nodes, n.ID)
		}
	}
	req, answer := wire.Encode(&wire.GroupRef{Group: group}), []byte(nil)
	if group == link.FederationGroup {
		answer, err = c.callFederation(ctx, VotersOf(m), wire.MethodMembers, req)
	} else {
		answer, err = c.leaders.Call(ctx, group, nodes, wire.MethodMembers, req, true)
	}
	if err != nil {
		return nil, err
	}
	members := new(wire.GroupMembers)
	return members, wire.Decode(answer, members)
}

// TransferLeadership has the leader of a group hand leadership over: to a node, or to whoever is
// furthest.
func (c *Client) TransferLeadership(ctx context.Context, group string, to wire.NodeID) error {
	m, req, dry := rehearsed(ctx, wire.MethodTransferLeadership,
		&wire.LeadershipTransfer{Group: group, To: to})
	_, err := c.callLeader(ctx, group, m, wire.Encode(req))
	return unrehearsed(dry, err)
}

// PutToken makes a join token known.
func (c *Client) PutToken(ctx context.Context, k *wire.JoinToken) error {
	return c.askFederation(ctx, wire.MethodPutToken, k, nil)
}

// Tokens returns the join tokens that are kept.
func (c *Client) Tokens(ctx context.Context) ([]wire.JoinToken, error) {
	var list wire.JoinTokens
	err := c.askFederation(ctx, wire.MethodTokens, nil, &list)
	return list.List, err
}

// Sign signs the request that a node has made with its token, for the given time, and brings the
// node onto the map; false when the node has not asked yet. A request that was signed is left as
// it is.
func (c *Client) Sign(ctx context.Context, authority *ca.CA, hash [32]byte,
	validity time.Duration) (signed bool, err error) {
	if rehearsing(ctx) {
		return false, c.askFederation(ctx, wire.MethodSign, &wire.Enrolment{Hash: hash}, nil)
	}
	tokens, err := c.Tokens(ctx)
	if err != nil {
		return false, err
	}
	for i := range tokens {
		k := &tokens[i]
		if k.Hash != hash {
			continue
		}
		if len(k.Certificate) > 0 {
			return true, nil
		}
		if len(k.Request) == 0 {
			return false, nil
		}
		id := link.Identity{Federation: c.link.Self().Federation, Role: link.RoleNode,
			Region: k.Region, Name: string(k.Node)}
		der, err := authority.Sign(k.Request, id.URI(), validity)
		if err != nil {
			return false, err
		}
		return true, c.askFederation(ctx, wire.MethodSign,
			&wire.Enrolment{Hash: hash, Certificate: der}, nil)
	}
	return false, wire.Errorf(wire.NotFound, "the federation does not know the token")
}

// askFederation calls the federation's leader, as the map names it now, and decodes the answer into
// resp unless that is nil.
func (c *Client) askFederation(ctx context.Context, m wire.Method, req, resp codec.Message) error {
	view, err := c.Map(ctx)
	if err != nil {
		return err
	}
	return c.askVoters(ctx, view, m, req, resp)
}
