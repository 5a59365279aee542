package federation

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
)

// pendingKey is the row of a request that waits for a second operator, or had one.
func pendingKey(id string) []byte { return append([]byte("w/"), id...) }

var pendingEnd = []byte("w0") // above every one

// pendingID is of the entry and the request: a request that is made anew, after it was carried out
// or has expired, is another one, which no late approval of the first can meet.
func pendingID(index uint64, p *wire.PendingRequest) string {
	head := binary.LittleEndian.AppendUint64(nil, index)
	head = binary.LittleEndian.AppendUint16(head, uint16(p.Method))
	sum := sha256.Sum256(append(head, p.Request...))
	return hex.EncodeToString(sum[:8])
}

// ask keeps a request until another operator approves it. The same one, which waits already, stays
// as it is.
func (t *tx) ask(p *wire.PendingRequest) (codec.Message, *wire.Error) {
	if t.founded == nil {
		return nil, wire.Errorf(wire.NotReady, "the federation is not founded yet")
	}
	if err := validatePending(p); err != nil {
		return nil, err
	}
	list, failed := listPending(t.reads)
	t.fail(failed)
	var void []string
	for i := range list {
		switch o := &list[i]; {
		case t.now > o.Expires:
			void = append(void, o.ID)
		case o.Approved == "" && o.Method == p.Method && bytes.Equal(o.Request, p.Request):
			return o, nil
		}
	}
	if kept := len(list) - len(void); kept >= wire.PendingMax {
		return nil, wire.Errorf(wire.TooLarge, "%d requests wait for a second operator or had one "+
			"in the last %s, %d allowed", kept, wire.ApprovalWait, wire.PendingMax)
	}
	for _, id := range void {
		t.del(pendingKey(id))
	}
	p.ID, p.Approved = pendingID(t.pos.Index, p), ""
	p.Asked, p.Expires = t.now, t.now.Add(wire.ApprovalWait)
	t.set(pendingKey(p.ID), wire.Encode(p))
	return p, nil
}

func validatePending(p *wire.PendingRequest) *wire.Error {
	for _, f := range []struct {
		name, text string
		required   bool
	}{{"operator", p.Operator, true}, {"action", p.Action, true}, {"subject", p.Subject, false}} {
		if err := validateText(f.name, f.text, f.required, wire.AuditTextMax); err != nil {
			return err
		}
	}
	if len(p.Request) > wire.PendingBytesMax {
		return wire.Errorf(wire.TooLarge, "a request of %d bytes, %d allowed", len(p.Request),
			wire.PendingBytesMax)
	}
	return nil
}

// approved applies the command of an audited one. When that approves a pending request, the
// request has to wait still, and has to be another operator's; it is carried out once. What the
// audit says of it goes into line. A change that goes before, as when a fence takes votes away,
// needs the same, and leaves the request waiting.
func (t *tx) approved(a *wire.Audited, line *wire.AuditLine) wire.Result {
	if t.version() < wire.VersionApprovals {
		return t.command(&a.Command)
	}
	if a.Approval == "" {
		result := t.command(&a.Command)
		var p wire.PendingRequest
		if a.Command.Kind == wire.CmdAsk && result.Err == nil &&
			wire.Decode(result.Body, &p) == nil {
			line.Approval = p.ID
		}
		return result
	}
	p := new(wire.PendingRequest)
	if !t.load(pendingKey(a.Approval), p) {
		return wire.Fail(notPending(a.Approval))
	}
	line.Approval, line.Asked = p.ID, p.Operator
	switch {
	case p.Operator == a.Operator:
		return wire.Fail(wire.Errorf(wire.Forbidden, "%s asked for it: another operator has to "+
			"approve it", p.Operator))
	case p.Approved != "" && p.Approved == a.Operator && a.Command.Kind == p.Kind:
		return wire.OK(nil) // it is done, and said again
	case p.Approved != "":
		return wire.Fail(wire.Errorf(wire.Conflict, "%s has approved it, and it was carried out",
			p.Approved))
	case t.now > p.Expires:
		return wire.Fail(wire.Errorf(wire.Conflict, "it waited until %s, and it is %s: it has to be "+
			"asked for again", p.Expires, t.now))
	}
	result := t.command(&a.Command)
	if result.Err == nil && a.Command.Kind == p.Kind {
		watched := t.watched // that the request is done is no change of what it is about
		t.watched = false
		p.Approved = a.Operator
		t.set(pendingKey(p.ID), wire.Encode(p))
		t.watched = watched
	}
	return result
}

// withdraw forgets a request that waits.
func (t *tx) withdraw(r *wire.PendingRef) (codec.Message, *wire.Error) {
	p := new(wire.PendingRequest)
	if !t.load(pendingKey(r.ID), p) {
		return nil, notPending(r.ID)
	}
	if p.Approved != "" {
		return nil, wire.Errorf(wire.Conflict, "%s has approved it, and it was carried out",
			p.Approved)
	}
	t.del(pendingKey(p.ID))
	return nil, nil
}

func notPending(id string) *wire.Error {
	return wire.Errorf(wire.NotFound, "no request %.32q waits: it was withdrawn, or has expired, or "+
		"never was", id)
}

// setApprovals sets how many operators it takes to do what hurts a region.
func (t *tx) setApprovals(a *wire.Approvals) (codec.Message, *wire.Error) {
	if a.Operators == 0 || a.Operators > wire.ApprovalsMax {
		return nil, wire.Malformedf("%d operators, 1-%d allowed", a.Operators, wire.ApprovalsMax)
	}
	return nil, t.changeMap(func(m *wire.Map) *wire.Error {
		if max(m.Approvals, 1) != a.Operators {
			m.Approvals = a.Operators
		}
		return nil
	})
}

// redatePending has no request wait longer than one that is made at a time.
func (t *tx) redatePending(at wire.Time) {
	list, err := listPending(t.reads)
	t.fail(err)
	for i := range list {
		if p := &list[i]; p.Expires > at.Add(wire.ApprovalWait) {
			p.Asked, p.Expires = min(p.Asked, at), at.Add(wire.ApprovalWait)
			t.set(pendingKey(p.ID), wire.Encode(p))
		}
	}
}

// Pending is a request that waits for a second operator, or had one; NotFound for none.
func (s *State) Pending(id string) (*wire.PendingRequest, error) {
	row, ok, err := s.db.Get(pendingKey(id))
	if err != nil {
		return nil, fmt.Errorf("federation: pending request: %w", err)
	}
	if !ok {
		return nil, notPending(id)
	}
	p := new(wire.PendingRequest)
	if err := wire.Decode(row, p); err != nil {
		return nil, fmt.Errorf("federation: damaged row of a pending request: %w", err)
	}
	return p, nil
}

// Approved reports whether a request had its second operator, and has not expired at a time.
func (s *State) Approved(m wire.Method, request []byte, now wire.Time) (bool, error) {
	list, err := s.requests()
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(list, func(p wire.PendingRequest) bool {
		return p.Approved != "" && now <= p.Expires && p.Method == m && bytes.Equal(p.Request, request)
	}), nil
}

// ListPending are the requests that wait at a time, oldest first.
func (s *State) ListPending(now wire.Time) (list []wire.PendingRequest, err error) {
	if list, err = s.requests(); err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(p wire.PendingRequest) bool {
		return p.Approved != "" || now > p.Expires
	})
	slices.SortStableFunc(list, func(a, b wire.PendingRequest) int {
		return cmp.Compare(a.Asked, b.Asked)
	})
	return list, nil
}

// requests are all that are kept: those that wait, those that had their second operator, and those
// that have expired.
func (s *State) requests() (list []wire.PendingRequest, err error) {
	err = s.db.View(func(r pebble.Reader) error {
		list, err = listPending(r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("federation: pending requests: %w", err)
	}
	return list, nil
}

func listPending(r pebble.Reader) (list []wire.PendingRequest, err error) {
	err = store.IterateFrom(r, pendingKey(""), pendingEnd, false, func(_, v []byte) (bool, error) {
		var p wire.PendingRequest
		if err := wire.Decode(slices.Clone(v), &p); err != nil {
			return false, fmt.Errorf("damaged row of a pending request: %v", err)
		}
		list = append(list, p)
		return true, nil
	})
	return list, err
}
