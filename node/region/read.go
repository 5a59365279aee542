package region

import (
	"cmp"
	"slices"

	"github.com/staffetta/staffetta/wire"
)

// The reads answer from what is applied here. A caller who needs them to be linearizable asks
// the group for a barrier first.

// Ownership is what the log says of r, and whether the region holds its anchor slot.
func (s *State) Ownership(r wire.Recipient) (own wire.Ownership, anchored bool, err error) {
	var row ownerRow
	_, err = s.getRow(recipientKey(ownerPrefix, r), &row)
	return row.Ownership, s.slots.Load().has(r), err
}

// mine returns nil when this region answers for r, else Moved with the owner as far as known.
func (s *State) mine(r wire.Recipient) (wire.Ownership, error) {
	own, anchored, err := s.Ownership(r)
	switch {
	case err != nil:
		return own, err
	case own.State == wire.Released:
		return own, movedTo(own)
	case own.State != wire.Owned && !anchored:
		return own, movedTo(wire.Ownership{})
	}
	return own, nil
}

// FindMessage answers a sender: the verdict, and the content when the message was delivered and its
// citizen has not deleted it.
// NotFound when the recipient has no such message, Moved when another region answers for it. A
// rejection is answered by whoever decided it, also after the code went elsewhere: a handover is
// bounded and may have left it behind.
func (s *State) FindMessage(q wire.FindMessage) (*wire.MessageView, error) {
	if _, err := s.mine(q.Recipient); err != nil {
		if view, e := s.findRejected(q); e == nil {
			return view, nil
		}
		return nil, err
	}
	key := inboxKey(q.Recipient, q.ID)
	var row inboxRow
	ok, err := s.getRow(key[:], &row)
	if err != nil {
		return nil, err
	}
	if ok {
		content, err := s.content(&row)
		if err != nil {
			return nil, err
		}
		return &wire.MessageView{ID: q.ID, Service: row.Service, Verdict: processed,
			TimeToLive: row.TimeToLive, FeatureLevel: row.FeatureLevel, Content: content}, nil
	}
	if view, ok, err := s.findDeleted(q); ok || err != nil {
		return view, err
	}
	return s.findRejected(q)
}

func (s *State) findRejected(q wire.FindMessage) (*wire.MessageView, error) {
	key := rejectedKey(q.Recipient, q.ID)
	var rej rejectedRow
	ok, err := s.getRow(key[:], &rej)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, wire.Errorf(wire.NotFound, "no such message")
	}
	return &wire.MessageView{ID: q.ID, Service: rej.Service, Verdict: rej.verdict(),
		TimeToLive: rej.TimeToLive, FeatureLevel: rej.FeatureLevel}, nil
}

// SenderProfile answers whether a service may write to a citizen. NotFound when there is no
// profile or its inbox is off, Moved when another region answers for the citizen.
func (s *State) SenderProfile(q wire.SenderProfileQuery) (*wire.SenderProfile, error) {
	own, err := s.mine(q.Recipient)
	if err != nil {
		return nil, err
	}
	var row profileRow
	ok := false
	if own.State == wire.Owned {
		if ok, err = s.getRow(recipientKey(profilePrefix, q.Recipient), &row); err != nil {
			return nil, err
		}
	}
	if !ok || !row.active() {
		return nil, wire.Errorf(wire.NotFound, "no such profile")
	}
	p := &row.Profile
	choice := wire.Unset
	if p.Mode != wire.Legacy {
		var pref wire.Preference
		ok, err := s.getRow(preferenceKey(q.Recipient, p.SettingsVersion, q.Service), &pref)
		if err != nil {
			return nil, err
		}
		if ok {
			choice = wire.TriOf(pref.Inbox)
		}
	}
	return &wire.SenderProfile{Languages: p.Languages,
		Allowed: allowed(p.Mode, blocksInbox(p, q.Service), choice)}, nil
}

// Placed is where the log put a delivered message.
type Placed struct {
	ID       wire.MessageID
	Block    uint64 // log index
	Position int
}

// Messages returns every delivered message of r in log order, which a list by id does not show.
// It is for checkers: unlike the other reads it is not bounded.
func (s *State) Messages(r wire.Recipient) ([]Placed, error) {
	var list []Placed
	lower := recipientKey(inboxPrefix, r)
	err := s.db.Iterate(lower, after(lower), false, func(k, v []byte) (bool, error) {
		var row inboxRow
		if !isWide(k) {
			return false, errDamaged(k)
		}
		if err := decodeRow(k, v, &row); err != nil {
			return false, err
		}
		list = append(list, Placed{ID: wire.MessageID(k[17:]), Block: row.Block,
			Position: int(row.Position)})
		return true, nil
	})
	slices.SortFunc(list, func(a, b Placed) int {
		return cmp.Or(cmp.Compare(a.Block, b.Block), cmp.Compare(a.Position, b.Position))
	})
	return list, err
}
