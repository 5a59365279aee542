package store

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestRewind: from wherever it was left, a stream begins again and gives the same bytes, whatever
// the state has become meanwhile.
func TestRewind(t *testing.T) {
	d := mustOpen(t, testConfig(vfs.NewMem(), false))
	defer d.Close()
	for i := uint64(1); i <= 100; i++ {
		if err := put(d, i); err != nil {
			t.Fatal(err)
		}
	}
	stream, size, _, err := d.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	want, err := io.ReadAll(stream)
	if err != nil || int64(len(want)) != size {
		t.Fatalf("read %d bytes, %v, want %d", len(want), err, size)
	}
	for _, read := range []int64{0, 1, 17, size / 2, size - 1, size} {
		if err := stream.(Rewinder).Rewind(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, stream, read); err != nil {
			t.Fatal(err)
		}
		if err := put(d, 101+uint64(read)); err != nil {
			t.Fatal(err)
		}
		if err := stream.(Rewinder).Rewind(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(stream)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("after %d bytes: %d bytes that differ, %v", read, len(got), err)
		}
	}
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	if err := stream.(Rewinder).Rewind(); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v, want %v", err, ErrClosed)
	}
}
