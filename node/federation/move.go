package federation

import (
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// orderMove holds an operator's order against map and directory, and answers the code's entry. It
// changes nothing: the owner's log decides. NotFound when the map has no such region; Conflict
// when nobody owns the code, or it is moving elsewhere.
func (t *tx) orderMove(m *wire.MoveOrder) (codec.Message, *wire.Error) {
	switch {
	case t.founded == nil:
		return nil, wire.Errorf(wire.NotReady, "the federation is not founded yet")
	case m.Recipient.IsZero():
		return nil, wire.Malformedf("an order to move names a citizen")
	}
	if _, ok := t.founded.tags[m.To]; !ok {
		return nil, wire.Errorf(wire.NotFound, "no region %q on the map", m.To)
	}
	var row directoryRow
	if b, ok := t.get(appendDirectoryKey(nil, m.Recipient)); ok {
		var err error
		row, err = decodeDirectoryRow(b)
		t.fail(err)
	}
	e := row.entry(t.founded)
	switch {
	case e.State == wire.Unclaimed:
		return nil, wire.Errorf(wire.Conflict, "nobody has claimed the fiscal code: its first "+
			"login decides where it belongs")
	case e.State == wire.ClaimPending:
		return nil, wire.Errorf(wire.Conflict, "region %s is claiming the fiscal code: try again "+
			"when that is done", e.Region)
	case m.Abort && (e.State != wire.Moving || e.To != m.To):
		// It may be intended only: the owner's log knows.
	case e.State == wire.Moving && e.To != m.To:
		return nil, wire.Errorf(wire.Conflict, "the fiscal code is moving from region %s to "+
			"region %s: let it arrive, or abort that move", e.Region, e.To)
	}
	return &e, nil
}

// orderRegion holds an operator's order to a region against the map, and changes nothing.
func (t *tx) orderRegion(o *wire.RegionOrder) (codec.Message, *wire.Error) {
	switch {
	case t.founded == nil:
		return nil, wire.Errorf(wire.NotReady, "the federation is not founded yet")
	case o.Kind.Action() == "":
		return nil, wire.Malformedf("no order to a region is of kind %d", o.Kind)
	case o.Region == o.Other:
		return nil, wire.Malformedf("an order to region %.40q that is about itself", o.Region)
	}
	for _, r := range []wire.RegionID{o.Region, o.Other} {
		if _, ok := t.founded.tags[r]; !ok {
			return nil, wire.Errorf(wire.NotFound, "no region %.40q on the map", r)
		}
	}
	return nil, nil
}
