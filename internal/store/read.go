package store

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// Get returns a copy of the value of key; ok is false when there is none.
func (d *DB) Get(key []byte) (value []byte, ok bool, err error) {
	return d.GetTo(nil, key)
}

// GetTo appends the value of key to dst, which spares garbage on a hot path.
func (d *DB) GetTo(dst, key []byte) (value []byte, ok bool, err error) {
	h, err := d.acquire()
	if err != nil {
		return dst, false, err
	}
	defer d.release(h)
	err = d.guarded(func() error {
		value, ok, err = GetFrom(h.reader, dst, key)
		return err
	})
	return value, ok, err
}

// GetFrom is GetTo on a reader: a View's, or an indexed batch.
func GetFrom(r pebble.Reader, dst, key []byte) (value []byte, ok bool, err error) {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return dst, false, nil
	}
	if err != nil {
		return dst, false, readFailed(r, err)
	}
	dst = append(dst, v...)
	// Pebble v2.1.7 gives an empty value for one in a blob that it cannot read, and says so here.
	if err := closer.Close(); err != nil {
		return dst[:len(dst)-len(v)], false, readFailed(r, err)
	}
	return dst, true, nil
}

// Iterate calls f for the keys in [lower, upper) in order, or in reverse order, as of one point
// in time, until f reports no more or an error. k and v are valid during the call only.
func (d *DB) Iterate(lower, upper []byte, reverse bool,
	f func(k, v []byte) (more bool, err error)) error {
	return d.View(func(r pebble.Reader) error { return IterateFrom(r, lower, upper, reverse, f) })
}

// IterateFrom is Iterate on a reader: a View's, or an indexed batch.
func IterateFrom(r pebble.Reader, lower, upper []byte, reverse bool,
	f func(k, v []byte) (more bool, err error)) (err error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return readFailed(r, err)
	}
	failed := false
	defer func() {
		if closing := it.Close(); closing != nil && !failed {
			err = readFailed(r, closing)
		}
	}()
	start, next := it.First, it.Next
	if reverse {
		start, next = it.Last, it.Prev
	}
	for ok := start(); ok; ok = next() {
		v, err := it.ValueAndErr()
		if err != nil {
			failed = true
			return readFailed(r, err)
		}
		if more, err := f(it.Key(), v); err != nil || !more {
			return err
		}
	}
	return nil // an error of the iterator is its Close's, too
}

// View runs f on the database in use. Each iterator that f opens is one point in time, two are
// not. Everything that f opens it closes. An Install that comes meanwhile does not wait: f goes
// on reading the state of before. A read that fails, or does not match its checksum, is an error
// here and the end of the store, as a failed write is: see Err. So is a panic of Pebble.
func (d *DB) View(f func(pebble.Reader) error) error {
	h, err := d.acquire()
	if err != nil {
		return err
	}
	defer d.release(h)
	return d.guarded(func() error { return f(h.reader) })
}

// Reading is a batch as a reader, for GetFrom and IterateFrom: a read that fails ends the store.
func (d *DB) Reading(b *pebble.Batch) pebble.Reader {
	return reader{Reader: b, db: d, number: d.handleForBatch().number}
}
