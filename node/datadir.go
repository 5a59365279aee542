package node

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
)

// owner is the content of a data directory's owner.json: whose it is. It is written last when a
// directory is made and checked first when it is opened.
type owner struct {
	Format     int           `json:"format"`
	Federation string        `json:"federation"`
	Region     wire.RegionID `json:"region"`
	Node       wire.NodeID   `json:"node"`
}

const (
	ownerFile   = "owner.json"
	foundedFile = "founded"
	removedFile = "removed"
	diskFile    = "disk"
	lockFile    = "lock"
)

// dataDir is an opened data directory, held by a lock until closed.
type dataDir struct {
	path string
	lock *os.File
}

// openDataDir makes the directory for o, or opens the one that o made before. It refuses a
// directory of somebody else, one that another process uses, and one with data but no owner.
func openDataDir(path string, o owner) (*dataDir, error) {
	d, err := lockDataDir(path)
	if err != nil {
		return nil, err
	}
	if err := d.checkOwner(o); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// lockDataDir makes the directory, or holds the one that is there, whoever's it is.
func lockDataDir(path string) (*dataDir, error) {
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
	return &dataDir{path: path, lock: lock}, nil
}

func (d *dataDir) checkOwner(o owner) error {
	if err := d.ownedBy(o); err != nil {
		return err
	}
	return d.checkGroups()
}

// ownedBy makes the directory o's, or refuses it when it is somebody else's.
func (d *dataDir) ownedBy(o owner) error {
	name := filepath.Join(d.path, ownerFile)
	b, err := d.read(ownerFile)
	if errors.Is(err, os.ErrNotExist) {
		return d.claim(o)
	}
	if err != nil {
		return err
	}
	var have owner
	if err := json.Unmarshal(b, &have); err != nil {
		return fmt.Errorf("data directory: %w: %s is damaged: %w", errDataLost, name, err)
	}
	if err := have.checkFormat(d.path); err != nil {
		return err
	}
	if have.Format = o.Format; have != o {
		return fmt.Errorf("data directory %s belongs to node %s of region %s in federation %s "+
			"(format %d), as its file %s says, not to node %s of region %s in federation %s "+
			"(format %d)", d.path,
			have.Node, have.Region, have.Federation, have.Format, ownerFile,
			o.Node, o.Region, o.Federation, o.Format)
	}
	if !missing(d.sub(removedFile)) {
		return fmt.Errorf("data directory %s is of node %s, which was removed from the federation; "+
			"%w: begin with an empty directory and a new name", d.path, o.Node, errRemovedNode)
	}
	return nil
}

// errRemovedNode says that a node was removed and cannot come back.
var errRemovedNode = errors.New("a removed node does not come back")

// removed notes that the node was removed from the federation: what it holds is void.
func (d *dataDir) removed() error { return writeSynced(d.path, removedFile, nil) }

// checkGroups refuses a directory whose groups were there and are gone: begun anew, a replica
// would have forgotten its votes and what it helped to acknowledge. One that lost its log or its
// state alone is judged by the group.
func (d *dataDir) checkGroups() error {
	if missing(d.sub(foundedFile)) {
		return nil // never complete: nothing was promised yet
	}
	for _, group := range []string{"federation", "region"} {
		if missing(d.sub(group, "log")) && missing(d.sub(group, "state")) {
			return fmt.Errorf("data directory %s has lost its %s: log and state are missing: %w",
				d.path, group, errDataLost)
		}
	}
	return nil
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, os.ErrNotExist)
}

// founded notes that every group was made.
func (d *dataDir) founded() error {
	if !missing(d.sub(foundedFile)) {
		return nil
	}
	if err := writeSynced(d.path, foundedFile, nil); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}

// diskID is the directory's random name, made when it is missing: with a directory, or in one of a
// program that knew of none. A directory with a mark beside its logs was given one before it.
func (d *dataDir) diskID() (id wire.DiskID, err error) {
	b, err := d.read(diskFile)
	switch {
	case errors.Is(err, os.ErrNotExist) && d.marked():
		return id, store.FileFault(d.sub(diskFile), err)
	case errors.Is(err, os.ErrNotExist):
		rand.Read(id[:])
		err = writeSynced(d.path, diskFile, []byte(hex.EncodeToString(sealed(id[:]))+"\n"))
		if err != nil {
			err = fmt.Errorf("data directory: %w", err)
		}
		return id, err
	case err != nil:
		return id, err
	}
	raw, err := hex.DecodeString(string(bytes.TrimSpace(b)))
	raw, sound := unsealed(raw)
	if err != nil || !sound || len(raw) != len(id) {
		return id, store.FileFault(d.sub(diskFile), nil)
	}
	return wire.DiskID(raw), nil
}

// marked reports whether a group of the directory was open once, in a program that marks where its
// log ends.
func (d *dataDir) marked() bool {
	return !missing(d.sub("region", "log.mark")) || !missing(d.sub("federation", "log.mark"))
}

// read reads a small file of the directory. One that is missing is os.ErrNotExist; one that cannot
// be read is a fault.
func (d *dataDir) read(name string) ([]byte, error) {
	b, err := os.ReadFile(d.sub(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		err = store.FileFault(d.sub(name), err)
	}
	return b, err
}

// unowned refuses a directory that holds anything but what a fresh one may.
func (d *dataDir) unowned() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	for _, e := range entries {
		switch n := e.Name(); n {
		case lockFile, ownerFile + ".tmp", identityDir, "lost+found":
		default:
			if !missing(d.sub(foundedFile)) {
				return store.FileFault(d.sub(ownerFile), os.ErrNotExist)
			}
			return fmt.Errorf("data directory %s has %s but no %s: not a node's directory, or "+
				"one that was half written; give the node an empty one", d.path, n, ownerFile)
		}
	}
	return nil
}

// claim writes the owner into a fresh directory.
func (d *dataDir) claim(o owner) error {
	if err := d.unowned(); err != nil {
		return err
	}
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if err := writeSynced(d.path, ownerFile, b); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}

// writeSynced writes a file by rename; on return it is durable.
func writeSynced(dir, name string, b []byte) error {
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

func (d *dataDir) sub(elem ...string) string {
	return filepath.Join(append([]string{d.path}, elem...)...)
}

// close releases the lock; nil-safe, for nodes without a directory on disk.
func (d *dataDir) close() error { return d.lock.Close() }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealed is the content of a small file with its checksum, of which no file of zeros has one.
func sealed(b []byte) []byte {
	return binary.BigEndian.AppendUint32(bytes.Clone(b), ^crc32.Checksum(b, castagnoli))
}

// unsealed is the content of a file that was sealed, if it is what was written.
func unsealed(b []byte) (content []byte, sound bool) {
	if len(b) < 4 {
		return nil, false
	}
	content, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	return content, sum == ^crc32.Checksum(content, castagnoli)
}
