package store

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/staffetta/staffetta/wire"
)

// roomPoll is how often a commit that waits for the disk looks again by itself, in case the
// event that it waits for came before the change was visible.
const roomPoll = 20 * time.Millisecond

// NewBatch returns an empty batch that cannot be read from. Its owner closes it. A batch does
// not outlive an Install.
func (d *DB) NewBatch() *pebble.Batch { return d.handleForBatch().NewBatch() }

// NewIndexedBatch is NewBatch with reads that see the batch's own writes.
func (d *DB) NewIndexedBatch() *pebble.Batch { return d.handleForBatch().NewIndexedBatch() }

// handleForBatch needs no reference: only the goroutine that commits makes batches, and it is the
// one that installs and closes.
func (d *DB) handleForBatch() *handle {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.live
}

func (d *DB) writeOptions() *pebble.WriteOptions {
	if d.cfg.Sync {
		return pebble.Sync
	}
	return pebble.NoSync
}

// Commit writes the batch with the position that it brings the state to, then publishes the
// position. pos.Index must be above the present one; pos.Installed is ignored, since something
// was applied now. pos.Configuration is kept and must not change any more. On return the batch
// is readable, and durable in Sync mode. After an error nothing may be assumed of the batch, and
// the store has failed unless the error says that it was not tried. The caller closes b.
func (d *DB) Commit(b *pebble.Batch, pos wire.Position, digest [32]byte) error {
	d.commitMu.Lock()
	defer d.commitMu.Unlock()
	if err := d.usable(); err != nil {
		return err
	}
	before := d.applied.Load()
	if pos.Index <= before.pos.Index {
		return fmt.Errorf("store: not tried: commit of index %d after %d", pos.Index,
			before.pos.Index)
	}
	pos.Installed = false
	after := &applied{pos: pos, digest: digest}
	if err := putApplied(b, after, before); err != nil {
		return fmt.Errorf("store: not tried: %w", err)
	}
	h, err := d.acquire()
	if err != nil {
		return err
	}
	defer d.release(h)
	if err := d.makeRoom(h, b.Len()); err != nil {
		return err
	}
	if err := d.guarded(func() error { return h.Apply(b, d.writeOptions()) }); err != nil {
		d.fail.set(err)
	}
	if err := d.fail.get(); err != nil {
		return err
	}
	d.applied.Store(after)
	return nil
}

// usable reports why nothing can be written any more.
func (d *DB) usable() error {
	if err := d.fail.get(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	return nil
}

// guarded runs a call that Pebble may end with a panic when the disk fails or is damaged.
func (d *DB) guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &Fault{File: d.cfg.Dir, Err: fmt.Errorf("database panic: %v", r)}
			d.cfg.Logger.Error("database panic", "stack", string(debug.Stack()))
			d.fail.setWedged(err)
		}
	}()
	return f()
}

// makeRoom waits while the disk is behind: too much in write buffers not yet flushed, or too many
// tables not yet compacted. It asks Pebble once per half write buffer, since asking costs. Write
// buffers are counted by their bytes: after Open Pebble begins with small ones, and flushes none
// until they add up to half a full one, so that a number of them would be waited for in vain.
func (d *DB) makeRoom(h *handle, size int) error {
	d.unchecked += size
	if d.unchecked < d.cfg.MemTableBytes/2 {
		return nil
	}
	d.unchecked = 0
	for {
		m := h.Metrics()
		buffered, sublevels := m.MemTable.Size, m.Levels[0].Sublevels
		full := uint64(d.cfg.MemTableBytes)
		// One buffer is filled while another is written out; a third waits for that.
		d.pace.behind.Store(buffered > 2*full || sublevels > sublevelsHurry)
		if buffered <= memTablesMax*full && sublevels <= sublevelsMax {
			return nil
		}
		timer := time.NewTimer(roomPoll)
		select {
		case <-d.events:
		case <-timer.C:
		case <-d.fail.done:
		}
		timer.Stop()
		if err := d.fail.get(); err != nil {
			return err
		}
	}
}

// Flush makes everything applied durable and answers the position as it reads back from disk,
// at or above the one applied when it was called. It may run beside Commit. Calling it again
// with nothing applied in between costs nothing.
func (d *DB) Flush() (wire.Position, error) {
	d.flushMu.Lock()
	defer d.flushMu.Unlock()
	if err := d.usable(); err != nil {
		return wire.Position{}, err
	}
	h, err := d.acquire()
	if err != nil {
		return wire.Position{}, err
	}
	defer d.release(h)
	want := d.applied.Load().pos
	if want.Index == d.durable.Index && want.Installed == d.durable.Installed {
		return d.durable, nil
	}
	if err := d.flush(h); err != nil {
		return wire.Position{}, err
	}
	a, err := readApplied(h, &pebble.IterOptions{OnlyReadGuaranteedDurable: true})
	if err != nil {
		return wire.Position{}, fmt.Errorf("store: reading back the position: %w", err)
	}
	if a.pos.Index < want.Index {
		err := fmt.Errorf("flushed up to index %d, %d was applied", a.pos.Index, want.Index)
		d.fail.set(err)
		return wire.Position{}, err
	}
	d.durable = a.pos
	return a.pos, nil
}

// flush writes out everything in memory. Pebble's own Flush would wait for ever on a disk that
// fails.
func (d *DB) flush(h *handle) error {
	d.pace.urgent.Add(1)
	defer d.pace.urgent.Add(-1)
	var done <-chan struct{}
	err := d.guarded(func() (err error) {
		done, err = h.AsyncFlush()
		return err
	})
	if err != nil {
		d.fail.set(err)
		return d.fail.get()
	}
	select {
	case <-done:
	case <-d.fail.done:
	}
	return d.fail.get()
}
