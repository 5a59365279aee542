package federation

import (
	"bytes"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// publishRegionKey puts a region's public key on the map, in place of the oldest when there are
// enough. A key that is there changes nothing; one whose number is not above the newest is a
// Conflict.
func (t *tx) publishRegionKey(p *wire.PublishRegionKey) (codec.Message, *wire.Error) {
	if err := p.Key.Validate(); err != nil {
		return nil, wire.AsError(err)
	}
	return nil, t.changeMap(func(m *wire.Map) *wire.Error {
		for i := range m.Regions {
			if r := &m.Regions[i]; r.ID == p.Region {
				return addRegionKey(r, p.Key)
			}
		}
		return wire.Errorf(wire.NotFound, "the map has no region %q", p.Region)
	})
}

func addRegionKey(r *wire.Region, key wire.RegionKey) *wire.Error {
	for _, k := range r.Keys {
		if k.ID == key.ID && bytes.Equal(k.Public, key.Public) {
			return nil
		}
	}
	if n := len(r.Keys); n > 0 && r.Keys[n-1].ID >= key.ID {
		return wire.Errorf(wire.Conflict, "key %d of region %s, the map has %d already", key.ID,
			r.ID, r.Keys[n-1].ID)
	}
	r.Keys = append(r.Keys, key)
	r.Keys = r.Keys[max(0, len(r.Keys)-wire.RegionKeysPublic):]
	return nil
}
