package region

import (
	"encoding/binary"

	"github.com/staffetta/staffetta/wire"
)

func regionKeyKey(id uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{spoolPrefix, spoolRegionKeys}, id)
}

// regionKey keeps a new key pair of the region. One that is not newer than the newest is a
// Conflict. The older ones stay, since blocks sealed to them may wait anywhere; the oldest of
// more than wire.RegionKeysMax goes.
func (s *State) regionKey(c *change, k *wire.PrivateRegionKey) (wire.Result, error) {
	if err := k.Validate(); err != nil {
		return wire.Fail(wire.AsError(err)), nil
	}
	rows, err := c.scan(regionKeyKey(0), after(regionKeyKey(0)[:2]), false, wire.RegionKeysMax+1)
	if err != nil {
		return wire.Result{}, err
	}
	if n := len(rows); n > 0 {
		if newest := binary.BigEndian.Uint32(rows[n-1].Key[2:]); k.ID <= newest {
			return failf(wire.Conflict, "region key %d, there is %d already", k.ID, newest)
		}
	}
	if len(rows) >= wire.RegionKeysMax {
		if err := c.del(rows[0].Key); err != nil {
			return wire.Result{}, err
		}
	}
	k.At = c.clock.Now
	c.spooled = true
	return wire.OK(nil), c.setRow(regionKeyKey(k.ID), k)
}

// RegionKey returns a key pair of the region by its number. NotFound when there is none.
func (s *State) RegionKey(id uint32) (*wire.PrivateRegionKey, error) {
	k := new(wire.PrivateRegionKey)
	ok, err := s.getRow(regionKeyKey(id), k)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, wire.Errorf(wire.NotFound, "this region has no key %d", id)
	}
	return k, nil
}

// NewestRegionKey returns the key pair that blocks for this region are to be sealed to; nil when
// there is none yet.
func (s *State) NewestRegionKey() (k *wire.PrivateRegionKey, err error) {
	lower := regionKeyKey(0)
	err = s.db.Iterate(lower, after(lower[:2]), true, func(key, v []byte) (bool, error) {
		k = new(wire.PrivateRegionKey)
		return false, decodeRow(key, append([]byte(nil), v...), k)
	})
	return k, err
}
