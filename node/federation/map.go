package federation

import (
	"bytes"

	"github.com/staffetta/staffetta/wire"
)

// changeMap applies a change to a copy of the map and puts the copy in its place, with the next
// version, when it is valid and differs. change may refuse; then nothing changes. NotReady before
// the founding.
func (t *tx) changeMap(change func(*wire.Map) *wire.Error) *wire.Error {
	if t.founded == nil {
		return wire.Errorf(wire.NotReady, "the federation is not founded yet")
	}
	before := wire.Encode(t.founded.m)
	m := new(wire.Map)
	if err := wire.Decode(before, m); err != nil {
		return wire.AsError(err)
	}
	if err := change(m); err != nil {
		return err
	}
	if bytes.Equal(wire.Encode(m), before) {
		return nil
	}
	m.Version++
	if err := validateMap(m); err != nil {
		return err
	}
	t.set(mapKey, wire.Encode(m))
	t.founded = newFounding(m)
	t.tell(&wire.FeedEvent{Map: m})
	return nil
}
