package operator

import (
	"context"
	"errors"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

type rehearsalKey struct{}

// Rehearse is a context in which calls to a leader are not made: the leader is asked whether this
// operator might make them, so that a dry run fails where the command would be refused.
func Rehearse(ctx context.Context) context.Context {
	return context.WithValue(ctx, rehearsalKey{}, true)
}

// perform is a context in which calls are made, though it was one to rehearse in: the call says
// itself that nothing is to change.
func perform(ctx context.Context) context.Context {
	return context.WithValue(ctx, rehearsalKey{}, false)
}

func rehearsing(ctx context.Context) bool {
	dry, _ := ctx.Value(rehearsalKey{}).(bool)
	return dry
}

// rehearsed is the call to make instead of m.
func rehearsed(ctx context.Context, m wire.Method, req codec.Message) (wire.Method, codec.Message,
	bool) {
	if !rehearsing(ctx) {
		return m, req, false
	}
	return wire.MethodMay, &wire.May{Method: m, Request: encode(req)}, true
}

// unrehearsed forgives a node whose program knows no rights, and so refuses nobody.
func unrehearsed(dry bool, err error) error {
	if dry && errors.Is(err, wire.UnknownKind) {
		return nil
	}
	return err
}

// Whoami asks the nodes that the operator named who this operator is to them; the first answer
// counts.
func (c *Client) Whoami(ctx context.Context) (*wire.Whoami, error) {
	w := new(wire.Whoami)
	return w, c.read(ctx, wire.MethodWhoami, nil, w)
}
