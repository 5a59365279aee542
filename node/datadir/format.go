package datadir

import (
	"fmt"
	"os"

	"github.com/staffetta/staffetta/wire"
)

// Format is a data directory's format: the newest version that its groups' logs may hold. An
// older program refuses a directory above its own, whatever it would find in the logs.
const Format = wire.VersionMin

// checkFormat refuses a directory that a newer program wrote.
func (o Owner) checkFormat(path string) error {
	if o.Format < wire.VersionMin || o.Format > wire.Version {
		return fmt.Errorf("data directory %s is of version %d, this program knows versions %d to "+
			"%d: start it with the program that wrote it, or a newer one", path, o.Format,
			wire.VersionMin, wire.Version)
	}
	return nil
}

// RaiseFormat notes the version that the groups have reached.
func (d *Dir) RaiseFormat(version uint32) error {
	b, err := os.ReadFile(d.Sub(ownerFile))
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	o, err := decodeOwner(b)
	if err != nil {
		return fmt.Errorf("data directory: %w: %s is damaged: %w", ErrLost, ownerFile, err)
	}
	if o.Format >= int(version) {
		return nil
	}
	o.Format = int(version)
	if b, err = encodeOwner(o); err != nil {
		return err
	}
	if err := WriteSynced(d.Path, ownerFile, b); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}
