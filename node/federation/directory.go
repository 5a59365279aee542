package federation

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
	"golang.org/x/sync/errgroup"
)

// resolveTogether recipients are looked up one after the other, and more of them beside these.
const resolveTogether = 32

// directory applies operations in order. They are checked first: one that is malformed, or that
// names a region which is not on the map, is refused, and fails them all below VersionOwners: what
// region or code one is about is nothing to the others. After that each decides for itself, and its
// result is the entry as it then is:
//
//	OpClaim        Unclaimed → ClaimPending by Region at epoch 1. Holds as well when Region
//	               already has the code at epoch 1, pending or claimed: a claim sent again.
//	OpOwn          ClaimPending by Region at Epoch, or Moving to Region for Epoch → Claimed, with
//	               Active as given. Holds as well when Region already owns the code at Epoch;
//	               Active then stays.
//	OpSetActive    Claimed by Region at Epoch, or Moving away from there → the same with Active
//	               as given.
//	OpMove         Region has the code at Epoch → Moving to To, for the epoch after it. Holds as
//	               well when it is Moving so already.
//	OpMoveAborted  Moving away from Region for Epoch, or not yet → Claimed by Region at the epoch
//	               after Epoch. Holds as well when it is so already.
//
// In every other case the operation does not hold and changes nothing. A region speaks for itself
// only, by its own log: when it says that it has a code at an epoch, the claim or the move that
// gave it the code is done, though the directory may not have been told yet.
//
// OpMoveAborted takes the epoch after even when OpMove never came: one that is still on its way
// then finds another epoch.
func (t *tx) directory(ops *wire.DirectoryOps) (codec.Message, *wire.Error) {
	return t.directoryOps(ops, wire.OpSetActive)
}

// moveDirectory is directory with the operations of moves. It is a kind of its own, since a
// replica that did not know them would decide otherwise.
func (t *tx) moveDirectory(ops *wire.DirectoryOps) (codec.Message, *wire.Error) {
	return t.directoryOps(ops, wire.OpMoveAborted)
}

func (t *tx) directoryOps(ops *wire.DirectoryOps, last wire.DirectoryOpKind) (codec.Message,
	*wire.Error) {
	if t.founded == nil {
		return nil, wire.Errorf(wire.Conflict, "the federation is not founded yet")
	}
	if len(ops.List) > directoryOpsMax {
		return nil, wire.Errorf(wire.TooLarge, "%d operations, %d allowed", len(ops.List),
			directoryOpsMax)
	}
	results := &wire.DirectoryResults{List: make([]wire.DirectoryResult, len(ops.List))}
	for i := range ops.List {
		err := t.checkOp(&ops.List[i], last)
		if err != nil && t.founded.m.ActiveVersion < wire.VersionOwners {
			return nil, err
		}
		results.List[i].Err = err
	}
	if err := t.checkReported(ops); err != nil {
		return nil, err
	}
	for i := range ops.List {
		if results.List[i].Err != nil {
			continue
		}
		results.List[i] = t.directoryOp(&ops.List[i])
	}
	return results, nil
}

func (t *tx) checkOp(o *wire.DirectoryOp, last wire.DirectoryOpKind) *wire.Error {
	switch {
	case o.Kind < wire.OpClaim || o.Kind > last:
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
	if o.Kind == wire.OpClaim && t.founded.closing(o.Region) {
		return wire.Errorf(wire.Conflict, "region %q is closing", o.Region)
	}
	if o.Kind != wire.OpMove {
		return nil
	}
	if o.Region == o.To {
		return wire.Malformedf("a move from region %q to itself", o.To)
	}
	if _, ok := t.founded.tags[o.To]; !ok {
		return wire.Errorf(wire.NotFound, "no region %q on the map", o.To)
	}
	if t.founded.closing(o.To) {
		return wire.Errorf(wire.Conflict, "region %q is closing", o.To)
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
	after, ok := transition(row, o, t.founded.tags[o.Region], t.founded.tags[o.To])
	if ok && after != row {
		t.set(key, after.encode(nil))
		t.tellDirectory(o.Recipient, after)
	}
	return wire.DirectoryResult{OK: ok, Entry: after.entry(t.founded)}
}

// transition is the directory's rule; see directory.
func transition(d directoryRow, o *wire.DirectoryOp, by, to wire.RegionTag) (directoryRow, bool) {
	switch o.Kind {
	case wire.OpClaim:
		return d.claim(by)
	case wire.OpOwn:
		return d.own(by, o.Epoch, o.Active)
	case wire.OpSetActive:
		if d.state == wire.ClaimPending || !d.is(by, o.Epoch) {
			return d, false
		}
		d.active = o.Active
		return d, true
	case wire.OpMove:
		return d.move(by, o.Epoch, to)
	}
	return d.abortMove(by, o.Epoch)
}

// is reports whether the row names a region and an epoch, at whatever state.
func (d directoryRow) is(region wire.RegionTag, epoch wire.Epoch) bool {
	return d.state != wire.Unclaimed && d.region == region && d.epoch == epoch
}

// isFor reports whether the row is Moving, to a region and for an epoch.
func (d directoryRow) isFor(region wire.RegionTag, epoch wire.Epoch) bool {
	return d.state == wire.Moving && d.to == region && d.epoch+1 == epoch
}

func (d directoryRow) claim(by wire.RegionTag) (directoryRow, bool) {
	if d.state == wire.Unclaimed {
		return directoryRow{region: by, epoch: 1, state: wire.ClaimPending}, true
	}
	return d, d.is(by, 1)
}

func (d directoryRow) own(by wire.RegionTag, epoch wire.Epoch, active bool) (directoryRow, bool) {
	if d.is(by, epoch) && d.state == wire.ClaimPending || d.isFor(by, epoch) {
		return directoryRow{region: by, epoch: epoch, state: wire.Claimed, active: active}, true
	}
	return d, d.is(by, epoch)
}

func (d directoryRow) move(by wire.RegionTag, epoch wire.Epoch, to wire.RegionTag) (directoryRow,
	bool) {
	if d.is(by, epoch) && d.state == wire.Moving {
		return d, d.to == to
	}
	if d.is(by, epoch) || d.isFor(by, epoch) {
		return directoryRow{region: by, epoch: epoch, state: wire.Moving, active: d.active,
			to: to}, true
	}
	return d, false
}

// abortMove ends the move for an epoch.
func (d directoryRow) abortMove(by wire.RegionTag, epoch wire.Epoch) (directoryRow, bool) {
	if d.is(by, epoch-1) || d.isFor(by, epoch-1) {
		return directoryRow{region: by, epoch: epoch + 1, state: wire.Claimed,
			active: d.active}, true
	}
	return d, d.is(by, epoch+1) && d.state != wire.ClaimPending
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
	from := len(dst)
	dst = append(dst, make([]wire.DirectoryEntry, len(recipients))...)
	var g errgroup.Group
	for at := 0; at < len(recipients); at += resolveTogether {
		part := recipients[at:min(at+resolveTogether, len(recipients))]
		read := func() error { return s.resolve(f, dst[from+at:], part) }
		if at+resolveTogether >= len(recipients) {
			err = read() // the last one needs no other goroutine
			break
		}
		g.Go(read)
	}
	if err = errors.Join(err, g.Wait()); err != nil {
		return index, dst[:from], err
	}
	return index, dst, nil
}

// resolve looks up recipients, one after the other, for the first places of dst.
func (s *State) resolve(f *founding, dst []wire.DirectoryEntry, recipients []wire.Recipient) error {
	return s.db.View(func(r pebble.Reader) error {
		buf := make([]byte, 0, 64)
		for i, recipient := range recipients {
			row, err := readDirectory(r, buf, recipient)
			if err != nil {
				return err
			}
			dst[i] = row.resolved(f, recipient)
		}
		return nil
	})
}

// Directory returns the directory's entry for one code as it is: for ClaimPending, Region is the
// one that claims; for Moving, the old owner; for Unclaimed, everything is zero. NotReady before
// the founding.
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
