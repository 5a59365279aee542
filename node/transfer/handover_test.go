package transfer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// anchorOf plays an anchor that answers at most so many handovers at once, and refuses a code.
type anchorOf struct {
	most    int
	refused wire.Recipient
	calls   []int // codes per call
}

func (a *anchorOf) Call(_ context.Context, _ link.Peer, _ wire.Method, req []byte) ([]byte, error) {
	var batch wire.ReleaseBatch
	if err := wire.Decode(req, &batch); err != nil {
		return nil, err
	}
	a.calls = append(a.calls, len(batch.List))
	if len(batch.List) > a.most {
		return nil, wire.Errorf(wire.TooLarge, "%d handovers", len(batch.List))
	}
	var results wire.Results
	for _, r := range batch.List {
		if r.Recipient == a.refused {
			results.List = append(results.List, wire.Fail(wire.Errorf(wire.Conflict, "not here")))
			continue
		}
		results.List = append(results.List, wire.OK(&wire.RowPage{}))
	}
	return wire.Encode(&results), nil
}

// TestReleaseInHalves asks for more than fits into one answer, and one code is not released.
func TestReleaseInHalves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		anchor := &anchorOf{most: 2, refused: wire.Recipient{1}}
		n := &Transfer{Seat: &seat.Seat{Leaders: link.NewLeaders(anchor), RegionQueue: queueOf(t, echo{}),
			Founding: &wire.Map{Nodes: []wire.Node{{ID: "a", Region: "sicilia"}}}}}
		c := &claims{Transfer: n, waits: map[wire.Recipient][]chan error{}}
		var list []wire.Release
		var waits []chan error
		for i := range 7 {
			r := wire.Recipient{byte(i + 1)}
			list = append(list, wire.Release{Recipient: r, To: "lazio", Epoch: 1})
			waits = append(waits, make(chan error, 1))
			c.waits[r] = append(c.waits[r], waits[i])
		}
		// The refused code is the first: what follows must not hide its error.
		if err := c.release(t.Context(), "sicilia", list); !errors.Is(err, wire.Conflict) {
			t.Errorf("one code is refused: %v, want a conflict", err)
		}
		for i, wait := range waits {
			select {
			case err := <-wait:
				if i == 0 || err != nil {
					t.Errorf("code %d: %v", i, err)
				}
			default:
				if i != 0 {
					t.Errorf("code %d was not imported", i)
				}
			}
		}
		for _, codes := range anchor.calls[1:] {
			if codes == 7 {
				t.Errorf("asked again for all: %v", anchor.calls)
			}
		}
	})
}

// echo is a group: a command's result is its body.
type echo struct{}

func (echo) Propose(_ context.Context, data []byte) (any, error) {
	e, err := wire.DecodeEntry(data)
	if err != nil {
		return nil, err
	}
	var commands wire.Commands
	if err := wire.Decode(e.Body, &commands); err != nil {
		return nil, err
	}
	results := new(wire.Results)
	for _, c := range commands.List {
		results.List = append(results.List, wire.Result{Body: c.Body})
	}
	return results, nil
}

// queueOf runs a queue for a group until the test ends.
func queueOf(t *testing.T, group seat.Proposer) *seat.Queue {
	t.Helper()
	q := seat.NewQueue(group, func(_ context.Context, kind wire.EntryKind, body []byte) ([]byte,
		error) {
		return wire.EncodeEntry(kind, wire.TimeOf(time.Now()), body), nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return q
}
