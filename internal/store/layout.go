package store

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	lockName     = "LOCK"
	currentName  = "CURRENT"
	currentTmp   = "CURRENT.tmp"
	creatingName = "creating"
	stagingName  = "staging"
	sendingName  = "checkpoints"
	dbPrefix     = "db-"

	// currentFormat is the first line of CURRENT; another one is another version's layout.
	currentFormat = "staffetta store 1"
	// currentBytesMax bounds what is read of a CURRENT that may be anything.
	currentBytesMax = 4 << 10

	category = vfs.WriteCategoryUnspecified
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// layout is a store's directory.
type layout struct {
	fs  vfs.FS
	dir string
}

func (l layout) path(name string) string { return l.fs.PathJoin(l.dir, name) }

func dbName(n uint64) string { return fmt.Sprintf("%s%06d", dbPrefix, n) }

func parseDBName(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, dbPrefix)
	if !ok || len(digits) < 6 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && dbName(n) == name
}

// syncDir makes the directory's entries durable.
func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// writeFile creates a file and makes its content durable, not yet its name.
func writeFile(fs vfs.FS, path string, content []byte) error {
	f, err := fs.Create(path, category)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// setCurrent makes db-n the database in use, durably and atomically.
func (l layout) setCurrent(n uint64) error {
	body := currentFormat + "\n" + dbName(n) + "\n"
	body += fmt.Sprintf("%08x\n", crc32.Checksum([]byte(body), castagnoli))
	if err := writeFile(l.fs, l.path(currentTmp), []byte(body)); err != nil {
		return err
	}
	if err := l.fs.Rename(l.path(currentTmp), l.path(currentName)); err != nil {
		return err
	}
	return syncDir(l.fs, l.dir)
}

// current reads the number of the database in use; fs.ErrNotExist when there is no pointer.
func (l layout) current() (uint64, error) {
	f, err := l.fs.Open(l.path(currentName))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, currentBytesMax))
	if err != nil {
		return 0, err
	}
	lines := strings.Split(string(b), "\n")
	if lines[0] != currentFormat {
		return 0, damaged(l.path(currentName), "its first line is not %q, or it is of another version",
			currentFormat)
	}
	if len(lines) != 4 {
		return 0, damaged(l.path(currentName), "%d lines", len(lines)-1)
	}
	body := lines[0] + "\n" + lines[1] + "\n"
	sum := fmt.Sprintf("%08x", crc32.Checksum([]byte(body), castagnoli))
	n, ok := parseDBName(lines[1])
	if !ok || lines[2] != sum || lines[3] != "" {
		return 0, damaged(l.path(currentName), "checksum does not match")
	}
	return n, nil
}

// found is what a directory holds when it is opened.
type found struct {
	names    []string
	creating bool
	dbs      bool
	other    string // a name that is not ours, when there is one
}

func (l layout) scan() (found, error) {
	names, err := l.fs.List(l.dir)
	if err != nil {
		return found{}, err
	}
	f := found{names: names}
	for _, name := range names {
		switch _, isDB := parseDBName(name); {
		case isDB:
			f.dbs = true
		case name == creatingName:
			f.creating = true
		case name == lockName || name == currentName || ours(name):
		default:
			f.other = name
		}
	}
	return f, nil
}

// ours reports the names of leftovers, safe to remove whenever the store is opened.
func ours(name string) bool {
	return name == currentTmp || name == creatingName || name == stagingName || name == sendingName
}

// reap removes what an earlier process left behind: everything of ours but db-keep. What is not
// ours stays.
func (l layout) reap(names []string, keep uint64) error {
	removed := false
	for _, name := range names {
		n, isDB := parseDBName(name)
		if isDB && n == keep || !isDB && !ours(name) {
			continue
		}
		if err := l.fs.RemoveAll(l.path(name)); err != nil {
			return fmt.Errorf("removing the leftover %s: %w", name, err)
		}
		removed = true
	}
	if !removed {
		return nil
	}
	return syncDir(l.fs, l.dir)
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
