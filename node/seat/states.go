package seat

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node/federation"
	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/wire"
)

const (
	// RegionMemTableBytes is the region's write buffer. Blocks fill it and never move again, rows
	// are a quarter of it and are merged again and again, the less the more come at once.
	RegionMemTableBytes = 32 << 20
	// CacheBytes is what the node's two states share for write buffers and Pebble's block cache.
	// Pebble takes two write buffers of each off it, of 32 and 8 MiB, which leaves 64 MiB, taken
	// on demand. Look-ups of idempotency keys want the tables' filters in there: with 16 MiB a
	// keyed message costs 35 µs to apply once there are half a million, with 64 MiB 16 µs.
	CacheBytes = 64<<20 + 2*RegionMemTableBytes + 2*store.MemTableDefault
)

// What a region forgets after how long, by default.
const (
	EraseAfter         = 24 * time.Hour
	RejectionRetention = 3 * 365 * 24 * time.Hour
	KeepMoved          = 7 * 24 * time.Hour
)

// StateConfig says how the states are kept.
type StateConfig struct {
	Key wire.DirectoryKey
	FS  vfs.FS
	// EraseAfter, RejectionRetention and KeepMoved are the region's, see region.Config.
	EraseAfter, RejectionRetention, KeepMoved time.Duration
}

// OpenStates opens both states. Close closes them, also after an error.
func (s *Seat) OpenStates(c StateConfig) (err error) {
	s.cache = pebble.NewCache(CacheBytes)
	config := func(group, dir string, sync bool) store.Config {
		return store.Config{Dir: s.Dir.Sub(dir, "state"), FS: c.FS, Sync: sync,
			Cache: s.cache, Logger: s.Log.With("group", group),
			Identity: store.Identity{Federation: s.Founding.Federation, Group: group,
				Key: c.Key.Fingerprint()}}
	}
	s.Federation, err = federation.Open(federation.Config{Hasher: s.Hasher, Logger: s.Log,
		Store: config(FederationGroup, "federation", true)})
	if err != nil {
		return fmt.Errorf("federation state: %w", err)
	}
	messages := config(RegionGroup(s.RegionID), "region", false)
	messages.MemTableBytes = RegionMemTableBytes
	s.Region, err = region.Open(region.Config{Region: s.RegionID, Hasher: s.Hasher,
		Coder: s.Coder, Logger: s.Log, EraseAfter: c.EraseAfter,
		RejectionRetention: c.RejectionRetention, KeepMoved: c.KeepMoved, Store: messages})
	if err != nil {
		return fmt.Errorf("region state: %w", err)
	}
	return nil
}

// Close closes what is open: a state by its group, once it has one. Why a group failed is what its
// Run returned.
func (s *Seat) Close() error {
	var errs []error
	if s.RegionGroup != nil {
		s.RegionGroup.Close()
	} else if s.Region != nil {
		errs = append(errs, s.Region.Close())
	}
	if s.FederationGroup != nil {
		s.FederationGroup.Close()
	} else if s.Federation != nil {
		errs = append(errs, s.Federation.Close())
	}
	if s.cache != nil {
		s.cache.Unref()
	}
	if s.Coder != nil {
		s.Coder.Close()
	}
	return errors.Join(errs...)
}
