package federation

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
)

// directory applies operations in order. They are checked first: one that is malformed, or that
// names a region which is not on the map, fails them all. After that each decides for itself,
// and its result is the entry as it then is:
//
//	OpClaim      Unclaimed → ClaimPending by Region at epoch 1. Holds as well when Region already
//	             has the code at epoch 1, pending or claimed: a claim that is sent again.
//	OpOwn        ClaimPending by Region at Epoch → Claimed, with Active as given. Holds as well
//	             when Region already owns the code at Epoch; Active then stays.
//	OpSetActive  Claimed by Region at Epoch → the same with Active as given.
//
// In every other case the operation does not hold and changes nothing.
func (t *tx) directory(ops *wire.DirectoryOps) (codec.Message, *wire.Error) {
	if t.founded == nil {
		return nil, wire.Errorf(wire.Conflict, "the federation is not founded yet")
	}
	if len(ops.List) > directoryOpsMax {
		return nil, wire.Errorf(wire.TooLarge, "%d operations, %d allowed", len(ops.List),
			directoryOpsMax)
	}
	for i := range ops.List {
		if err := t.checkOp(&ops.List[i]); err != nil {
			return nil, err
		}
	}
	results := &wire.DirectoryResults{List: make([]wire.DirectoryResult, len(ops.List))}
	for i := range ops.List {
		results.List[i] = t.directoryOp(&ops.List[i])
	}
	return results, nil
}

func (t *tx) checkOp(o *wire.DirectoryOp) *wire.Error {
	switch {
	case o.Kind < wire.OpClaim || o.Kind > wire.OpSetActive:
		return wire.Errorf(wire.UnknownKind, "operation %d on the directory", o.Kind)
	case o.Recipient.IsZero():
		return wire.Malformedf("operation on no code")
	case o.Kind == wire.OpClaim && o.Epoch > 1:
		return wire.Malformedf("a claim is of epoch 1, not %d", o.Epoch)
	case o.Kind != wire.OpClaim && o.Epoch == 0:
		return wire.Malformedf("operation on a claimed code without epoch")
	}
	if _, ok := t.founded.tags[o.Region]; !ok {
		return wire.Errorf(wire.NotFound, "no region %q on the map", o.Region)
	}
	return nil
}

func (t *tx) directoryOp(o *wire.DirectoryOp) wire.DirectoryResult {
	key := appendDirectoryKey(nil, o.Recipient)
	var row directoryRow
	if b, ok := t.get(key); ok {
		var err error
		row, err = decodeDirectoryRow(b)
		t.fail(err)
	}
	after, ok := transition(row, o, t.founded.tags[o.Region])
	if ok && after != row {
		t.set(key, after.encode(nil))
		t.tellDirectory(o.Recipient, after)
	}
	return wire.DirectoryResult{OK: ok, Entry: after.entry(t.founded)}
}

// transition is the directory's rule; see directory.
func transition(d directoryRow, o *wire.DirectoryOp, by wire.RegionTag) (directoryRow, bool) {
	epoch := o.Epoch
	if o.Kind == wire.OpClaim {
		epoch = 1
	}
	if d.state == wire.Unclaimed {
		if o.Kind != wire.OpClaim {
			return d, false
		}
		return directoryRow{region: by, epoch: epoch, state: wire.ClaimPending}, true
	}
	if d.region != by || d.epoch != epoch {
		return d, false
	}
	switch {
	case o.Kind == wire.OpOwn && d.state == wire.ClaimPending:
		d.state, d.active = wire.Claimed, o.Active
	case o.Kind == wire.OpSetActive:
		if d.state != wire.Claimed {
			return d, false
		}
		d.active = o.Active
	}
	return d, true
}

// Resolve appends to dst what the directory says of each recipient, in order, as of index or
// later. An entry's Region is the owner: the anchor, with epoch 0, for a code that nobody has
// claimed, or whose claim is pending; State says which. NotReady before the founding.
func (s *State) Resolve(dst []wire.DirectoryEntry, recipients []wire.Recipient) (index uint64,
	entries []wire.DirectoryEntry, err error) {
	if len(recipients) > wire.ResolveMax {
		return 0, dst, wire.Errorf(wire.TooLarge, "%d recipients, %d allowed", len(recipients),
			wire.ResolveMax)
	}
	index = s.Position().Index
	f := s.founded.Load()
	if f == nil {
		return index, dst, wire.Errorf(wire.NotReady, "the federation is not founded yet")
	}
	err = s.db.View(func(r pebble.Reader) error {
		buf := make([]byte, 0, 64)
		for _, recipient := range recipients {
			row, err := readDirectory(r, buf, recipient)
			if err != nil {
				return err
			}
			dst = append(dst, row.resolved(f, recipient))
		}
		return nil
	})
	return index, dst, err
}

// Directory returns the directory's entry for one code as it is: for ClaimPending, Region is the
// one that claims; for Unclaimed, everything is zero. NotReady before the founding.
func (s *State) Directory(recipient wire.Recipient) (e wire.DirectoryEntry, err error) {
	f := s.founded.Load()
	if f == nil {
		return e, wire.Errorf(wire.NotReady, "the federation is not founded yet")
	}
	err = s.db.View(func(r pebble.Reader) error {
		row, err := readDirectory(r, nil, recipient)
		e = row.entry(f)
		return err
	})
	return e, err
}

func readDirectory(r pebble.Reader, buf []byte, recipient wire.Recipient) (directoryRow, error) {
	key := appendDirectoryKey(buf, recipient)
	row, ok, err := store.GetFrom(r, key[len(key):], key)
	if err != nil {
		return directoryRow{}, fmt.Errorf("federation: reading the directory: %w", err)
	}
	if !ok {
		return directoryRow{}, nil
	}
	d, err := decodeDirectoryRow(row)
	if err != nil {
		return directoryRow{}, fmt.Errorf("federation: %w", err)
	}
	return d, nil
}
