package node

import (
	"context"
	"errors"
	"sync"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// owners says who owns codes.
type owners interface {
	// Anchors reports whether this region may decide about an unclaimed code of a slot.
	Anchors(s wire.Slot) bool
	// CheckArriving refuses a login of a citizen who is on the way to this region.
	CheckArriving(r wire.Recipient) error
	// Claim returns when this region owns the code, or says who does.
	Claim(ctx context.Context, r wire.Recipient) error
	// RefuseForeign makes NotOwner of what is not this region's to say.
	RefuseForeign(records []wire.Record, outcomes []wire.Outcome) []wire.Outcome
}

// citizens answers about this region's citizens and messages, and takes what is sent to them.
type citizens struct {
	*seat.Seat
	owners owners
	blocks sync.Pool // of *wire.Block, to decode submissions into
}

func newCitizens(at *seat.Seat, owners owners) *citizens {
	return &citizens{Seat: at, owners: owners,
		blocks: sync.Pool{New: func() any { return new(wire.Block) }}}
}

// calls are the calls on this region's citizens and messages.
func (c *citizens) calls() []seat.Call {
	gateways := seat.Only(link.RoleGateway)
	return []seat.Call{
		seat.Raw(c.Seat, wire.MethodSubmit, gateways, seat.RegionLeads, c.submit),
		seat.Answers(c.Seat, wire.MethodLogin, gateways, seat.RegionLeads, c.login),
		seat.Answers(c.Seat, wire.MethodOpenSession, gateways, seat.RegionLeads, c.openSession),

		seat.Changes[wire.Logout, seat.None](c.Seat, wire.MethodLogout, wire.CmdLogout, nil),
		seat.Changes[wire.EndSessions, wire.EndedSessions](c.Seat, wire.MethodEndSessions,
			wire.CmdEndSessions, func(q *wire.EndSessions) wire.TokenHash { return q.Token }),
		seat.Changes[wire.SetProfile, wire.Profile](c.Seat, wire.MethodSetProfile, wire.CmdSetProfile,
			func(q *wire.SetProfile) wire.TokenHash { return q.Token }),
		seat.Changes[wire.SetPreference, wire.Preference](c.Seat, wire.MethodSetPreference,
			wire.CmdSetPreference,
			func(q *wire.SetPreference) wire.TokenHash { return q.Token }),
		seat.Changes[wire.SetMessageStatus, wire.MessageStatus](c.Seat, wire.MethodSetMessageStatus,
			wire.CmdSetMessageStatus,
			func(q *wire.SetMessageStatus) wire.TokenHash { return q.Token }),
		seat.Changes[wire.DeleteMessage, seat.None](c.Seat, wire.MethodDeleteMessage,
			wire.CmdDeleteMessage,
			func(q *wire.DeleteMessage) wire.TokenHash { return q.Token }),

		seat.Reads(c.Seat, wire.MethodFindMessage, c.findMessage),
		seat.Reads(c.Seat, wire.MethodSenderProfile, func(q *wire.SenderProfileQuery, _ wire.Time) (
			*wire.SenderProfile, error) {
			return c.Region.SenderProfile(*q)
		}),
		seat.Reads(c.Seat, wire.MethodGetSession, func(q *wire.SessionRef, now wire.Time) (
			*wire.Session, error) {
			return c.Region.Session(q.Token, now)
		}),
		seat.Changes[wire.LockAccess, seat.None](c.Seat, wire.MethodLockAccess, wire.CmdLockAccess,
			func(q *wire.LockAccess) wire.TokenHash { return q.Token }),
		seat.Answers(c.Seat, wire.MethodUnlockAccess, gateways, seat.RegionLeads, c.unlock),
		seat.Reads(c.Seat, wire.MethodAccessState, func(q *wire.SessionRef, now wire.Time) (
			*wire.AccessState, error) {
			return c.Region.Access(q.Token, now)
		}),
		seat.Reads(c.Seat, wire.MethodListSessions, func(q *wire.SessionRef, now wire.Time) (
			*wire.SessionList, error) {
			return c.Region.Sessions(q.Token, now)
		}),
		seat.Reads(c.Seat, wire.MethodGetProfile, func(q *wire.SessionRef, now wire.Time) (
			*wire.Profile, error) {
			return c.Region.Profile(q.Token, now)
		}),
		seat.Reads(c.Seat, wire.MethodGetPreference, func(q *wire.GetPreference, now wire.Time) (
			*wire.Preference, error) {
			return c.Region.Preference(*q, now)
		}),
		seat.Reads(c.Seat, wire.MethodListInbox, func(q *wire.ListInbox, now wire.Time) (
			*wire.InboxPage, error) {
			return c.Region.ListInbox(*q, now)
		}),
		seat.Reads(c.Seat, wire.MethodCountMessages, func(q *wire.SessionRef, now wire.Time) (
			*wire.MessageCounts, error) {
			return c.Region.CountMessages(*q, now)
		}),
		seat.Reads(c.Seat, wire.MethodSearchInbox, func(q *wire.SearchInbox, now wire.Time) (
			*wire.InboxPage, error) {
			return c.Region.SearchInbox(*q, now, c.sender)
		}),
		seat.Reads(c.Seat, wire.MethodGetInbox, func(q *wire.GetInbox, now wire.Time) (
			*wire.InboxMessage, error) {
			return c.Region.GetInbox(*q, now)
		}),
		seat.Answers(c.Seat, wire.MethodStaleRead, gateways, seat.RegionStale, c.StaleRead).
			Because("it is for a region without a leader"),
	}
}

// sender is what a service and its institution are called, as far as this node knows.
func (c *citizens) sender(id wire.ServiceID) string {
	a, err := c.Federation.ServiceByID(id)
	if err != nil {
		return ""
	}
	return a.Service.Name + "\n" + a.Institution.Name
}

// findMessage answers MethodFindMessage. That this region does not have a message of a code that
// nobody owns says nothing once another anchor may have decided about it.
func (c *citizens) findMessage(q *wire.FindMessage, _ wire.Time) (*wire.MessageView, error) {
	view, err := c.Region.FindMessage(*q)
	if !errors.Is(err, wire.NotFound) || c.owners.Anchors(q.Recipient.Slot()) {
		return view, err
	}
	switch own, _, e := c.Region.Ownership(q.Recipient); {
	case e != nil:
		return nil, e
	case own.State == wire.Owned:
		return nil, err
	}
	return nil, wire.Errorf(wire.Unavailable, "slot %d is not to be decided here now",
		q.Recipient.Slot())
}

// login answers MethodLogin.
func (c *citizens) login(ctx context.Context, _ link.Identity, l *wire.Login) (*wire.Session,
	error) {
	return c.logIn(ctx, wire.CmdLogin, l, l.Session.FiscalCode)
}

// openSession answers MethodOpenSession, of a region whose log is of its command's version.
func (c *citizens) openSession(ctx context.Context, _ link.Identity, o *wire.OpenSession) (
	*wire.Session, error) {
	if err := c.LookTwice(ctx, func() error { return c.CheckKind(wire.CmdOpenSession) }); err != nil {
		return nil, err
	}
	return c.logIn(ctx, wire.CmdOpenSession, o, o.Session.FiscalCode)
}

// unlock answers MethodUnlockAccess, of a session or of whom a gateway has had identified.
func (c *citizens) unlock(ctx context.Context, _ link.Identity, u *wire.UnlockAccess) (
	*wire.AccessState, error) {
	err := c.LookTwice(ctx, func() error {
		err := c.CheckKind(wire.CmdUnlockAccess)
		if err != nil || u.Token == (wire.TokenHash{}) {
			return err
		}
		now, err := c.RegionTime(ctx)
		if err == nil {
			_, err = c.Region.Session(u.Token, now)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	state := new(wire.AccessState)
	return state, c.RegionQueue.Do(ctx, wire.CmdUnlockAccess, u, state)
}

// logIn logs the command of a login. A code that this region does not own yet is claimed first,
// which takes a round to the directory and one to the anchor.
func (c *citizens) logIn(ctx context.Context, kind wire.CommandKind, login codec.Message,
	code fiscalcode.Code) (*wire.Session, error) {
	if !code.Valid() {
		return nil, wire.Malformedf("login without a valid fiscal code")
	}
	recipient := c.Hasher.Recipient(code)
	owned, _, err := c.Region.Ownership(recipient)
	if err != nil {
		return nil, err
	}
	if owned.State != wire.Owned {
		if err := c.owners.CheckArriving(recipient); err != nil {
			return nil, err
		}
	}
	if owned.State == wire.NotOwned || owned.State == wire.Claiming {
		if err := c.owners.Claim(ctx, recipient); err != nil {
			return nil, err
		}
	}
	err = c.LookTwice(ctx, func() error {
		own, _, err := c.Region.Ownership(recipient)
		if err == nil && own.State == wire.Released {
			return &wire.Error{Code: wire.Moved, Region: own.Region, Epoch: own.Epoch}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var session wire.Session
	err = c.RegionQueue.Do(ctx, kind, login, &session)
	if errors.Is(err, wire.Conflict) {
		// The claim ended between check and apply, in favour of somebody else.
		return nil, wire.Errorf(wire.Unavailable, "the fiscal code is being claimed")
	}
	if err != nil {
		return nil, err
	}
	return &session, nil
}
