package datadir

import (
	"errors"
	"fmt"
	"os"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/internal/store"
)

const removedFile = "removed"

// ErrRemoved says that a node was removed and cannot come back.
var ErrRemoved = errors.New("a removed node does not come back")

// MarkRemoved notes that the node was removed from the federation: what it holds is void.
func (d *Dir) MarkRemoved() error { return WriteSynced(d.Path, removedFile, nil) }

// divergedFile marks a data directory whose replica was found to differ from the others.
const divergedFile = "diverged"

// damagedFile marks a group's directory of which a file was found damaged. It goes with the
// directory, when a backup takes its place.
const damagedFile = "damaged"

// MarkDiverged notes why the directory's replica is not to be trusted any more.
func (d *Dir) MarkDiverged(why string) error {
	return WriteSynced(d.Path, divergedFile, []byte(why))
}

// ErrVoid says that a directory was found not to be trusted, before this start.
var ErrVoid = errors.New("it must not be used again")

// ErrLost says that what belongs into a data directory is gone.
var ErrLost = errors.New("data is lost")

// NoteDamage marks a group's directory when err is that its files are damaged, so that no start
// takes the node for a replica that has everything.
func (d *Dir) NoteDamage(group string, err error) error {
	if !errors.Is(err, store.ErrDamaged) && !errors.Is(err, consensus.ErrCorrupt) ||
		Missing(d.Sub(group)) { // where tests keep it in memory
		return err
	}
	return errors.Join(err, WriteSynced(d.Sub(group), damagedFile, []byte(err.Error())))
}

// CheckMarks refuses a directory that was found not to be trusted.
func (d *Dir) CheckMarks() error {
	for _, mark := range []string{d.Sub(divergedFile), d.Sub("federation", damagedFile),
		d.Sub("region", damagedFile)} {
		why, err := os.ReadFile(mark)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
		return fmt.Errorf("data directory %s: %w, as the file %s says: %s. Remove this node from "+
			"the federation, empty the directory, and let it join under a new name", d.Path,
			ErrVoid, mark, why)
	}
	return nil
}

// restoredFile lies in a group's directory from a restore on until the group has begun: its state
// has no log that leads up to it.
const restoredFile = "restored"

// MarkRestored notes, durably, that a group begins from a backup.
func (d *Dir) MarkRestored(sub string) error { return WriteSynced(d.Sub(sub), restoredFile, nil) }

// IsRestored reports whether a group begins from a backup now.
func (d *Dir) IsRestored(sub string) bool { return !Missing(d.Sub(sub, restoredFile)) }

// MarkBegun notes that a restored group has begun: from here on its log is as needed as any.
func (d *Dir) MarkBegun(sub string) error {
	err := os.Remove(d.Sub(sub, restoredFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return syncDir(d.Sub(sub))
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
