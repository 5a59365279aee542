package store

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// MemTableDefault is a compromise of a light node: fewer, larger flushes against memory. Up
	// to memTablesMax of them exist while the disk is slow.
	MemTableDefault = 8 << 20
	// cacheDefault holds the upper index and filter blocks of some ten million rows.
	cacheDefault = 16 << 20

	memTableMin = 256 << 10
	memTableCap = 1 << 30

	// nameMax bounds the names of a federation and a group in an identity.
	nameMax = 255
)

// Identity says whose state a directory holds. Every field must match at Open and at Install, but
// for the incarnation at Open, where the directory says which it is.
type Identity struct {
	Federation string
	Group      string  // "federation" or "region/lazio"
	Key        [8]byte // the directory key's fingerprint
	Format     uint32  // of the state's own keys and values
	// Incarnation counts how often the group was restored from a backup: a replica of another
	// incarnation is another group's, since both may have gone on from the same entry.
	Incarnation uint32
}

// Config sets up a store.
type Config struct {
	Dir string
	FS  vfs.FS // nil: the operating system's
	// Sync keeps a write-ahead log and makes every Commit durable on return. Without it a Commit
	// is durable after the next Flush only, and the Raft log replays the rest.
	Sync     bool
	Identity Identity
	Cache    *pebble.Cache // shared by several stores; nil: one of 16 MiB of its own
	// MemTableBytes is the size of one write buffer; 0: 8 MiB.
	MemTableBytes int
	Logger        *slog.Logger // nil: discards
}

// withDefaults validates c and fills in what is zero.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("no directory given"))
	}
	if n := len(c.Identity.Federation); n == 0 || n > nameMax {
		errs = append(errs, fmt.Errorf("federation's name of %d bytes, 1-%d allowed", n, nameMax))
	}
	if n := len(c.Identity.Group); n == 0 || n > nameMax {
		errs = append(errs, fmt.Errorf("group's name of %d bytes, 1-%d allowed", n, nameMax))
	}
	if c.MemTableBytes == 0 {
		c.MemTableBytes = MemTableDefault
	}
	if c.MemTableBytes < memTableMin || c.MemTableBytes > memTableCap {
		errs = append(errs, fmt.Errorf("write buffer of %d bytes, %d-%d allowed",
			c.MemTableBytes, memTableMin, memTableCap))
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(errs...)
}
