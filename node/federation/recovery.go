package federation

import (
	"slices"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// setRecoveryKey puts the public key on the map to which copies of a region's state are sealed, in
// place of the one there was.
func (t *tx) setRecoveryKey(s *wire.SetRecoveryKey) (codec.Message, *wire.Error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return nil, t.changeMap(func(m *wire.Map) *wire.Error {
		i := slices.IndexFunc(m.Regions, func(r wire.Region) bool { return r.ID == s.Region })
		if i < 0 {
			return wire.Errorf(wire.NotFound, "the map has no region %q", s.Region)
		}
		m.Regions[i].Recovery = s.Public
		return nil
	})
}
