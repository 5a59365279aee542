package operator

import (
	"context"
	"errors"

	"github.com/staffetta/staffetta/wire"
)

// Approve carries out the request of another operator that waits under an id.
func (c *Client) Approve(ctx context.Context, id string) error {
	return c.call(ctx, wire.MethodApprove, &wire.PendingRef{ID: id})
}

// Withdraw has a request not wait any more.
func (c *Client) Withdraw(ctx context.Context, id string) error {
	return c.call(ctx, wire.MethodWithdraw, &wire.PendingRef{ID: id})
}

// Pending are the requests that wait for a second operator.
func (c *Client) Pending(ctx context.Context) (*wire.PendingList, error) {
	list := new(wire.PendingList)
	return list, c.read(ctx, wire.MethodListPending, nil, list)
}

// SetApprovals sets how many operators it takes to do what hurts a region.
func (c *Client) SetApprovals(ctx context.Context, operators uint32) error {
	return c.call(ctx, wire.MethodSetApprovals, &wire.Approvals{Operators: operators})
}

// Each makes one call for each element. Calls that wait for a second operator do not keep it from
// making the others; any other error does. The error is AwaitsApproval if some wait.
func Each[T any](list []T, do func(T) error) error {
	var waits []error
	for _, e := range list {
		switch err := do(e); {
		case errors.Is(err, wire.AwaitsApproval):
			waits = append(waits, err)
		case err != nil:
			return err
		}
	}
	return errors.Join(waits...)
}
