package region

import "github.com/staffetta/staffetta/wire"

// countMax bounds the messages that are counted, which takes some 10 ms.
const countMax = 1 << 14

// CountMessages counts the messages of a session's citizen. Nothing is kept of it: it follows from
// the rows of messages and of statuses, so that all devices are told the same.
func (s *State) CountMessages(q wire.SessionRef, now wire.Time) (*wire.MessageCounts, error) {
	_, r, err := s.sessionCitizen(q.Token, now)
	if err != nil {
		return nil, err
	}
	n := new(wire.MessageCounts)
	lower := recipientKey(inboxPrefix, r)
	var oldest wire.MessageID
	err = s.db.Iterate(lower, after(lower), true, func(k, _ []byte) (bool, error) {
		if n.More = n.Inbox == countMax; n.More {
			return false, nil
		}
		if !isWide(k) {
			return false, errDamaged(k)
		}
		n.Inbox++
		oldest = wire.MessageID(k[17:])
		return true, nil
	})
	if err != nil || n.Inbox == 0 {
		return n, err
	}
	n.Unread = n.Inbox
	lower = recipientKey(statusPrefix, r)
	err = s.db.Iterate(statusKey(r, oldest), after(lower), false, func(k, v []byte) (bool, error) {
		var status wire.MessageStatus
		if err := decodeRow(k, v, &status); err != nil {
			return false, err
		}
		if status.Archived {
			n.Archived++
		}
		if status.Archived || status.Read {
			n.Unread--
		}
		// A message may have come, and been read, between the two looks.
		return n.Unread > 0 && n.Archived < n.Inbox, nil
	})
	n.Inbox -= n.Archived
	return n, err
}
