package region

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/staffetta/staffetta/wire"
)

// Apply applies committed entries in order and returns one result for each: a *wire.Outcomes for
// a block, a *wire.Results for commands, nil for a configuration and for an entry that is applied
// already. One batch carries all the changes and the position. After an error nothing was
// committed, the state can no longer be trusted and Apply refuses everything until an Install.
func (s *State) Apply(entries []wire.LogEntry) ([]any, error) {
	if s.failed != nil {
		return nil, s.failed
	}
	results, err := s.apply(entries)
	if err != nil {
		s.failed = fmt.Errorf("region state stopped: %w", err)
		s.standings.clear() // may hold what was not committed
		return nil, s.failed
	}
	return results, nil
}

func (s *State) apply(entries []wire.LogEntry) (results []any, err error) {
	pos := s.db.Position()
	_, sum := s.db.Digest()
	batch := s.db.NewBatch()
	defer batch.Close()
	c := s.change
	defer c.reset()
	results = make([]any, len(entries))
	before := pos.Index
	err = s.db.View(func(r pebble.Reader) error {
		c.open(r, batch, *s.clock.Load(), s.version.Load(), sum)
		for i := range entries {
			e := &entries[i]
			if e.Index <= before {
				continue // replayed from the log, its changes are here
			}
			if e.Index <= pos.Index {
				return fmt.Errorf("entry %d comes after entry %d", e.Index, pos.Index)
			}
			if results[i], err = s.applyEntry(c, e); err != nil {
				return fmt.Errorf("entry %d: %w", e.Index, err)
			}
			pos.Index, pos.Term = e.Index, e.Term
			if e.Configuration {
				pos.Configuration, pos.ConfigurationIndex = bytes.Clone(e.Data), e.Index
			}
		}
		return nil
	})
	if err != nil || pos.Index == before {
		return results, err
	}
	if err := s.db.Commit(batch, pos, c.sum); err != nil {
		return nil, err
	}
	s.publish(c)
	return results, nil
}

// publish shows the world what was committed.
func (s *State) publish(c *change) {
	k := c.clock
	s.clock.Store(&k)
	s.version.Store(c.version)
	s.broken.Add(c.broken)
	for _, index := range c.erased {
		s.contents.drop(index)
	}
	if c.pending {
		s.wake()
	}
	if c.spooled {
		s.wakeSpool()
	}
}

// applyEntry applies one entry. What it cannot decode stops the replica.
func (s *State) applyEntry(c *change, e *wire.LogEntry) (result any, err error) {
	c.beginEntry(e)
	defer c.endEntry()
	if e.Configuration {
		return nil, nil
	}
	entry, err := wire.DecodeEntry(e.Data)
	if err != nil {
		return nil, err
	}
	c.clock.advance(entry.Time)
	switch entry.Kind {
	case wire.BlockEntry:
		result, err = s.applyBlock(c, e.Data, entry.Body)
	case wire.CommandsEntry:
		result, err = s.applyCommands(c, entry.Body)
	default:
		err = wire.Errorf(wire.UnknownKind, "entry kind %d", entry.Kind)
	}
	if err != nil {
		return nil, err
	}
	if len(c.rejected) > 0 {
		if err := c.set(dueRejectedKey(c.clock.Now, c.index), c.rejected); err != nil {
			return nil, err
		}
	}
	return result, c.setRow(clockKey(), &c.clock)
}

func (s *State) applyCommands(c *change, body []byte) (*wire.Results, error) {
	var commands wire.Commands
	err := wire.Decode(body, &commands)
	if err == nil && len(commands.List) > wire.CommandsMax {
		err = wire.Errorf(wire.TooLarge, "%d commands in an entry, %d allowed",
			len(commands.List), wire.CommandsMax)
	}
	if err != nil {
		if c.version >= wire.VersionOwners { // every replica has the same entry: nobody is damaged
			c.broken++
			return &wire.Results{}, nil
		}
		return nil, err
	}
	results := &wire.Results{List: make([]wire.Result, len(commands.List))}
	for i, command := range commands.List {
		apply := kinds[command.Kind]
		if apply == nil {
			return nil, fmt.Errorf("command %d: %w", i, command.Kind.Unknown())
		}
		if results.List[i], err = apply(s, c, command.Body); err != nil {
			return nil, fmt.Errorf("command %d of kind %d: %w", i, command.Kind, err)
		}
	}
	return results, nil
}

// failf is the result of a command that changed nothing.
func failf(code wire.Code, format string, args ...any) (wire.Result, error) {
	return wire.Fail(wire.Errorf(code, format, args...)), nil
}
