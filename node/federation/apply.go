package federation

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
)

// Check says why an entry's commands must not be logged: applying them would stop every replica.
func Check(c *wire.Commands) error {
	if len(c.List) > wire.CommandsMax {
		return wire.Errorf(wire.TooLarge, "entry of %d commands, %d allowed", len(c.List),
			wire.CommandsMax)
	}
	for i := range c.List {
		k := c.List[i].Kind
		if k == wire.CmdAudit {
			if err := checkAudited(&c.List[i]); err != nil {
				return err
			}
		} else if kinds[k] == nil {
			return k.Unknown()
		}
		if n := len(c.List[i].Body); n > wire.CommandBytesMax {
			return wire.Errorf(wire.TooLarge, "command of %d bytes, %d allowed", n,
				wire.CommandBytesMax)
		}
	}
	return nil
}

// Apply applies committed entries in order and returns one result for each: a *wire.Results, or
// nil for a configuration. On return they are fsynced, in one batch with the position. An error
// means that nothing was applied and that the state can no longer follow the log.
func (s *State) Apply(entries []wire.LogEntry) ([]any, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	t := s.begin()
	defer t.batch.Close()
	results := make([]any, len(entries))
	for i := range entries {
		r, err := t.entry(&entries[i])
		if err != nil {
			return nil, fmt.Errorf("federation: entry %d: %w", entries[i].Index, err)
		}
		if r != nil {
			results[i] = r
		}
	}
	// Readers must find the map once they see the position, but an event must not be heard
	// before what it tells can be read.
	s.setFounded(t.founded)
	if err := s.db.Commit(t.batch, t.pos, t.digest); err != nil {
		return nil, fmt.Errorf("federation: %w", err)
	}
	s.feed.publish(t.pos.Index, t.events)
	return results, nil
}

// tx is the application of some entries.
type tx struct {
	federation string // the name that this replica was opened under
	// incarnation of the group: 0 unless it was restored from a backup
	incarnation uint32
	batch       *pebble.Batch // indexed: sees its own writes
	reads       pebble.Reader // of the batch
	pos         wire.Position
	digest      [32]byte
	now         wire.Time
	confirmed   wire.Time
	founded     *founding
	events      []event

	// Of the entry being applied.
	chain  hash.Hash
	latest map[wire.Recipient]int // where the entry's event for a code is

	// Of the audited command being applied: it is watched, and has changed a row.
	watched, changed bool

	err error // of the store; everything after it is void
	buf []byte
}

func (s *State) begin() *tx {
	_, digest := s.db.Digest()
	batch := s.db.NewIndexedBatch()
	t := &tx{federation: s.cfg.Store.Identity.Federation, batch: batch, reads: s.db.Reading(batch),
		pos: s.db.Position(), digest: digest, incarnation: s.Incarnation(),
		founded: s.founded.Load(), chain: sha256.New(), latest: map[wire.Recipient]int{}}
	t.loadClock()
	return t
}

func (t *tx) entry(e *wire.LogEntry) (*wire.Results, error) {
	if e.Index <= t.pos.Index {
		return nil, fmt.Errorf("comes after entry %d", t.pos.Index)
	}
	t.pos.Index, t.pos.Term = e.Index, e.Term
	t.link(e.Index)
	clear(t.latest)
	var results *wire.Results
	if e.Configuration {
		t.pos.Configuration = slices.Clone(e.Data)
		t.pos.ConfigurationIndex = e.Index
	} else {
		var err error
		if results, err = t.commands(e.Data); err != nil {
			return nil, err
		}
	}
	t.chain.Sum(t.digest[:0])
	return results, t.err
}

func (t *tx) commands(data []byte) (*wire.Results, error) {
	e, err := wire.DecodeEntry(data)
	if err != nil {
		return nil, err
	}
	if e.Kind != wire.CommandsEntry {
		return nil, fmt.Errorf("kind %d has no place in the federation's log", e.Kind)
	}
	var list wire.Commands
	if err := wire.Decode(e.Body, &list); err != nil {
		return nil, err
	}
	if err := Check(&list); err != nil {
		return nil, err
	}
	t.advance(e.Time)
	results := &wire.Results{List: make([]wire.Result, len(list.List))}
	for i := range list.List {
		results.List[i] = t.command(&list.List[i])
		if t.err != nil {
			return nil, t.err
		}
	}
	return results, nil
}

// command applies one command, whose kind was checked.
func (t *tx) command(c *wire.Command) wire.Result {
	if c.Kind == wire.CmdAudit {
		return t.audited(c.Body)
	}
	return kinds[c.Kind](t, c.Body)
}

// run decodes a command's body and applies it. A body that cannot be decoded is the command's
// failure, not the replica's: every replica decodes the same bytes.
func run[T any, P interface {
	*T
	codec.Message
}](body []byte, apply func(P) (codec.Message, *wire.Error)) wire.Result {
	m := P(new(T))
	if err := wire.Decode(body, m); err != nil {
		return wire.Fail(wire.AsError(err))
	}
	answer, err := apply(m)
	if err != nil {
		return wire.Fail(err)
	}
	return wire.OK(answer)
}

// link begins the digest of an entry with that of everything before.
func (t *tx) link(index uint64) {
	t.chain.Reset()
	t.chain.Write(t.digest[:])
	t.buf = binary.LittleEndian.AppendUint64(t.buf[:0], index)
	t.chain.Write(t.buf)
}

// digestRow adds one write to the entry's digest; size is the value's, plus one.
func (t *tx) digestRow(key, value []byte, size int) {
	t.buf = binary.LittleEndian.AppendUint32(t.buf[:0], uint32(len(key)))
	t.buf = binary.LittleEndian.AppendUint32(t.buf, uint32(size))
	t.chain.Write(t.buf)
	t.chain.Write(key)
	t.chain.Write(value)
}

func (t *tx) set(key, value []byte) {
	if t.watched && !t.changed {
		old, ok := t.get(key)
		t.changed = !ok || !bytes.Equal(old, value)
	}
	t.digestRow(key, value, len(value)+1)
	t.fail(t.batch.Set(key, value, nil))
}

func (t *tx) del(key []byte) {
	t.changed = true
	t.digestRow(key, nil, 0)
	t.fail(t.batch.Delete(key, nil))
}

func (t *tx) get(key []byte) ([]byte, bool) {
	v, ok, err := store.GetFrom(t.reads, nil, key)
	t.fail(err)
	return v, ok && err == nil
}

// load decodes the row of key into m, and reports whether there is one.
func (t *tx) load(key []byte, m codec.Message) bool {
	row, ok := t.get(key)
	if !ok {
		return false
	}
	if err := wire.Decode(row, m); err != nil {
		t.fail(fmt.Errorf("damaged row %q: %w", key[:1], err))
		return false
	}
	return true
}

func (t *tx) fail(err error) { t.err = errors.Join(t.err, err) }
