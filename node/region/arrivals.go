package region

import (
	"cmp"
	"hash/fnv"
	"slices"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// What a citizen has not seen yet is told by the order of the log, not by ids: an id is minted
// before its message is accepted. An inbox row says by block and position where its message is in
// that order, so nothing is written for it as long as a message arrives about the time of its id,
// which nearly all do: whoever looks for what came after a position looks at the ids from some
// minutes before it on. Only a message that arrives late has a row that says so.

const (
	// lateAfter is the age of an id from which on its message has arrived late. A gateway's id is
	// at most wire.SkewMax old when its block is admitted, so these waited in a spool. It is part of
	// the format.
	lateAfter = 2 * wire.SkewMax
	// arrivalSlack is how far before a position's time ids are looked at: lateAfter, and what the
	// time of one region may be ahead of another's, or of its own later one that was set back.
	arrivalSlack = lateAfter + wire.SkewMax
	// arrivalScanMax bounds the rows that a page of arrivals looks at, which takes some 10 ms. Who
	// was sent more since a position is shown the newest, as without one.
	arrivalScanMax = 1 << 14
)

// lateRow marks a message that arrived long after its id was minted.
type lateRow struct {
	Since wire.Time // the state's time when it arrived
}

// Fields declares the row.
func (l *lateRow) Fields(c *codec.Codec) { codec.Int(c, 1, &l.Since) }

func lateKey(r wire.Recipient, id wire.MessageID) []byte {
	k := newWideKey(latePrefix, r, id)
	return k[:]
}

// noteLate marks a message that arrives now, if its id is of long ago.
func (c *change) noteLate(r wire.Recipient, id wire.MessageID) error {
	if c.version < wire.VersionArrivals || id.Time() >= c.clock.Now.Add(-lateAfter) {
		return nil
	}
	return c.setRow(lateKey(r, id), &lateRow{Since: c.clock.Now})
}

// position is behind everything that a read which begins now sees.
func (s *State) position() wire.Arrival {
	return wire.Arrival{Stand: s.stand(), Since: s.Now(), Index: s.db.Position().Index,
		Record: wire.ArrivalEntry}
}

// stand names the log that positions are of: that of the region, until a restore.
func (s *State) stand() uint32 {
	h := fnv.New32a()
	h.Write([]byte(s.cfg.Region))
	n := s.restored.Load().incarnation
	h.Write([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
	return h.Sum32() | 1 // a position is never zero
}

// listArrived fills a page with the messages that arrived behind a position, those first that
// arrived first; within the page they are in the order of ids. Not ok: there are too many.
func (s *State) listArrived(q *wire.ListInbox, r wire.Recipient, here wire.Arrival,
	page *wire.InboxPage) (ok bool, err error) {
	list, ok, err := s.arrivals(r, q.Arrived, here)
	if err != nil || !ok {
		return false, err
	}
	page.Arrived = here
	if q.Arrived.Stand == here.Stand && !here.Passed(q.Arrived.Index, q.Arrived.Record) {
		page.Arrived = q.Arrived // of a replica that was ahead of this one
	}
	for i := range list {
		if len(page.Items) == int(q.Size) || i-len(page.Items) == inboxScanMax {
			last := &list[i-1]
			page.Arrived = wire.Arrival{Stand: here.Stand, Index: last.Block,
				Record: uint8(last.Position), Since: min(q.Arrived.Since, here.Since)}
			break
		}
		item, shown, err := s.arrived(q, r, list[i].ID)
		if err != nil {
			return false, err
		}
		if shown {
			page.Items = append(page.Items, item)
		}
	}
	slices.SortFunc(page.Items, func(a, b wire.InboxItem) int {
		return cmp.Compare(string(b.ID[:]), string(a.ID[:]))
	})
	return true, nil
}

// arrived reads what a list shows of a message: not ok when it is not in that list.
func (s *State) arrived(q *wire.ListInbox, r wire.Recipient, id wire.MessageID) (
	item wire.InboxItem, ok bool, err error) {
	var status wire.MessageStatus
	if _, err = s.getRow(statusKey(r, id), &status); err != nil || !q.Shows(status) {
		return item, false, err
	}
	var row inboxRow
	key := inboxKey(r, id)
	if ok, err = s.getRow(key[:], &row); err != nil || !ok {
		return item, false, err
	}
	return row.itemAs(id, status), true, nil
}

// arrivals are the messages of r that may have arrived behind a position, in the order in which
// they did: every one that did, and of a position of another stand also some that were there. Not
// ok: there are more than are looked at.
func (s *State) arrivals(r wire.Recipient, from, here wire.Arrival) (list []Placed, ok bool,
	err error) {
	same := from.Stand == here.Stand
	floor := firstAt(max(min(from.Since, here.Since).Add(-arrivalSlack), 0))
	lower := inboxKey(r, floor)
	looked := 0
	add := func(id wire.MessageID, k, v []byte) error {
		var at placeRow
		if err := decodeRow(k, v, &at); err != nil {
			return err
		}
		if !same || !from.Passed(at.Block, at.Position) {
			list = append(list, Placed{ID: id, Block: at.Block, Position: int(at.Position)})
		}
		return nil
	}
	err = s.db.Iterate(lower[:], after(recipientKey(inboxPrefix, r)), false,
		func(k, v []byte) (bool, error) {
			if looked++; looked > arrivalScanMax || !isWide(k) {
				return false, nil
			}
			return true, add(wire.MessageID(k[17:]), k, v)
		})
	if err != nil || looked > arrivalScanMax {
		return nil, false, err
	}
	oldest := wire.Time(0)
	if !same {
		oldest = from.Since.Add(-wire.SkewMax)
	}
	late, err := s.late(r, floor, oldest)
	if err != nil || looked+len(late) > arrivalScanMax {
		return nil, false, err
	}
	for _, id := range late {
		key := inboxKey(r, id)
		v, there, err := s.db.Get(key[:])
		if err != nil {
			return nil, false, err
		}
		if there {
			if err := add(id, key[:], v); err != nil {
				return nil, false, err
			}
		}
	}
	slices.SortFunc(list, func(a, b Placed) int {
		return cmp.Or(cmp.Compare(a.Block, b.Block), cmp.Compare(a.Position, b.Position))
	})
	return list, true, nil
}

// late are the messages below an id that arrived late, at a time or after it.
func (s *State) late(r wire.Recipient, below wire.MessageID, since wire.Time) (
	list []wire.MessageID, err error) {
	err = s.db.Iterate(recipientKey(latePrefix, r), lateKey(r, below), false,
		func(k, v []byte) (bool, error) {
			var row lateRow
			if len(k) != len(wideKey{}) {
				return false, errDamaged(k)
			}
			if err := decodeRow(k, v, &row); err != nil {
				return false, err
			}
			if row.Since >= since {
				list = append(list, wire.MessageID(k[17:]))
			}
			return len(list) <= arrivalScanMax, nil
		})
	return list, err
}

// firstAt is the smallest id of a time.
func firstAt(t wire.Time) (id wire.MessageID) {
	for i := range 6 {
		id[i] = byte(t >> (8 * (5 - i)))
	}
	return id
}

func (p *pageCheck) late(row *wire.Row) (ok bool, err error) {
	var late lateRow
	return len(row.Key) == len(wideKey{}) && wire.Decode(row.Value, &late) == nil, nil
}
