package region

import "github.com/staffetta/staffetta/wire"

// inboxScanMax bounds the messages that a page passes over because they are archived, or are not: a
// page that looks at so many takes some ten milliseconds. Who has fewer gets full pages.
const inboxScanMax = 4096

// ListInbox returns a page of the citizen's inbox, newest id first (contract for citizens §4.1).
// It reads the page's rows, those that it passes over, one more, and no block.
func (s *State) ListInbox(q wire.ListInbox, now wire.Time) (*wire.InboxPage, error) {
	if q.Size < 1 || q.Size > wire.PageMax {
		return nil, wire.Malformedf("page of %d messages, 1-%d allowed", q.Size, wire.PageMax)
	}
	t, r, err := s.sessionCitizen(q.Token, now)
	if err != nil {
		return nil, err
	}
	page := &wire.InboxPage{FiscalCode: t.FiscalCode}
	if s.ActiveVersion() >= wire.VersionArrivals && q.Before.IsZero() {
		page.Arrived = s.position() // before anything is read
		if !q.Arrived.IsZero() {
			if ok, err := s.listArrived(&q, r, page.Arrived, page); ok || err != nil {
				return page, err
			}
		}
	}
	prefix := byte(inboxPrefix)
	if q.Archived {
		prefix = statusPrefix // what is archived has a row there, many messages have none
	}
	lower := recipientKey(prefix, r)
	upper := after(lower)
	if !q.Before.IsZero() {
		k := newWideKey(prefix, r, q.Before)
		upper = k[:]
	}
	if !q.After.IsZero() {
		k := newWideKey(prefix, r, q.After)
		lower = append(k[:], 0) // the first key above it
	}
	if string(lower) >= string(upper) {
		return page, nil
	}
	list := &listing{s: s, r: r, q: &q, lower: lower}
	err = s.db.Iterate(lower, upper, true, func(k, v []byte) (bool, error) {
		if len(page.Items) == int(q.Size) {
			page.More = true
			return false, nil
		}
		if list.passed == inboxScanMax {
			page.More, page.Before = true, list.last
			return false, nil
		}
		if len(k) != len(wideKey{}) {
			return false, errDamaged(k)
		}
		list.last = wire.MessageID(k[17:])
		item, ok, err := list.item(k, v)
		if ok {
			page.Items = append(page.Items, item)
		} else {
			list.passed++
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// listing goes through the rows of a list, newest id first.
type listing struct {
	s      *State
	r      wire.Recipient
	q      *wire.ListInbox
	lower  []byte         // of the list's keys
	last   wire.MessageID // the row's
	passed int            // rows that are in the other list

	// statuses are those of messages from an id on, or all.
	statuses map[wire.MessageID]wire.MessageStatus
	from     wire.MessageID
	all      bool
}

// statusesAtOnce is how many statuses are read with one look at the disk.
const statusesAtOnce = 128

// item reads a row: not ok when it is in the other list.
func (l *listing) item(k, v []byte) (item wire.InboxItem, ok bool, err error) {
	if l.q.Archived {
		return l.archivedItem(k, v)
	}
	status, err := l.status()
	if err != nil || !l.q.Shows(status) {
		return item, false, err
	}
	var row inboxRow
	if err := decodeRow(k, v, &row); err != nil {
		return item, false, err
	}
	return row.itemAs(l.last, status), true, nil
}

// archivedItem is item of a row of a status.
func (l *listing) archivedItem(k, v []byte) (item wire.InboxItem, ok bool, err error) {
	var status wire.MessageStatus
	if err := decodeRow(k, v, &status); err != nil || !l.q.Shows(status) {
		return item, false, err
	}
	var row inboxRow
	key := inboxKey(l.r, l.last)
	if ok, err = l.s.getRow(key[:], &row); err != nil || !ok {
		return item, false, err
	}
	return row.itemAs(l.last, status), true, nil
}

// status is that of the row's message.
func (l *listing) status() (wire.MessageStatus, error) {
	if !l.all && (l.from.IsZero() || string(l.last[:]) < string(l.from[:])) {
		if err := l.readStatuses(); err != nil {
			return wire.MessageStatus{}, err
		}
	}
	return l.statuses[l.last], nil
}

// readStatuses reads the statuses of the row's message and of the next ones.
func (l *listing) readStatuses() error {
	lower := append([]byte{statusPrefix}, l.lower[1:]...)
	upper := append(statusKey(l.r, l.last), 0)
	l.statuses, l.all = nil, true
	return l.s.db.Iterate(lower, upper, true, func(k, v []byte) (bool, error) {
		if len(l.statuses) == statusesAtOnce {
			l.all = false
			return false, nil
		}
		if len(k) != len(wideKey{}) {
			return false, errDamaged(k)
		}
		var status wire.MessageStatus
		if err := decodeRow(k, v, &status); err != nil {
			return false, err
		}
		if l.statuses == nil {
			l.statuses = make(map[wire.MessageID]wire.MessageStatus)
		}
		l.from = wire.MessageID(k[17:])
		l.statuses[l.from] = status
		return true, nil
	})
}
