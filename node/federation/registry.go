package federation

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
)

// Institutions returns a page of the institutions in order of their ids.
func (s *State) Institutions(q *wire.ListRegistry) (*wire.InstitutionPage, error) {
	page := &wire.InstitutionPage{Fresh: wire.Freshness{Index: s.Position().Index}}
	next, err := list(s, "i/", q, func(i *wire.Institution) bool {
		return q.Institution == "" || i.ID == q.Institution
	}, func(i *wire.Institution) string { return string(i.ID) }, &page.List)
	page.Next = next
	return page, err
}

// Services returns a page of the services in order of their ids, without their authorized
// recipients, of which the page has no need and may have no room.
func (s *State) Services(q *wire.ListRegistry) (*wire.ServicePage, error) {
	page := &wire.ServicePage{Fresh: wire.Freshness{Index: s.Position().Index}}
	next, err := list(s, "s/", q, func(svc *wire.Service) bool {
		svc.AuthorizedRecipients, svc.SealedRecipients = nil, nil
		return q.Institution == "" || svc.Institution == q.Institution
	}, func(svc *wire.Service) string { return string(svc.ID) }, &page.List)
	page.Next = next
	return page, err
}

// list reads the rows below prefix after q.After that are wanted, as many as the bounds of a page
// allow, at least one; next is the id that the next page begins after.
func list[T any, P interface {
	*T
	codec.Message
}](s *State, prefix string, q *wire.ListRegistry, wanted func(P) bool, id func(P) string,
	to *[]T) (next string, err error) {
	limit := int(q.Limit)
	if limit == 0 || limit > wire.RegistryPageMax {
		limit = wire.RegistryPageMax
	}
	lower := []byte(prefix)
	if q.After != "" {
		lower = append(append(lower, q.After...), 0)
	}
	upper := []byte(prefix)
	upper[len(upper)-1]++
	size, last := 0, ""
	err = s.db.View(func(r pebble.Reader) error {
		return store.IterateFrom(r, lower, upper, false, func(k, v []byte) (bool, error) {
			var m T
			if err := wire.Decode(v, P(&m)); err != nil {
				return false, fmt.Errorf("damaged row %q: %v", k[:1], err)
			}
			if !wanted(&m) {
				return true, nil
			}
			size += len(wire.Encode(P(&m)))
			if len(*to) == limit || len(*to) > 0 && size > wire.RegistryPageBytesMax {
				next = last
				return false, nil
			}
			*to, last = append(*to, m), id(&m)
			return true, nil
		})
	})
	if err != nil {
		return "", fmt.Errorf("federation: a list: %w", err)
	}
	return next, nil
}

// CheckInstitution says what is wrong with an institution, as its put would be refused.
func CheckInstitution(i *wire.Institution) error {
	if err := validateInstitution(i); err != nil {
		return err
	}
	return nil
}
