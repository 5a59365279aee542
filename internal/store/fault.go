package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/blob"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

// What a Fault is about. Anything else is a disk that failed, of whose content nothing is known.
var (
	// ErrDamaged: a file does not hold what was written to it, or is gone. A new start meets the
	// same: the replica must be replaced.
	ErrDamaged = errors.New("damaged")
	// ErrExhausted: the process, or the machine, has no file descriptors or no memory left. What
	// is on the disk is in order, and a new start has what the process held.
	ErrExhausted = errors.New("resources are exhausted")
)

// Fault is why a store stopped, or cannot be opened, in one line that names the file.
type Fault struct {
	File string // a path; the directory of the database where nobody knows which file it is
	Kind error  // ErrDamaged, ErrExhausted, or nil
	Err  error  // what was said of it
}

func (f *Fault) Error() string {
	said := oneLine(f.Err)
	if path := (*fs.PathError)(nil); errors.As(f.Err, &path) && path.Path == f.File {
		said = fmt.Sprintf("%s: %s", path.Op, path.Err)
	}
	if errors.Is(f.Err, fs.ErrNotExist) {
		said = "it is missing"
	}
	switch f.Kind {
	case ErrDamaged:
		return fmt.Sprintf("%s is damaged: %s", f.File, said)
	case ErrExhausted:
		return fmt.Sprintf("%s: %s, of the process or the machine", f.File, said)
	}
	return fmt.Sprintf("%s: %s", f.File, said)
}

// Unwrap gives the kind, the cause, and what a peer is told: that another replica may answer. A
// file that is missing is not passed on as one that does not exist: who asks for that wants to
// know whether something was ever made.
func (f *Fault) Unwrap() []error {
	list := []error{wire.Errorf(wire.NotReady, "the node is stopping, its state cannot be read")}
	if !errors.Is(f.Err, fs.ErrNotExist) {
		list = append(list, f.Err)
	}
	if f.Kind != nil {
		list = append(list, f.Kind)
	}
	return list
}

// newFault judges what went wrong with a file.
func newFault(file string, err error) *Fault {
	if f := (*Fault)(nil); errors.As(err, &f) {
		return f
	}
	f := &Fault{File: file, Err: err}
	switch {
	case isAny(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM):
		f.Kind = ErrExhausted
	case pebble.IsCorruptionError(err), isAny(err, ErrDamaged, fs.ErrNotExist, io.EOF,
		io.ErrUnexpectedEOF, syscall.EISDIR, syscall.ENOTDIR, syscall.EUCLEAN, syscall.EBADMSG):
		f.Kind = ErrDamaged
	}
	return f
}

// FileFault judges what went wrong with a file that lies beside the stores: an Err of nil is a file
// whose content is not what was written.
func FileFault(file string, err error) error {
	if err == nil {
		return damaged(file, "it does not hold what was written to it")
	}
	return newFault(file, err)
}

func damaged(file, format string, args ...any) *Fault {
	return &Fault{File: file, Kind: ErrDamaged, Err: fmt.Errorf(format, args...)}
}

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}

// saidMax bounds what a fault repeats of Pebble's words, which may list every file there is.
const saidMax = 300

// oneLine is the text of an error of Pebble without its line breaks and its carriers of details.
func oneLine(err error) string {
	var parts []string
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSpace(line)
		if line != "" && line != "<corruption detail carrier>" {
			parts = append(parts, line)
		}
	}
	s := strings.Join(parts, "; ")
	if len(s) > saidMax {
		s = strings.ToValidUTF8(s[:saidMax], "") + " …"
	}
	return s
}

// saidFile is how Pebble names a file of which a block does not match its checksum.
var saidFile = regexp.MustCompile(`pebble: file ([0-9]{6,20})\b`)

// namedFile is a file of a database in what Pebble says when it cannot open it.
var namedFile = regexp.MustCompile(
	`\b[0-9]{6,20}\.(sst|blob|log)\b|\b(MANIFEST|OPTIONS)-[0-9]{6,20}\b|\bLOCK\b`)

// missingTable is the number of a table that the manifest lists and nobody finds.
var missingTable = regexp.MustCompile(`\b0[0-9]{5,19}\b`)

// reader is a reader of a database whose failures stop the store, whatever becomes of the error.
type reader struct {
	pebble.Reader
	db     *DB
	number uint64 // of the database
}

// readFailed passes on what a read met, to the store first when it is one of its readers.
func readFailed(r pebble.Reader, err error) error {
	if own, ok := r.(reader); ok {
		return own.db.readFailed(own.db.at.path(dbName(own.number)), err)
	}
	return err
}

// readFailed stops the store.
func (d *DB) readFailed(dir string, err error) error {
	return d.fail.read(d.culprit(dir, err), err)
}

// culprit finds the file that a read failed on. Pebble tells of damaged tables with their path, of
// damaged blobs with their number only.
func (d *DB) culprit(dir string, err error) string {
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil {
		return info.Path
	}
	if m := saidFile.FindStringSubmatch(err.Error()); m != nil {
		for _, ending := range []string{".blob", ".sst"} {
			path := d.cfg.FS.PathJoin(dir, m[1]+ending)
			if _, err := d.cfg.FS.Stat(path); err == nil {
				return path
			}
		}
	}
	if name := namedFile.FindString(strings.ReplaceAll(err.Error(), dir, "")); name != "" {
		return d.cfg.FS.PathJoin(dir, name)
	}
	if m := missingTable.FindString(err.Error()); m != "" && errors.Is(err, fs.ErrNotExist) {
		return d.cfg.FS.PathJoin(dir, m+".sst")
	}
	if strings.Contains(err.Error(), "key=value syntax") {
		return d.cfg.FS.PathJoin(dir, "OPTIONS-*")
	}
	return dir
}

// openFault judges why a database cannot be opened. What is neither the operating system's word
// nor a newer program's format is a file that does not hold what was written to it.
func (d *DB) openFault(number uint64, err error) error {
	dir := d.at.path(dbName(number))
	switch {
	case errors.Is(err, pebble.ErrDBDoesNotExist):
		return damaged(dir, "its file marker.manifest.* is missing")
	case errors.Is(err, pebble.ErrDBNotPristine):
		return damaged(dir, "its file marker.format-version.* is missing")
	}
	f := newFault(d.culprit(dir, err), err)
	if errno := syscall.Errno(0); f.Kind == nil && !errors.As(err, &errno) &&
		!strings.Contains(err.Error(), "format major version") {
		f.Kind = ErrDamaged
	}
	return f
}

// Damaged stops the store because of a row that does not match a checksum of its own, and answers
// why. The error must not tell what the row holds.
func (d *DB) Damaged(row error) error {
	d.mu.Lock()
	dir := d.at.path(dbName(d.live.number))
	d.mu.Unlock()
	return d.fail.read(dir, damaged(dir, "%w", row))
}

// content reports the files that Pebble reads while it serves: tables and blobs.
func content(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

// Open opens a file for reading. One that cannot be read stops the store, as one that cannot be
// written does. The end of a blob is checked here, because Pebble v2.1.7 panics when it is damaged
// or the file is missing, also on goroutines of its own, where nobody can catch it.
func (b *brakeFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := b.FS.Open(name, opts...)
	if !content(name) {
		return f, err
	}
	if err == nil && strings.HasSuffix(name, ".blob") {
		if err = checkBlob(f); err != nil {
			f.Close()
		}
	}
	if err != nil {
		return nil, b.fail.read(name, err)
	}
	return &readFile{File: f, name: name, fail: b.fail}, nil
}

// read judges a read of a file that failed, stops the store, and answers the fault.
func (f *failure) read(name string, err error) error {
	fault := newFault(name, err)
	f.set(fault)
	return fault
}

// readFile is a table or a blob that Pebble reads.
type readFile struct {
	vfs.File
	name string
	fail *failure
}

// ReadAt fills p. Pebble asks for nothing behind the end of a file that is whole.
func (f *readFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if err == io.EOF && n < len(p) {
		err = fmt.Errorf("cut short: %w", io.ErrUnexpectedEOF)
	}
	if err != nil && n < len(p) {
		return n, f.fail.read(f.name, err)
	}
	return n, err
}

// Read reads on.
func (f *readFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	if err != nil && err != io.EOF {
		return n, f.fail.read(f.name, err)
	}
	return n, err
}

// openCopied opens a file of a checkpoint, which is one of the database's.
func (d *DB) openCopied(path string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.cfg.FS.Open(path, opts...)
	if err != nil {
		return nil, d.fail.read(path, err)
	}
	return &readFile{File: f, name: path, fail: d.fail}, nil
}

// checkBlob holds the end of a blob against its checksum. The file stays open.
func checkBlob(f vfs.File) error {
	r, err := sstable.NewSimpleReadable(keepOpen{f})
	if err != nil {
		return err
	}
	fr, err := blob.NewFileReader(context.Background(), r, blob.FileReaderOptions{})
	if pebble.IsCorruptionError(err) { // so marked, it would make Pebble panic
		return fmt.Errorf("%w: %s", ErrDamaged, oneLine(err))
	}
	if err != nil {
		return err
	}
	return fr.Close()
}

// checkBlobs finds out whether the blobs are there that the database refers to. It does so itself
// for tables only, and would panic where it first misses a blob. Blobs that were replaced and not
// yet removed may hide one that is missing; whoever reads that one meets Pebble's panic, and the
// store stops.
func (d *DB) checkBlobs(number uint64, db *pebble.DB) error {
	dir := d.at.path(dbName(number))
	names, err := d.cfg.FS.List(dir)
	if err != nil {
		return err
	}
	var count, size uint64
	for _, name := range names {
		if info, err := d.cfg.FS.Stat(d.cfg.FS.PathJoin(dir, name)); err == nil &&
			strings.HasSuffix(name, ".blob") && !info.IsDir() {
			count++
			size += uint64(info.Size())
		}
	}
	live := db.Metrics().BlobFiles
	if count < live.LiveCount || size < live.LiveSize {
		return damaged(dir, "it has %d blob files of %d bytes, its manifest lists %d of %d bytes",
			count, size, live.LiveCount, live.LiveSize)
	}
	return nil
}

// keepOpen is a file that its reader does not close.
type keepOpen struct{ vfs.File }

func (keepOpen) Close() error { return nil }
