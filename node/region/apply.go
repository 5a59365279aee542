package region

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/staffetta/staffetta/internal/codec"
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
		result, err := s.applyCommand(c, command)
		if err != nil {
			return nil, fmt.Errorf("command %d of kind %d: %w", i, command.Kind, err)
		}
		results.List[i] = result
	}
	return results, nil
}

// applyCommand runs one command. A failed one changes nothing and its result says why; an error
// stops the replica.
func (s *State) applyCommand(c *change, command wire.Command) (wire.Result, error) {
	switch command.Kind {
	case wire.CmdLogin:
		return run(c, command.Body, s.login)
	case wire.CmdLogout:
		return run(c, command.Body, s.logout)
	case wire.CmdSetProfile:
		return run(c, command.Body, s.setProfile)
	case wire.CmdSetPreference:
		return run(c, command.Body, s.setPreference)
	case wire.CmdSetMessageStatus:
		return run(c, command.Body, s.setMessageStatus)
	case wire.CmdGrantSlots:
		return run(c, command.Body, s.grantSlots)
	case wire.CmdClaimIntent:
		return run(c, command.Body, s.claimIntent)
	case wire.CmdClaimAbort:
		return run(c, command.Body, s.claimAbort)
	case wire.CmdRelease:
		return run(c, command.Body, s.release)
	case wire.CmdImport:
		return run(c, command.Body, s.importHandover)
	case wire.CmdPendingDone:
		return run(c, command.Body, s.noted)
	case wire.CmdErase:
		return run(c, command.Body, s.erase)
	case wire.CmdExpire:
		return run(c, command.Body, s.expire)
	case wire.CmdRegionKey:
		return run(c, command.Body, s.regionKey)
	case wire.CmdSpool:
		return run(c, command.Body, s.spool)
	case wire.CmdSpoolDone:
		return run(c, command.Body, s.spoolDone)
	case wire.CmdSpoolExpire:
		return run(c, command.Body, s.spoolExpire)
	case wire.CmdSpoolOffer:
		return run(c, command.Body, s.spoolOffer)
	case wire.CmdRaiseVersion:
		return run(c, command.Body, s.raiseVersion)
	case wire.CmdMoveIntent, wire.CmdMoveAbort, wire.CmdMoveFence, wire.CmdMoveDone,
		wire.CmdMoveUndo, wire.CmdMovePage, wire.CmdMoveRefuse, wire.CmdMoveErase,
		wire.CmdMoveCopy:
		return s.applyMove(c, command)
	case wire.CmdTakeBack:
		return run(c, command.Body, s.takeBack)
	case wire.CmdMoveForget:
		return run(c, command.Body, s.moveForget)
	case wire.CmdFenceSlot:
		return run(c, command.Body, s.fenceSlot)
	case wire.CmdImportSlot:
		return run(c, command.Body, s.importSlot)
	case wire.CmdNoteRead:
		return run(c, command.Body, s.noteRead)
	case wire.CmdCopyKey:
		return run(c, command.Body, s.copyKey)
	case wire.CmdReconcile:
		return run(c, command.Body, s.reconcile)
	case wire.CmdConfirmTime:
		return run(c, command.Body, s.confirmTime)
	}
	return wire.Result{}, command.Kind.Unknown()
}

// message is a pointer to T that is a message.
type message[T any] interface {
	*T
	codec.Message
}

// run decodes a command's body and applies it. A body that does not decode is its sender's
// fault, and every replica finds the same fault: the command fails, the replica goes on.
func run[T any, P message[T]](c *change, body []byte,
	f func(*change, P) (wire.Result, error)) (wire.Result, error) {
	m := P(new(T))
	if err := wire.Decode(body, m); err != nil {
		return wire.Fail(wire.AsError(err)), nil
	}
	return f(c, m)
}

// failf is the result of a command that changed nothing.
func failf(code wire.Code, format string, args ...any) (wire.Result, error) {
	return wire.Fail(wire.Errorf(code, format, args...)), nil
}
