package federation

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
)

// Map returns the federation's map, which must not be changed, or false before the founding.
func (s *State) Map() (*wire.Map, bool) {
	f := s.founded.Load()
	if f == nil {
		return nil, false
	}
	return f.m, true
}

// ServiceByKey returns the service that has the key, with its institution; NotFound for a key
// that nobody has, or has any more.
func (s *State) ServiceByKey(k wire.KeyHash) (*wire.ServiceAccess, error) {
	if k == (wire.KeyHash{}) {
		return nil, wire.Errorf(wire.NotFound, "no such key")
	}
	return s.access(func(r pebble.Reader) (wire.ServiceID, error) {
		id, ok, err := store.GetFrom(r, nil, keyKey(k))
		if err == nil && !ok {
			err = wire.Errorf(wire.NotFound, "no such key")
		}
		return wire.ServiceID(id), err
	}, func(svc *wire.Service) error {
		// The key may have been revoked between the two reads.
		if svc.Keys[0] != k && svc.Keys[1] != k {
			return wire.Errorf(wire.NotFound, "no such key")
		}
		return nil
	})
}

// ServiceByID returns a service with its institution, or NotFound.
func (s *State) ServiceByID(id wire.ServiceID) (*wire.ServiceAccess, error) {
	return s.access(func(pebble.Reader) (wire.ServiceID, error) {
		if !id.Valid() {
			return "", wire.Errorf(wire.NotFound, "no such service")
		}
		return id, nil
	}, func(*wire.Service) error { return nil })
}

func (s *State) access(find func(pebble.Reader) (wire.ServiceID, error),
	check func(*wire.Service) error) (*wire.ServiceAccess, error) {
	a := &wire.ServiceAccess{Index: s.Position().Index}
	err := s.db.View(func(r pebble.Reader) error {
		id, err := find(r)
		if err != nil {
			return err
		}
		if err := read(r, serviceKey(id), &a.Service, "no such service"); err != nil {
			return err
		}
		if err := check(&a.Service); err != nil {
			return err
		}
		return read(r, institutionKey(a.Service.Institution), &a.Institution,
			"no such institution")
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Institution returns an institution, or NotFound.
func (s *State) Institution(id wire.InstitutionID) (*wire.Institution, error) {
	i := new(wire.Institution)
	err := s.db.View(func(r pebble.Reader) error {
		return read(r, institutionKey(id), i, "no such institution")
	})
	if err != nil {
		return nil, err
	}
	return i, nil
}

// read decodes the row of key into m.
func read(r pebble.Reader, key []byte, m codec.Message, absent string) error {
	row, ok, err := store.GetFrom(r, nil, key)
	switch {
	case err != nil:
		return fmt.Errorf("federation: reading a row: %w", err)
	case !ok:
		return wire.Errorf(wire.NotFound, "%s", absent)
	}
	if err := wire.Decode(row, m); err != nil {
		return fmt.Errorf("federation: damaged row %q: %v", key[:1], err)
	}
	return nil
}
