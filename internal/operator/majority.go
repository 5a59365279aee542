package operator

import (
	"context"
	"errors"
	"time"

	"github.com/staffetta/staffetta/internal/backoff"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// majorityPause is how long the federation's leader may think before its voters are asked whether
// there can be one, and the time between two such questions.
const majorityPause = 500 * time.Millisecond

// noMajority is the error of a call that no leader of the federation answers, since none can be
// elected.
type noMajority struct{ cause *wire.Error }

func (e *noMajority) Error() string { return e.cause.Error() }

// Unwrap leaves the code to those who look for it.
func (e *noMajority) Unwrap() error { return e.cause }

// NoMajority reports whether an error says that the federation's group has no majority: nothing is
// gained by trying again before its nodes are back.
func NoMajority(err error) bool {
	var e *noMajority
	return errors.As(err, &e)
}

// whileLed makes a call of the federation's leader, and ends it once too few of its voters answer
// for any leader: waiting would not help.
func (c *Client) whileLed(ctx context.Context, voters []wire.NodeID,
	call func(context.Context) ([]byte, error)) ([]byte, error) {
	calling, stop := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	defer func() { stop(nil); <-watched }()
	go func() {
		defer close(watched)
		for backoff.Pause(calling, majorityPause) {
			if s := c.standstill(calling, voters); s != nil && calling.Err() == nil {
				stop(&noMajority{wire.Errorf(wire.Unavailable, "%s", s)})
			}
		}
	}()
	answer, err := call(calling)
	var none *noMajority
	if err == nil || !wire.Retriable(err) || !errors.As(context.Cause(calling), &none) {
		return answer, err
	}
	if errors.Is(err, wire.OutcomeUnknown) {
		return nil, &noMajority{wire.Errorf(wire.OutcomeUnknown, "%s; what a node had taken before "+
			"is withdrawn with its time, and `staffetta admin audit` shows whether it was done",
			none.cause.Detail)}
	}
	return nil, none
}

// standstill asks the federation's voters, directly and through each other, and returns what is the
// matter when too few answer; nil when there may be a leader.
func (c *Client) standstill(ctx context.Context, voters []wire.NodeID) *standstill {
	m := c.view.Load()
	if m == nil {
		return nil
	}
	var views []NodeView
	for _, id := range voters {
		if n, there := m.Node(id); there {
			views = append(views, newView(&n))
		}
	}
	c.ask(ctx, views)
	return standstillOf(link.FederationGroup, views)
}
