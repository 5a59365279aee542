package node

import (
	"context"
	"errors"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// handleRegion registers the calls on this region's citizens and messages. The leader answers
// them, after a barrier, so that a read sees everything acknowledged before it.
func (n *Node) handleRegion() {
	n.link.Handle(wire.MethodSubmit, n.submit, link.RoleGateway)
	n.link.Handle(wire.MethodLogin, n.login, link.RoleGateway)
	n.link.Handle(wire.MethodRelease, n.release, link.RoleNode)
	n.handleSlots()
	n.handleMoves()
	n.handleCopies()
	n.handleSpool()

	change[wire.Logout](n, wire.MethodLogout, wire.CmdLogout, nil)
	change(n, wire.MethodSetProfile, wire.CmdSetProfile,
		func(q *wire.SetProfile) wire.TokenHash { return q.Token })
	change(n, wire.MethodSetPreference, wire.CmdSetPreference,
		func(q *wire.SetPreference) wire.TokenHash { return q.Token })

	read(n, wire.MethodFindMessage, n.findMessage)
	read(n, wire.MethodSenderProfile,
		func(q *wire.SenderProfileQuery) (*wire.SenderProfile, error) {
			return n.region.SenderProfile(*q)
		})
	readAt(n, wire.MethodGetSession, func(q *wire.SessionRef, now wire.Time) (*wire.Session, error) {
		return n.region.Session(q.Token, now)
	})
	readAt(n, wire.MethodGetProfile, func(q *wire.SessionRef, now wire.Time) (*wire.Profile, error) {
		return n.region.Profile(q.Token, now)
	})
	readAt(n, wire.MethodGetPreference, func(q *wire.GetPreference,
		now wire.Time) (*wire.Preference, error) {
		return n.region.Preference(*q, now)
	})
	readAt(n, wire.MethodListInbox, func(q *wire.ListInbox, now wire.Time) (*wire.InboxPage, error) {
		return n.region.ListInbox(*q, now)
	})
	readAt(n, wire.MethodGetInbox, func(q *wire.GetInbox, now wire.Time) (*wire.InboxMessage, error) {
		return n.region.GetInbox(*q, now)
	})
}

// findMessage answers MethodFindMessage. That this region does not have a message of a code that
// nobody owns says nothing once another anchor may have decided about it.
func (n *Node) findMessage(q *wire.FindMessage) (*wire.MessageView, error) {
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

// message is a pointer to T that is a message.
type message[T any] interface {
	*T
	codec.Message
}

// read registers a linearizable read of the region's state.
func read[Q, A any, PQ message[Q], PA message[A]](n *Node, m wire.Method,
	f func(PQ) (PA, error)) {
	readAt(n, m, func(q PQ, _ wire.Time) (PA, error) { return f(q) })
}

// readAt is read for what depends on the time, which a majority bears out.
func readAt[Q, A any, PQ message[Q], PA message[A]](n *Node, m wire.Method,
	f func(PQ, wire.Time) (PA, error)) {
	n.link.Handle(m, func(ctx context.Context, _ link.Identity, req []byte) ([]byte, error) {
		q := PQ(new(Q))
		if err := wire.Decode(req, q); err != nil {
			return nil, err
		}
		if err := n.regionGroup.Read(ctx); err != nil {
			return nil, err
		}
		if err := n.serves(); err != nil {
			return nil, err
		}
		now, err := n.regionTime(ctx)
		if err != nil {
			return nil, err
		}
		a, err := f(q, now)
		if err != nil {
			return nil, err
		}
		return wire.Encode(a), nil
	}, link.RoleGateway)
}

// change registers a call that is one command of the region's log. The request is decoded here
// only to refuse what the log must not hold; the command carries its canonical encoding. With token
// the session must be valid here.
func change[Q any, PQ message[Q]](n *Node, m wire.Method, kind wire.CommandKind,
	token func(PQ) wire.TokenHash) {
	n.link.Handle(m, func(ctx context.Context, _ link.Identity, req []byte) ([]byte, error) {
		q := PQ(new(Q))
		if err := wire.Decode(req, q); err != nil {
			return nil, err
		}
		if err := n.mayPropose(); err != nil {
			return nil, err
		}
		if token != nil {
			err := n.refused(ctx, func() error {
				now, err := n.regionTime(ctx)
				if err == nil {
					_, err = n.region.Session(token(q), now)
				}
				return err
			})
			if err != nil {
				return nil, err
			}
		}
		results, err := n.regionQueue.submit(ctx,
			[]wire.Command{{Kind: kind, Body: wire.Encode(q)}})
		if err != nil {
			return nil, err
		}
		if results[0].Err != nil {
			return nil, results[0].Err
		}
		return results[0].Body, nil
	}, link.RoleGateway)
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
func (n *Node) login(ctx context.Context, _ link.Identity, req []byte) ([]byte, error) {
	var l wire.Login
	if err := wire.Decode(req, &l); err != nil {
		return nil, err
	}
	if !l.Session.FiscalCode.Valid() {
		return nil, wire.Malformedf("login without a valid fiscal code")
	}
	if err := n.mayPropose(); err != nil {
		return nil, err
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
	err = n.regionQueue.do(ctx, wire.CmdLogin, &l, &session)
	if errors.Is(err, wire.Conflict) {
		// The claim ended between check and apply, in favour of somebody else.
		return nil, wire.Errorf(wire.Unavailable, "the fiscal code is being claimed")
	}
	if err != nil {
		return nil, err
	}
	return wire.Encode(&session), nil
}

// release answers MethodRelease: another region's leader drives a claim of a code that is
// anchored here.
func (n *Node) release(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
	var batch wire.ReleaseBatch
	if err := wire.Decode(req, &batch); err != nil {
		return nil, err
	}
	if len(batch.List) > wire.CommandsMax {
		return nil, wire.Errorf(wire.TooLarge, "%d releases", len(batch.List))
	}
	if err := n.mayPropose(); err != nil {
		return nil, err
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
	answer := wire.Encode(&wire.Results{List: results})
	if len(answer) > wire.FrameBytesMax { // whoever asks again asks for fewer
		return nil, wire.Errorf(wire.TooLarge, "handovers of %d bytes, %d allowed", len(answer),
			wire.FrameBytesMax)
	}
	return answer, nil
}
