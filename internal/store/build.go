package store

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"github.com/staffetta/staffetta/wire"
)

// Plan says what a store is built of.
type Plan struct {
	// Origin and Digest are what the copy must say of itself.
	Origin Origin
	Digest [32]byte
	// Configuration is the membership that the store begins with, in place of the copy's.
	Configuration []byte
	// Files calls write for every file of the copy. It may stop at an error, and return it.
	Files func(write func(name string, size int64, content io.Reader) error) error
}

// Build makes a store of the files of a Copy in cfg.Dir, which must be empty or absent. The copy's
// identity must be cfg.Identity but for the incarnation, which becomes cfg.Identity's. On return
// the store is durable and closed; its position is the copy's, with Installed set, since no log
// leads up to it. After an error, and after a crash, Open refuses the directory.
func Build(cfg Config, plan Plan) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return fmt.Errorf("store: configuration: %w", err)
	}
	d := newDB(cfg)
	if err := d.build(plan); err != nil {
		return fmt.Errorf("store: building %s: %w", cfg.Dir, err)
	}
	return nil
}

func (d *DB) build(plan Plan) (err error) {
	if err := makeDir(d.cfg.FS, d.cfg.Dir); err != nil {
		return err
	}
	names, err := d.cfg.FS.List(d.cfg.Dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name != lockName {
			return fmt.Errorf("not empty: it holds %q", name)
		}
	}
	if d.lock, err = d.cfg.FS.Lock(d.at.path(lockName)); err != nil {
		return fmt.Errorf("in use by another process: %w", err)
	}
	defer func() { err = errors.Join(err, d.lock.Close()) }()
	if err := d.cfg.FS.MkdirAll(d.at.path(dbName(1)), 0o700); err != nil {
		return err
	}
	if err := syncDir(d.cfg.FS, d.cfg.Dir); err != nil {
		return err
	}
	if err := plan.Files(d.writeCopied); err != nil {
		return err
	}
	if err := syncDir(d.cfg.FS, d.at.path(dbName(1))); err != nil {
		return err
	}
	h, a, err := d.openDatabase(1)
	if err != nil {
		return err
	}
	err = d.rename(h, a, plan)
	if err = errors.Join(err, h.DB.Close()); err != nil {
		return err
	}
	return d.at.setCurrent(1)
}

// writeCopied writes one file of the copy, durably.
func (d *DB) writeCopied(name string, size int64, content io.Reader) error {
	if err := checkFileName(name); err != nil {
		return err
	}
	f, err := d.cfg.FS.Create(d.cfg.FS.PathJoin(d.at.path(dbName(1)), name), category)
	if err != nil {
		return err
	}
	n, err := io.Copy(onlyWriter{f}, content)
	if err == nil && n != size {
		err = fmt.Errorf("file %s has %d bytes, %d expected", name, n, size)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// onlyWriter hides ReadFrom and the like, and copies what a vfs.File might change.
type onlyWriter struct{ w io.Writer }

func (o onlyWriter) Write(p []byte) (int, error) { return o.w.Write(append([]byte(nil), p...)) }

// rename makes a copy's database this incarnation's, durably.
func (d *DB) rename(h *handle, a *applied, plan Plan) error {
	if a.pos.Index != plan.Origin.Index || a.pos.Term != plan.Origin.Term ||
		a.digest != plan.Digest {
		return fmt.Errorf("the state is as of entry %d, term %d, digest %x; entry %d, term %d, "+
			"digest %x expected", a.pos.Index, a.pos.Term, a.digest[:8], plan.Origin.Index,
			plan.Origin.Term, plan.Digest[:8])
	}
	a.pos.Installed = true
	a.pos.Configuration, a.pos.ConfigurationIndex = plan.Configuration, a.pos.Index
	b := h.NewBatch()
	defer b.Close()
	err := errors.Join(b.Set(identityKey, wire.Encode(&d.cfg.Identity), nil),
		b.Set(originKey, wire.Encode(&plan.Origin), nil), putApplied(b, a, nil))
	if err == nil {
		err = d.guarded(func() error { return h.Apply(b, d.writeOptions()) })
	}
	if err == nil {
		err = d.flush(h)
	}
	if err != nil {
		return err
	}
	var id Identity
	durable := &pebble.IterOptions{OnlyReadGuaranteedDurable: true}
	if err := readRow(h, durable, identityKey, &id); err != nil {
		return err
	}
	if id != d.cfg.Identity {
		return errors.New("the new identity did not reach the disk")
	}
	return nil
}

// Scan reads every row and answers how many there are; blocks of tables and blobs are held against
// their checksums on the way.
func (d *DB) Scan() (rows uint64, err error) {
	err = d.Iterate(nil, nil, false, func(_, _ []byte) (bool, error) {
		rows++
		return true, nil
	})
	return rows, err
}
