package region

import (
	"encoding/binary"

	"github.com/staffetta/staffetta/wire"
)

// ActiveVersion is the newest version whose kinds of commands may be logged in this group.
func (s *State) ActiveVersion() uint32 { return s.version.Load() }

// raiseVersion moves the group's active version on, never back. A replica whose program does not
// reach as far stops, before it meets a kind that it does not know.
func (s *State) raiseVersion(c *change, m *wire.RaiseVersion) (wire.Result, error) {
	if m.Version <= c.version {
		return wire.OK(nil), nil
	}
	if m.Version > wire.Version {
		return wire.Result{}, tooNew(m.Version)
	}
	before := c.version
	c.version = m.Version
	if before < wire.VersionOffered {
		if err := offerAll(c); err != nil {
			return wire.Result{}, err
		}
	}
	return wire.OK(nil), c.set(versionKey(), binary.BigEndian.AppendUint32(nil, m.Version))
}

// tooNew stops a replica whose program is older than its group.
func tooNew(version uint32) error {
	return wire.Errorf(wire.UnknownKind, "the region has gone on to version %d of its log, this "+
		"program knows versions up to %d", version, wire.Version)
}

// loadVersion takes the active version over from disk; a group that never raised it has the first.
func (s *State) loadVersion() error {
	v, ok, err := s.db.Get(versionKey())
	if err != nil {
		return err
	}
	version := uint32(wire.VersionMin)
	if ok {
		if len(v) != 4 {
			return errDamaged(versionKey())
		}
		version = binary.BigEndian.Uint32(v)
	}
	if version > wire.Version {
		return tooNew(version)
	}
	s.version.Store(version)
	return nil
}
