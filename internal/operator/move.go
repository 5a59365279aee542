package operator

import (
	"context"
	"errors"
	"fmt"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/trail"
	"github.com/staffetta/staffetta/wire"
)

// Move returns how a citizen's move stands. NotFound when nobody has claimed the code.
func (c *Client) Move(ctx context.Context, r wire.Recipient) (*wire.Move, error) {
	return c.askOwner(ctx, wire.MethodGetMove, r, &wire.MoveRef{Recipient: r})
}

// OrderMove has a citizen move to a region. The order is in the operators' log first; on return the
// owner's log has it, and its leader drives the rest. The same order again changes nothing.
func (c *Client) OrderMove(ctx context.Context, r wire.Recipient, to wire.RegionID) (*wire.Move,
	error) {
	err := c.call(ctx, wire.MethodOrderMove, &wire.MoveOrder{Recipient: r, To: to})
	if err != nil || rehearsing(ctx) {
		return nil, err
	}
	return c.askOwner(ctx, wire.MethodMove, r, &wire.MoveIntent{Recipient: r, To: to})
}

// AbortMove asks for the end of a citizen's move; it has succeeded when the move's state says so,
// since the new owner may have the code by now. Conflict when no move is under way.
func (c *Client) AbortMove(ctx context.Context, r wire.Recipient) (*wire.Move, error) {
	m, err := c.Move(ctx, r)
	if err != nil {
		return nil, err
	}
	if m.State == wire.MoveNone {
		return nil, wire.Errorf(wire.Conflict, "no move is under way: the citizen is in region %s",
			m.Region)
	}
	err = c.call(ctx, wire.MethodOrderMove, &wire.MoveOrder{Recipient: r, To: m.To, Abort: true})
	if err != nil {
		return nil, err
	}
	return c.askOwner(ctx, wire.MethodAbortMove, r, &wire.MoveRef{Recipient: r})
}

// askOwner makes a call about a move to the leader of the region that owns the code.
func (c *Client) askOwner(ctx context.Context, method wire.Method, r wire.Recipient,
	req codec.Message) (*wire.Move, error) {
	move := new(wire.Move)
	return move, c.callOwner(ctx, method, r, req, move)
}

// callOwner makes a call to the leader of the region that owns a code, beginning with the one that
// the directory names.
func (c *Client) callOwner(ctx context.Context, method wire.Method, r wire.Recipient,
	req, resp codec.Message) error {
	m, err := c.Map(ctx)
	if err != nil {
		return fmt.Errorf("the federation's map: %w", err)
	}
	var resolved wire.Resolved
	q := &wire.Resolve{Recipients: []wire.Recipient{r}}
	if err := c.read(ctx, wire.MethodResolve, q, &resolved); err != nil {
		return fmt.Errorf("the directory: %w", err)
	}
	if len(resolved.Entries) != 1 {
		return errors.New("the directory answered something else")
	}
	owner := resolved.Entries[0]
	if owner.State != wire.Claimed {
		return wire.Errorf(wire.NotFound, "nobody has claimed the fiscal code")
	}
	return followOwner(owner, resp, func(region wire.RegionID) ([]byte, error) {
		return c.callRegion(ctx, m, region, method, wire.Encode(req))
	})
}

// followOwner makes a call to the owner that the directory names, and to whom that one names. A
// region that names nobody is handing the citizen over: the operator asks again.
func followOwner(owner wire.DirectoryEntry, resp codec.Message,
	ask func(wire.RegionID) ([]byte, error)) error {
	for way := trail.New(owner.Region, owner.Epoch); ; {
		asked := way.Region
		answer, err := ask(asked)
		switch step := way.Heard(err); {
		case err == nil && resp == nil:
			return nil
		case err == nil:
			return wire.Decode(answer, resp)
		case step != trail.Named:
			return fmt.Errorf("region %s: %w", asked, err)
		}
	}
}

// Sessions lists a citizen's sessions, oldest first.
func (c *Client) Sessions(ctx context.Context, r wire.Recipient) ([]wire.SessionView, error) {
	var list wire.SessionList
	err := c.callOwner(ctx, wire.MethodSessionsOf, r, &wire.SessionsOf{Recipient: r}, &list)
	return list.List, err
}

// EndSessions ends the session of an id, or for a zero one all of a citizen's, and says how many
// there were. In a rehearsal nothing ends, and the count is 0.
func (c *Client) EndSessions(ctx context.Context, r wire.Recipient, id wire.SessionID) (uint32,
	error) {
	m, req, dry := rehearsed(ctx, wire.MethodEndSessionsOf,
		&wire.EndSessionsOf{Recipient: r, ID: id})
	if dry {
		return 0, unrehearsed(dry, c.callOwner(ctx, m, r, req, nil))
	}
	var ended wire.EndedSessions
	err := c.callOwner(ctx, m, r, req, &ended)
	return ended.Count, err
}

// FetchMoved has a restored region fetch what another one still has of citizens who moved from
// there to it. The order is in the operators' log first, but for a rehearsal. Progress is called
// after each part, with the sum of all so far. The same again changes nothing.
func (c *Client) FetchMoved(ctx context.Context, region, from wire.RegionID,
	progress func(wire.FetchedMoved)) (sum wire.FetchedMoved, err error) {
	m, err := c.Map(ctx)
	if err != nil {
		return sum, err
	}
	order := &wire.RegionOrder{Kind: wire.OrderFetch, Region: region, Other: from}
	if err := c.orderRegion(ctx, m, order); err != nil {
		return sum, err
	}
	for sum.More = true; sum.More; {
		answer, err := c.callRegion(ctx, m, region, wire.MethodFetchMoved,
			wire.Encode(&wire.FetchMoved{From: from, After: sum.Last, DryRun: rehearsing(ctx)}))
		if err != nil {
			return sum, fmt.Errorf("region %s: %w", region, err)
		}
		var part wire.FetchedMoved
		if err := wire.Decode(answer, &part); err != nil {
			return sum, err
		}
		if part.More && part.Last == sum.Last {
			return sum, errors.New("the list of citizens does not get on")
		}
		sum.Citizens, sum.Failed = sum.Citizens+part.Citizens, sum.Failed+part.Failed
		sum.Last, sum.More = part.Last, part.More
		if part.Reason != "" {
			sum.Reason = part.Reason
		}
		if progress != nil {
			progress(sum)
		}
	}
	return sum, nil
}
