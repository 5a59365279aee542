package federation

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
)

// auditBounds is the row of what lines there are: those numbered first to last, none when last is
// less than first.
//
//	u         first u64 | last u64
//	u/<n 8>   a line
var auditBoundsKey = []byte("u")

type auditBounds struct{ first, last uint64 }

func auditKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte("u/"), number)
}

func (b auditBounds) encode() []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, b.first), b.last)
}

func decodeAuditBounds(row []byte) (auditBounds, error) {
	if len(row) != 16 {
		return auditBounds{}, fmt.Errorf("damaged row of the audit's bounds: %d bytes", len(row))
	}
	return auditBounds{first: binary.LittleEndian.Uint64(row),
		last: binary.LittleEndian.Uint64(row[8:])}, nil
}

// audited applies the command within and writes the line that says what became of it. An audited
// command that is itself malformed changes nothing and leaves no line: no leader of ours makes one.
func (t *tx) audited(body []byte) wire.Result {
	var a wire.Audited
	if err := wire.Decode(body, &a); err != nil {
		return wire.Fail(wire.AsError(err))
	}
	if err := validateAudited(&a); err != nil {
		return wire.Fail(err)
	}
	t.watched, t.changed = t.version() >= wire.VersionWithdrawn, false
	line := wire.AuditLine{Index: t.pos.Index, Time: t.now, Operator: a.Operator,
		Action: a.Action, Subject: a.Subject}
	var result wire.Result
	if t.watched && a.Deadline > 0 && t.now > a.Deadline {
		result = wire.Fail(wire.Errorf(wire.Conflict, "withdrawn at %s, and logged at %s only",
			a.Deadline, t.now))
	} else {
		result = t.approved(&a, &line)
	}
	line.Refused = result.Err
	line.Unchanged = t.watched && !t.changed && result.Err == nil && !order(&a.Command)
	t.watched = false
	t.auditLine(&line)
	return result
}

// order reports whether a command only says that an operator's order may be: it is carried out
// elsewhere or later, and changes nothing here.
func order(c *wire.Command) bool {
	switch c.Kind {
	case wire.CmdMoveOrder, wire.CmdRegionOrder, wire.CmdAsk:
		return true
	case wire.CmdMembers:
		var m wire.MemberChange
		return wire.Decode(c.Body, &m) == nil && m.Node != nil && m.Node.Transfer != ""
	}
	return false
}

// version is the active version as of the commands before.
func (t *tx) version() uint32 {
	if t.founded == nil {
		return 0
	}
	return t.founded.m.ActiveVersion
}

func validateAudited(a *wire.Audited) *wire.Error {
	for _, f := range []struct {
		name, text string
		required   bool
	}{{"operator", a.Operator, true}, {"action", a.Action, true}, {"subject", a.Subject, false}} {
		if err := validateText(f.name, f.text, f.required, wire.AuditTextMax); err != nil {
			return err
		}
	}
	return nil
}

// auditLine appends a line and drops the oldest when there are too many.
func (t *tx) auditLine(line *wire.AuditLine) {
	bounds := auditBounds{first: 1}
	if row, ok := t.get(auditBoundsKey); ok {
		var err error
		if bounds, err = decodeAuditBounds(row); err != nil {
			t.fail(err)
			return
		}
	}
	bounds.last++
	line.Number = bounds.last
	t.set(auditKey(line.Number), wire.Encode(line))
	for ; bounds.last-bounds.first >= wire.AuditLinesMax; bounds.first++ {
		t.del(auditKey(bounds.first))
	}
	t.set(auditBoundsKey, bounds.encode())
}

// checkAudited is Check for the command within an audited one: it may not hold another of its
// kind, nor one that this version does not know.
func checkAudited(c *wire.Command) error {
	var a wire.Audited
	if err := wire.Decode(c.Body, &a); err != nil {
		return nil // refused at apply, by every replica
	}
	if a.Command.Kind == wire.CmdAudit {
		return wire.Errorf(wire.UnknownKind, "an audited command within another")
	}
	return Check(&wire.Commands{List: []wire.Command{a.Command}})
}

// Audit returns a page of what operators did, oldest first, at most wire.AuditPageMax lines.
func (s *State) Audit(q *wire.ListAudit) (*wire.AuditPage, error) {
	limit := int(q.Limit)
	if limit == 0 || limit > wire.AuditPageMax {
		limit = wire.AuditPageMax
	}
	page := &wire.AuditPage{Fresh: wire.Freshness{Index: s.Position().Index}}
	err := s.db.View(func(r pebble.Reader) error {
		row, ok, err := store.GetFrom(r, nil, auditBoundsKey)
		if err != nil || !ok {
			return err
		}
		bounds, err := decodeAuditBounds(row)
		if err != nil {
			return err
		}
		page.Dropped = bounds.first - 1
		// Lines come in order of time, but an operator may ask for any: all are looked at.
		return store.IterateFrom(r, auditKey(q.After+1), auditKey(bounds.last+1), false,
			func(k, v []byte) (bool, error) {
				var line wire.AuditLine
				if err := wire.Decode(v, &line); err != nil {
					return false, fmt.Errorf("damaged line of the audit: %v", err)
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
		return nil, fmt.Errorf("federation: audit: %w", err)
	}
	return page, nil
}
