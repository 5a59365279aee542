package node

import (
	"context"
	"errors"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// citizenCalls are the calls on this region's citizens and messages.
func (n *Node) citizenCalls() []seat.Call {
	gateways := seat.Only(link.RoleGateway)
	return []seat.Call{
		seat.Raw(n.Seat, wire.MethodSubmit, gateways, seat.RegionLeads, n.submit),
		seat.Answers(n.Seat, wire.MethodLogin, gateways, seat.RegionLeads, n.login),
		seat.Answers(n.Seat, wire.MethodRelease, seat.Only(link.RoleNode), seat.RegionLeads, n.release),

		seat.Changes[wire.Logout, seat.None](n.Seat, wire.MethodLogout, wire.CmdLogout, nil),
		seat.Changes[wire.SetProfile, wire.Profile](n.Seat, wire.MethodSetProfile, wire.CmdSetProfile,
			func(q *wire.SetProfile) wire.TokenHash { return q.Token }),
		seat.Changes[wire.SetPreference, wire.Preference](n.Seat, wire.MethodSetPreference,
			wire.CmdSetPreference,
			func(q *wire.SetPreference) wire.TokenHash { return q.Token }),
		seat.Changes[wire.SetMessageStatus, wire.MessageStatus](n.Seat, wire.MethodSetMessageStatus,
			wire.CmdSetMessageStatus,
			func(q *wire.SetMessageStatus) wire.TokenHash { return q.Token }),

		seat.Reads(n.Seat, wire.MethodFindMessage, n.findMessage),
		seat.Reads(n.Seat, wire.MethodSenderProfile, func(q *wire.SenderProfileQuery, _ wire.Time) (
			*wire.SenderProfile, error) {
			return n.Seat.Region.SenderProfile(*q)
		}),
		seat.Reads(n.Seat, wire.MethodGetSession, func(q *wire.SessionRef, now wire.Time) (
			*wire.Session, error) {
			return n.Seat.Region.Session(q.Token, now)
		}),
		seat.Reads(n.Seat, wire.MethodGetProfile, func(q *wire.SessionRef, now wire.Time) (
			*wire.Profile, error) {
			return n.Seat.Region.Profile(q.Token, now)
		}), seat.Reads(n.Seat, wire.MethodGetPreference, func(q *wire.GetPreference, now wire.Time) (
			*wire.Preference, error) {
			return n.Seat.Region.Preference(*q, now)
		}),
		seat.Reads(n.Seat, wire.MethodListInbox, func(q *wire.ListInbox, now wire.Time) (
			*wire.InboxPage, error) {
			return n.Seat.Region.ListInbox(*q, now)
		}),
		seat.Reads(n.Seat, wire.MethodGetInbox, func(q *wire.GetInbox, now wire.Time) (
			*wire.InboxMessage, error) {
			return n.Seat.Region.GetInbox(*q, now)
		}),
	}
}

// findMessage answers MethodFindMessage. That this region does not have a message of a code that
// nobody owns says nothing once another anchor may have decided about it.
func (n *Node) findMessage(q *wire.FindMessage, _ wire.Time) (*wire.MessageView, error) {
	view, err := n.Seat.Region.FindMessage(*q)
	if !errors.Is(err, wire.NotFound) || n.anchors(q.Recipient.Slot()) {
		return view, err
	}
	switch own, _, e := n.Seat.Region.Ownership(q.Recipient); {
	case e != nil:
		return nil, e
	case own.State == wire.Owned:
		return nil, err
	}
	return nil, wire.Errorf(wire.Unavailable, "slot %d is not to be decided here now",
		q.Recipient.Slot())
}

// login answers MethodLogin. A code that this region does not own yet is claimed first, which
// takes a round to the directory and one to the anchor.
func (n *Node) login(ctx context.Context, _ link.Identity, l *wire.Login) (*wire.Session, error) {
	if !l.Session.FiscalCode.Valid() {
		return nil, wire.Malformedf("login without a valid fiscal code")
	}
	recipient := n.Hasher.Recipient(l.Session.FiscalCode)
	owned, _, err := n.Seat.Region.Ownership(recipient)
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
	err = n.Refused(ctx, func() error {
		own, _, err := n.Seat.Region.Ownership(recipient)
		if err == nil && own.State == wire.Released {
			return &wire.Error{Code: wire.Moved, Region: own.Region, Epoch: own.Epoch}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var session wire.Session
	err = n.RegionQueue.Do(ctx, wire.CmdLogin, l, &session)
	if errors.Is(err, wire.Conflict) {
		// The claim ended between check and apply, in favour of somebody else.
		return nil, wire.Errorf(wire.Unavailable, "the fiscal code is being claimed")
	}
	if err != nil {
		return nil, err
	}
	return &session, nil
}
