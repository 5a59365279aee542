package seat

import (
	"context"
	"errors"
	"slices"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

type rehearsalKey struct{}

// errRehearsed ends a rehearsed call where it would be logged.
var errRehearsed = errors.New("rehearsed")

// Rehearse answers an operator's call of the federation's leader up to where it would be logged,
// with all that is looked at before, so that a dry run is refused what the call would be. What a
// queue takes in a rehearsal is nothing. Nil: it would be logged. A call that is answered elsewhere
// is only asked whether this operator may make it.
func (s *Seat) Rehearse(ctx context.Context, from link.Identity, m wire.Method, req []byte) error {
	if refusal := s.Permit(from, link.GrantsIn(ctx), m, req); refusal != nil {
		return refusal
	}
	c := s.Table[m]
	if c == nil || c.Answer == nil || c.At != FederationLeads {
		return nil
	}
	if !slices.Contains(c.By.Roles, from.Role) { // whom the link would not let in
		return wire.Errorf(wire.Forbidden, "method %d is not for a %s", m, from.Role)
	}
	_, err := c.Answer(context.WithValue(ctx, rehearsalKey{}, true), from, req)
	if errors.Is(err, errRehearsed) {
		return nil
	}
	return err
}

// rehearsing reports whether nothing may come of what ctx is for.
func rehearsing(ctx context.Context) bool { return ctx.Value(rehearsalKey{}) != nil }
