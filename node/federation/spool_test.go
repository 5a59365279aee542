package federation

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

func TestPublishRegionKey(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	succeed(t, s, command(wire.CmdFound, testMap("lazio", "sicilia")))
	publish := func(region wire.RegionID, id uint32, fill byte) *wire.Error {
		return apply(t, s, command(wire.CmdPublishRegionKey, &wire.PublishRegionKey{Region: region,
			Key: wire.RegionKey{ID: id, Public: bytes.Repeat([]byte{fill}, 1216)}}))[0].Err
	}
	keys := func() (ids []uint32) {
		m, _ := s.Map()
		r, _ := m.RegionByID("sicilia")
		for _, k := range r.Keys {
			ids = append(ids, k.ID)
		}
		return ids
	}
	for _, step := range []struct {
		region wire.RegionID
		id     uint32
		fill   byte
		code   wire.Code // 0: it is taken
		keys   []uint32
	}{
		{"sicilia", 1, 1, 0, []uint32{1}},
		{"sicilia", 1, 1, 0, []uint32{1}},
		{"sicilia", 1, 2, wire.Conflict, []uint32{1}},
		{"sicilia", 3, 3, 0, []uint32{1, 3}},
		{"sicilia", 1, 1, 0, []uint32{1, 3}},
		{"sicilia", 2, 2, wire.Conflict, []uint32{1, 3}},
		{"sicilia", 4, 4, 0, []uint32{3, 4}},
		{"puglia", 1, 1, wire.NotFound, []uint32{3, 4}},
		{"sicilia", 0, 1, wire.Malformed, []uint32{3, 4}},
	} {
		before, _ := s.Map()
		err := publish(step.region, step.id, step.fill)
		if step.code == 0 && err != nil || step.code != 0 && (err == nil || err.Code != step.code) {
			t.Errorf("key %d of %s: %v, want code %v", step.id, step.region, err, step.code)
		}
		if got := keys(); len(got) != len(step.keys) || got[0] != step.keys[0] ||
			got[len(got)-1] != step.keys[len(step.keys)-1] {
			t.Errorf("after key %d: the map has %v, want %v", step.id, got, step.keys)
		}
		if after, _ := s.Map(); step.code != 0 && after.Version != before.Version {
			t.Errorf("key %d was refused and made version %d of the map", step.id, after.Version)
		}
	}
}
