package federation

import (
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// ActiveVersion is the newest version whose kinds of commands may be logged: the map's, and the
// first before there is a map or while it names none.
func (s *State) ActiveVersion() uint32 {
	f := s.founded.Load()
	if f == nil {
		return wire.VersionMin
	}
	return max(f.m.ActiveVersion, wire.VersionMin)
}

// finalise moves the map's active version on, never back. A replica whose program does not reach
// as far stops, before it meets a kind that it does not know.
func (t *tx) finalise(r *wire.RaiseVersion) (codec.Message, *wire.Error) {
	if r.Version > wire.Version {
		t.fail(tooNew(r.Version))
		return nil, nil
	}
	return nil, t.changeMap(func(m *wire.Map) *wire.Error {
		if r.Version > max(m.ActiveVersion, wire.VersionMin) {
			m.ActiveVersion = r.Version
		}
		return nil
	})
}

// tooNew stops a replica whose program is older than its group.
func tooNew(version uint32) error {
	return wire.Errorf(wire.UnknownKind, "the federation has gone on to version %d of its log, "+
		"this program knows versions up to %d", version, wire.Version)
}
