package testcluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/wire"
)

// Disk is the data directory of a node that does not run: its states, and everything else that
// somebody finds there who has the directory's key and knows every format.
type Disk struct {
	// Region is the replica of the region's state.
	Region *region.State

	dir        string
	coder      *wire.Coder
	federation *store.DB
}

// Place is where something lies on a disk, and in which form it was found.
type Place struct {
	Group string // "region" or "federation"
	// Kind is "file" for a file as it is; "log" for the records of blocks in a Raft log; "row"
	// for a row of the state, with the records of its block; "table" for what a file of the
	// database holds, rows included that were replaced or deleted since.
	Kind string
	Path string // of the file; empty for rows
}

// ReadDirectoryKey reads a directory key's file.
func ReadDirectoryKey(path string) (key wire.DirectoryKey, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return key, err
	}
	if b = bytes.TrimSpace(b); len(b) != hex.EncodedLen(len(key)) {
		return key, fmt.Errorf("%s holds no directory key", path)
	}
	_, err = hex.Decode(key[:], b)
	return key, err
}

// OpenDisk opens the directory of a node of a region. Opening brings the states in order, as a
// start of the node would; Close closes them.
func OpenDisk(dir, federation string, name wire.RegionID, key wire.DirectoryKey) (
	_ *Disk, err error) {
	d := &Disk{dir: dir}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	if d.coder, err = wire.NewCoder(1); err != nil {
		return nil, err
	}
	d.Region, err = region.Open(region.Config{Region: name, Coder: d.coder,
		Hasher: wire.NewHasher(key), Store: store.Config{
			Dir:      filepath.Join(dir, "region", "state"),
			Identity: store.Identity{Federation: federation}}})
	if err != nil {
		return nil, err
	}
	d.federation, err = store.Open(store.Config{Dir: filepath.Join(dir, "federation", "state"),
		Sync: true, Identity: store.Identity{Federation: federation, Group: "federation",
			Format: 1, Key: key.Fingerprint()}})
	return d, err
}

// Close releases everything.
func (d *Disk) Close() error {
	var errs []error
	if d.Region != nil {
		errs = append(errs, d.Region.Close())
	}
	if d.federation != nil {
		errs = append(errs, d.federation.Close())
	}
	if d.coder != nil {
		d.coder.Close()
	}
	return errors.Join(errs...)
}

// Digests are the digests of both states, by group as Place names them, and where they stand.
func (d *Disk) Digests() map[string]Standing {
	of := func(index uint64, sum [32]byte) Standing { return Standing{index, sum} }
	return map[string]Standing{"region": of(d.Region.Digest()),
		"federation": of(d.federation.Digest())}
}

// Standing is a state's digest at an index.
type Standing struct {
	Index uint64
	Sum   [32]byte
}

// Scan shows everything on the disk to see, in every form in which it can be read, every
// compression undone. b is see's until it returns.
func (d *Disk) Scan(see func(at Place, b []byte)) error {
	for group, db := range map[string]*store.DB{"region": d.Region.Store(),
		"federation": d.federation} {
		if err := d.scanFiles(group, see); err != nil {
			return err
		}
		err := db.Iterate(nil, nil, false, func(k, v []byte) (bool, error) {
			at := Place{Group: group, Kind: "row"}
			see(at, k)
			see(at, v)
			d.records(at, v, see)
			return true, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// scanFiles shows a group's files: as they are, the blocks of its log, and the tables of its
// database.
func (d *Disk) scanFiles(group string, see func(Place, []byte)) error {
	return filepath.WalkDir(filepath.Join(d.dir, group),
		func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			see(Place{group, "file", path}, b)
			switch {
			case strings.Contains(path, "/log/"):
				d.records(Place{group, "log", path}, b, see)
			case strings.HasSuffix(path, ".sst"):
				return d.table(Place{group, "table", path}, see)
			default:
				d.records(Place{group, "table", path}, b, see)
			}
			return nil
		})
}

// table shows the keys and values of one file of the database.
func (d *Disk) table(at Place, see func(Place, []byte)) (err error) {
	f, err := vfs.Default.Open(at.Path)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r, err := sstable.NewReader(context.Background(), readable, sstable.ReaderOptions{})
	if err != nil {
		return fmt.Errorf("%s: %w", at.Path, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	rows, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.DebugHandlesBlobContext)
	if err != nil {
		return fmt.Errorf("%s: %w", at.Path, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for kv := rows.First(); kv != nil; kv = rows.Next() {
		see(at, kv.K.UserKey)
		v, _, err := kv.V.Value(nil)
		if err != nil {
			return fmt.Errorf("%s: %w", at.Path, err)
		}
		see(at, v)
		d.records(at, v, see)
	}
	return rows.Error()
}

// A block's frame begins with blockMagic, and has the length of its body at blockLengthAt, as
// wire's golden bytes have them.
const (
	blockMagic    = "SfB1"
	blockLengthAt = 12
	blockHeader   = 20
)

// records shows the records of every block that begins anywhere in b.
func (d *Disk) records(at Place, b []byte, see func(Place, []byte)) {
	for {
		i := bytes.Index(b, []byte(blockMagic))
		if i < 0 || len(b) < i+blockHeader {
			return
		}
		b = b[i:]
		if end := blockHeader + int(binary.LittleEndian.Uint32(b[blockLengthAt:])); end <= len(b) {
			if block, err := d.coder.Decode(b[:end]); err == nil {
				for _, r := range block.Records {
					see(at, []byte(r.FiscalCode))
					see(at, r.Recipient[:])
					see(at, r.Content)
				}
			}
		}
		b = b[len(blockMagic):]
	}
}
