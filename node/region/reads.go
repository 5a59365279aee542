package region

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
)

// The log of reads is rows of lines, numbered from 1 without gaps, of which the newest are kept:
//
//	e            which there are: the first number and the last
//	e <number 8> a line
const readsPrefix = 'e'

// readsKept bounds the lines: at a copy an hour and some questions a day it is a year's.
const readsKept = 10_000

// repeatedWithin is how soon the same read again is the same read: a command asks every node of a
// region.
const repeatedWithin = 10_000 // milliseconds

func readsKey() []byte { return []byte{readsPrefix} }

func readLineKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{readsPrefix}, number)
}

// readBounds are the numbers of the first line and of the last; none when last is less than first.
type readBounds struct{ first, last uint64 }

func (b readBounds) encode() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, b.first), b.last)
}

func decodeReadBounds(row []byte, ok bool) (readBounds, error) {
	if !ok {
		return readBounds{first: 1}, nil
	}
	if len(row) != 16 {
		return readBounds{}, errDamaged(readsKey())
	}
	return readBounds{binary.BigEndian.Uint64(row), binary.BigEndian.Uint64(row[8:])}, nil
}

// noteRead appends a line: an operator read, or is about to read, what is a citizen's.
func (s *State) noteRead(c *change, n *wire.ReadNote) (wire.Result, error) {
	if err := n.Validate(); err != nil {
		return wire.Fail(wire.AsError(err)), nil
	}
	row, ok, err := c.get(readsKey())
	if err != nil {
		return wire.Result{}, err
	}
	bounds, err := decodeReadBounds(row, ok)
	if err != nil {
		return wire.Result{}, err
	}
	if bounds.last >= bounds.first {
		var last wire.AuditLine
		if _, err := c.getRow(readLineKey(bounds.last), &last); err != nil {
			return wire.Result{}, err
		}
		if last.Operator == n.Operator && last.Action == n.Action && last.Subject == n.Subject &&
			last.Time <= c.clock.Now && c.clock.Now < last.Time+repeatedWithin {
			return wire.OK(nil), nil
		}
	}
	bounds.last++
	line := &wire.AuditLine{Number: bounds.last, Index: c.index, Time: c.clock.Now,
		Operator: n.Operator, Action: n.Action, Subject: n.Subject}
	if err := c.setRow(readLineKey(line.Number), line); err != nil {
		return wire.Result{}, err
	}
	for ; bounds.last-bounds.first >= readsKept; bounds.first++ {
		if err := c.del(readLineKey(bounds.first)); err != nil {
			return wire.Result{}, err
		}
	}
	return wire.OK(nil), c.set(readsKey(), bounds.encode())
}

// Reads returns a page of what operators read of citizens, oldest first, at most
// wire.AuditPageMax lines.
func (s *State) Reads(q *wire.ListAudit) (*wire.AuditPage, error) {
	limit := int(q.Limit)
	if limit == 0 || limit > wire.AuditPageMax {
		limit = wire.AuditPageMax
	}
	page := &wire.AuditPage{Fresh: wire.Freshness{Index: s.db.Position().Index}}
	err := s.db.View(func(r pebble.Reader) error {
		row, ok, err := store.GetFrom(r, nil, readsKey())
		if err != nil {
			return err
		}
		bounds, err := decodeReadBounds(row, ok)
		if err != nil {
			return err
		}
		page.Dropped = bounds.first - 1
		return store.IterateFrom(r, readLineKey(q.After+1), readLineKey(bounds.last+1), false,
			func(_, v []byte) (bool, error) {
				var line wire.AuditLine
				if err := wire.Decode(v, &line); err != nil {
					return false, fmt.Errorf("damaged line of the reads: %v", err)
				}
				if line.Time < q.Since {
					return true, nil
				}
				if len(page.Lines) == limit {
					page.Next = page.Lines[limit-1].Number
					return false, nil
				}
				page.Lines = append(page.Lines, line)
				return true, nil
			})
	})
	if err != nil {
		return nil, fmt.Errorf("region: reads: %w", err)
	}
	return page, nil
}
