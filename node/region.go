package node

import (
	"context"
	"errors"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// citizenCalls are the calls on this region's citizens and messages.
func (n *Node) citizenCalls() []call {
	gateways := only(link.RoleGateway)
	return []call{
		raw(n, wire.MethodSubmit, gateways, regionLeads, n.submit),
		answers(n, wire.MethodLogin, gateways, regionLeads, n.login),
		answers(n, wire.MethodRelease, only(link.RoleNode), regionLeads, n.release),

		changes[wire.Logout, none](n, wire.MethodLogout, wire.CmdLogout, nil),
		changes[wire.SetProfile, wire.Profile](n, wire.MethodSetProfile, wire.CmdSetProfile,
			func(q *wire.SetProfile) wire.TokenHash { return q.Token }),
		changes[wire.SetPreference, wire.Preference](n, wire.MethodSetPreference,
			wire.CmdSetPreference,
			func(q *wire.SetPreference) wire.TokenHash { return q.Token }),
		changes[wire.SetMessageStatus, wire.MessageStatus](n, wire.MethodSetMessageStatus,
			wire.CmdSetMessageStatus,
			func(q *wire.SetMessageStatus) wire.TokenHash { return q.Token }),

		reads(n, wire.MethodFindMessage, n.findMessage),
		reads(n, wire.MethodSenderProfile, func(q *wire.SenderProfileQuery, _ wire.Time) (
			*wire.SenderProfile, error) {
			return n.region.SenderProfile(*q)
		}),
		reads(n, wire.MethodGetSession, func(q *wire.SessionRef, now wire.Time) (
			*wire.Session, error) {
			return n.region.Session(q.Token, now)
		}),
		reads(n, wire.MethodGetProfile, func(q *wire.SessionRef, now wire.Time) (
			*wire.Profile, error) {
			return n.region.Profile(q.Token, now)
		}),
		reads(n, wire.MethodGetPreference, func(q *wire.GetPreference, now wire.Time) (
			*wire.Preference, error) {
			return n.region.Preference(*q, now)
		}),
		reads(n, wire.MethodListInbox, func(q *wire.ListInbox, now wire.Time) (
			*wire.InboxPage, error) {
			return n.region.ListInbox(*q, now)
		}),
		reads(n, wire.MethodGetInbox, func(q *wire.GetInbox, now wire.Time) (
			*wire.InboxMessage, error) {
			return n.region.GetInbox(*q, now)
		}),
	}
}

// findMessage answers MethodFindMessage. That this region does not have a message of a code that
// nobody owns says nothing once another anchor may have decided about it.
func (n *Node) findMessage(q *wire.FindMessage, _ wire.Time) (*wire.MessageView, error) {
	view, err := n.region.FindMessage(*q)
	if !errors.Is(err, wire.NotFound) || n.anchors(q.Recipient.Slot()) {
		return view, err
	}
	switch own, _, e := n.region.Ownership(q.Recipient); {
	case e != nil:
		return nil, e
	case own.State == wire.Owned:
		return nil, err
	}
	return nil, wire.Errorf(wire.Unavailable, "slot %d is not to be decided here now",
		q.Recipient.Slot())
}

// refused is what look says against a change, before any of it comes into the log: what a citizen
// of another region sent is not to lie here, and what nobody may change is not worth an entry.
// This replica may not have applied yet what says otherwise, so a refusal is looked at twice.
func (n *Node) refused(ctx context.Context, look func() error) error {
	if look() == nil {
		return nil
	}
	if err := n.regionGroup.Read(ctx); err != nil {
		return err
	}
	return look()
}

// login answers MethodLogin. A code that this region does not own yet is claimed first, which
// takes a round to the directory and one to the anchor.
func (n *Node) login(ctx context.Context, _ link.Identity, l *wire.Login) (*wire.Session, error) {
	if !l.Session.FiscalCode.Valid() {
		return nil, wire.Malformedf("login without a valid fiscal code")
	}
	recipient := n.hasher.Recipient(l.Session.FiscalCode)
	owned, _, err := n.region.Ownership(recipient)
	if err != nil {
		return nil, err
	}
	if owned.State != wire.Owned {
		if err := n.arriving(recipient); err != nil {
			return nil, err
		}
	}
	if owned.State == wire.NotOwned || owned.State == wire.Claiming {
		if err := n.claims.claim(ctx, recipient); err != nil {
			return nil, err
		}
	}
	err = n.refused(ctx, func() error {
		own, _, err := n.region.Ownership(recipient)
		if err == nil && own.State == wire.Released {
			return &wire.Error{Code: wire.Moved, Region: own.Region, Epoch: own.Epoch}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var session wire.Session
	err = n.regionQueue.do(ctx, wire.CmdLogin, l, &session)
	if errors.Is(err, wire.Conflict) {
		// The claim ended between check and apply, in favour of somebody else.
		return nil, wire.Errorf(wire.Unavailable, "the fiscal code is being claimed")
	}
	if err != nil {
		return nil, err
	}
	return &session, nil
}

// release answers MethodRelease: another region's leader drives a claim of a code that is
// anchored here.
func (n *Node) release(ctx context.Context, from link.Identity, batch *wire.ReleaseBatch) (
	*wire.Results, error) {
	if len(batch.List) > wire.CommandsMax {
		return nil, wire.Errorf(wire.TooLarge, "%d releases", len(batch.List))
	}
	results := make([]wire.Result, len(batch.List))
	var commands []wire.Command
	var at []int // which result is the command's
	for i := range batch.List {
		if batch.List[i].To != from.Region {
			return nil, wire.Errorf(wire.Forbidden, "a node releases codes to its own region only")
		}
		if s := batch.List[i].Recipient.Slot(); !n.anchors(s) { // codes of other slots do not wait
			results[i] = wire.Fail(wire.Errorf(wire.Unavailable, "slot %d is not to be decided "+
				"here now", s))
			continue
		}
		commands, at = append(commands, wire.Command{Kind: wire.CmdRelease,
			Body: wire.Encode(&batch.List[i])}), append(at, i)
	}
	decided, err := n.regionQueue.submit(ctx, commands)
	if err != nil {
		return nil, err
	}
	for i := range decided {
		results[at[i]] = decided[i]
		if !n.anchors(batch.List[at[i]].Recipient.Slot()) { // stopped or suspended meanwhile
			results[at[i]] = wire.Fail(wire.Errorf(wire.Unavailable, "not to be decided here now"))
		}
	}
	answer := &wire.Results{List: results}
	if size := len(wire.Encode(answer)); size > wire.FrameBytesMax { // who asks again asks for fewer
		return nil, wire.Errorf(wire.TooLarge, "handovers of %d bytes, %d allowed", size,
			wire.FrameBytesMax)
	}
	return answer, nil
}
