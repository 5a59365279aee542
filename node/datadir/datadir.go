package datadir

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
	"golang.org/x/sys/unix"
)

const (
	ownerFile   = "owner.json"
	foundedFile = "founded"
	diskFile    = "disk"
	lockFile    = "lock"
	// IdentityDir is where a node that joined keeps who it is, below its directory.
	IdentityDir = "identity"
)

// Dir is an opened data directory, held by a lock until closed.
type Dir struct {
	Path string
	lock *os.File
}

// Open makes the directory for o, or opens the one that o made before. It refuses a
// directory of somebody else, one that another process uses, and one with data but no owner.
func Open(path string, o Owner) (*Dir, error) {
	d, err := Lock(path)
	if err != nil {
		return nil, err
	}
	if err := d.CheckOwner(o); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Lock makes the directory, or holds the one that is there, whoever's it is.
func Lock(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, store.FileFault(filepath.Join(path, lockFile), err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("data directory %s is used by another process", path)
	}
	return &Dir{Path: path, lock: lock}, nil
}

// CheckOwner is OwnedBy, and refuses a directory that lost a group.
func (d *Dir) CheckOwner(o Owner) error {
	if err := d.ClaimFor(o); err != nil {
		return err
	}
	return d.checkGroups()
}

// ClaimFor makes the directory o's, or refuses it when it is somebody else's.
func (d *Dir) ClaimFor(o Owner) error {
	name := filepath.Join(d.Path, ownerFile)
	b, err := d.Read(ownerFile)
	if errors.Is(err, os.ErrNotExist) {
		return d.claim(o)
	}
	if err != nil {
		return err
	}
	have, err := decodeOwner(b)
	if err != nil {
		return fmt.Errorf("data directory: %w: %s is damaged: %w", ErrLost, name, err)
	}
	if err := have.checkFormat(d.Path); err != nil {
		return err
	}
	if have.Format = o.Format; have != o {
		return fmt.Errorf("data directory %s belongs to node %s of region %s in federation %s "+
			"(format %d), as its file %s says, not to node %s of region %s in federation %s "+
			"(format %d)", d.Path,
			have.Node, have.Region, have.Federation, have.Format, ownerFile,
			o.Node, o.Region, o.Federation, o.Format)
	}
	if !Missing(d.Sub(removedFile)) {
		return fmt.Errorf("data directory %s is of node %s, which was removed from the federation; "+
			"%w: begin with an empty directory and a new name", d.Path, o.Node, ErrRemoved)
	}
	return nil
}

// checkGroups refuses a directory whose groups were there and are gone: begun anew, a replica
// would have forgotten its votes and what it helped to acknowledge. One that lost its log or its
// state alone is judged by the group.
func (d *Dir) checkGroups() error {
	if !d.IsFounded() {
		return nil // never complete: nothing was promised yet
	}
	for _, group := range []string{"federation", "region"} {
		if Missing(d.Sub(group, "log")) && Missing(d.Sub(group, "state")) {
			return fmt.Errorf("data directory %s has lost its %s: log and state are missing: %w",
				d.Path, group, ErrLost)
		}
	}
	return nil
}

// Missing reports whether there is no such file.
func Missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, os.ErrNotExist)
}

// IsOwned reports whether the directory is some node's.
func (d *Dir) IsOwned() bool { return !Missing(d.Sub(ownerFile)) }

// IsFounded reports whether every group was made: nothing was promised before.
func (d *Dir) IsFounded() bool { return !Missing(d.Sub(foundedFile)) }

// MarkFounded notes that every group was made.
func (d *Dir) MarkFounded() error {
	if d.IsFounded() {
		return nil
	}
	if err := WriteSynced(d.Path, foundedFile, nil); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}

// DiskID is the directory's random name, made when it is missing: with a directory, or in one of a
// program that knew of none. A directory with a mark beside its logs was given one before it.
func (d *Dir) DiskID() (id wire.DiskID, err error) {
	b, err := d.Read(diskFile)
	switch {
	case errors.Is(err, os.ErrNotExist) && d.Marked():
		return id, store.FileFault(d.Sub(diskFile), err)
	case errors.Is(err, os.ErrNotExist):
		rand.Read(id[:])
		err = WriteSynced(d.Path, diskFile, []byte(hex.EncodeToString(Sealed(id[:]))+"\n"))
		if err != nil {
			err = fmt.Errorf("data directory: %w", err)
		}
		return id, err
	case err != nil:
		return id, err
	}
	raw, err := hex.DecodeString(string(bytes.TrimSpace(b)))
	raw, sound := Unsealed(raw)
	if err != nil || !sound || len(raw) != len(id) {
		return id, store.FileFault(d.Sub(diskFile), nil)
	}
	return wire.DiskID(raw), nil
}

// Marked reports whether a group of the directory was open once, in a program that marks where its
// log ends.
func (d *Dir) Marked() bool {
	return !Missing(d.Sub("region", "log.mark")) || !Missing(d.Sub("federation", "log.mark"))
}

// Read reads a small file of the directory. One that is missing is os.ErrNotExist; one that cannot
// be read is a fault.
func (d *Dir) Read(name string) ([]byte, error) {
	b, err := os.ReadFile(d.Sub(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		err = store.FileFault(d.Sub(name), err)
	}
	return b, err
}

// CheckFresh refuses a directory that holds anything but what a fresh one may.
func (d *Dir) CheckFresh() error {
	entries, err := os.ReadDir(d.Path)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	for _, e := range entries {
		switch n := e.Name(); n {
		case lockFile, ownerFile + ".tmp", IdentityDir, "lost+found":
		default:
			if d.IsFounded() {
				return store.FileFault(d.Sub(ownerFile), os.ErrNotExist)
			}
			return fmt.Errorf("data directory %s has %s but no %s: not a node's directory, or "+
				"one that was half written; give the node an empty one", d.Path, n, ownerFile)
		}
	}
	return nil
}

// claim writes the owner into a fresh directory.
func (d *Dir) claim(o Owner) error {
	if err := d.CheckFresh(); err != nil {
		return err
	}
	b, err := encodeOwner(o)
	if err != nil {
		return err
	}
	if err := WriteSynced(d.Path, ownerFile, b); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}

// WriteSynced writes a file by rename; on return it is durable.
func WriteSynced(dir, name string, b []byte) error {
	tmp := filepath.Join(dir, name+".tmp")
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
		return err
	}
	parent, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// Sub is a path below the directory.
func (d *Dir) Sub(elem ...string) string {
	return filepath.Join(append([]string{d.Path}, elem...)...)
}

// Close releases the lock; nil-safe, for nodes without a directory on disk.
func (d *Dir) Close() error { return d.lock.Close() }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sealed is the content of a small file with its checksum, of which no file of zeros has one.
func Sealed(b []byte) []byte {
	return binary.BigEndian.AppendUint32(bytes.Clone(b), ^crc32.Checksum(b, castagnoli))
}

// Unsealed is the content of a file that was sealed, if it is what was written.
func Unsealed(b []byte) (content []byte, sound bool) {
	if len(b) < 4 {
		return nil, false
	}
	content, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	return content, sum == ^crc32.Checksum(content, castagnoli)
}
