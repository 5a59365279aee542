package region

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
)

// The bounds of the state. Those that are decided at apply are part of the format: changing one
// needs a new kind of entry, or replicas of two versions would write different bytes.
const (
	// SessionMax is the longest session that a login may open; the contract's longest is 365
	// days. A longer one is Malformed.
	SessionMax = 366 * 24 * time.Hour
	// RejectionRetention is how long a rejection stays readable, as in the contract.
	RejectionRetention = 3 * 365 * 24 * time.Hour
	// EraseAfterMax is how long refused content may stay in a block at most.
	EraseAfterMax = 30 * 24 * time.Hour

	// eraseAfterDefault leaves a day in which blocks are written once and not twice.
	eraseAfterDefault = 24 * time.Hour

	// preferencesMax bounds the preferences of one citizen; Italy's bodies run some 10,000
	// services that citizens know by name. Conflict beyond.
	preferencesMax = 8192
	// blockedMax bounds the services that a LEGACY profile blocks. Malformed beyond.
	blockedMax = 1024
	// languagesMax and the sizes below bound what a citizen's client may store in a profile.
	languagesMax     = 16
	languageBytesMax = 16
	emailBytesMax    = 320 // RFC 5321: 64 + 1 + 255
	nameBytesMax     = 256
	versionBytesMax  = 32
	tosVersionMax    = 1 << 20

	// expireRowsMax bounds what one Expire removes, so that its batch stays small. The rest
	// stays due.
	expireRowsMax = 4096
	// eraseBytesMax bounds the frames that DueErasures returns at once: one entry's worth.
	eraseBytesMax = wire.BlockBytesMax
	// remainsRowsMax bounds what one MoveErase removes. The rest stays due.
	remainsRowsMax = 1024
	// keepMovedDefault is a week in which a region that lost what it was given can ask for it.
	keepMovedDefault = 7 * 24 * time.Hour

	// formatVersion is the format of keys and values, part of the store's identity.
	formatVersion = 1

	cacheDefault = 24 << 20
	cacheMin     = 1 << 20
	// citizenCacheDefault is room for the standings of all citizens that the largest region has.
	citizenCacheDefault = 256 << 20
)

// Config says where a region's state lives. Region, Hasher, Coder and Store.Dir are required.
type Config struct {
	Region wire.RegionID
	// Hasher turns fiscal codes into recipients, under the federation's directory key.
	Hasher *wire.Hasher
	// Coder decodes blocks; it belongs to the node and outlives the state.
	Coder *wire.Coder
	// Store is the database. Group, Key and Format of its identity are filled in; Sync is
	// refused, since the region's Raft log is its write-ahead log.
	Store store.Config
	// CacheBytes bounds, roughly, the memory of the caches; default 24 MiB. They fill on demand.
	CacheBytes int64
	// CitizenCacheBytes bounds the memory of what verdicts need to know of citizens; default 256
	// MiB. It takes 21 to 43 bytes for each citizen that it met.
	CitizenCacheBytes int64

	// EraseAfter is how long refused content stays in a block until the leader rewrites it:
	// default 24 hours, at most EraseAfterMax. Only the leader's counts.
	EraseAfter time.Duration
	// RejectionRetention is how long rejections are kept; default RejectionRetention. Only the
	// leader's counts, see Expire.
	RejectionRetention time.Duration

	// KeepMoved is how long what a citizen who moved away left stays: default 7 days, more than
	// 0. Only the leader's counts.
	KeepMoved time.Duration

	Logger *slog.Logger // default: discard
}

// withDefaults validates c, all problems at once, and fills in what is zero.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = cacheDefault
	}
	if c.CitizenCacheBytes == 0 {
		c.CitizenCacheBytes = citizenCacheDefault
	}
	if c.EraseAfter == 0 {
		c.EraseAfter = eraseAfterDefault
	}
	if c.RejectionRetention == 0 {
		c.RejectionRetention = RejectionRetention
	}
	if c.KeepMoved == 0 {
		c.KeepMoved = keepMovedDefault
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	check(c.Region.Valid(), "region %q is not 1-%d of [a-z0-9-]", c.Region, wire.NameBytesMax)
	check(c.Hasher != nil, "no hasher")
	check(c.Coder != nil, "no coder")
	check(!c.Store.Sync, "a region's store does not sync: the Raft log does")
	check(c.CacheBytes >= cacheMin, "cache of %d bytes, at least %d needed", c.CacheBytes, cacheMin)
	check(c.CitizenCacheBytes >= cacheMin, "citizen cache of %d bytes, at least %d needed",
		c.CitizenCacheBytes, cacheMin)
	check(c.EraseAfter > 0 && c.EraseAfter <= EraseAfterMax,
		"erasure after %v, more than 0 and at most %v allowed", c.EraseAfter, EraseAfterMax)
	check(c.RejectionRetention > 0, "rejection retention of %v", c.RejectionRetention)
	check(c.KeepMoved > 0, "what citizens leave is kept for %v", c.KeepMoved)
	if len(errs) > 0 {
		return c, fmt.Errorf("region state: %w", errors.Join(errs...))
	}
	c.Store.Identity.Group = "region/" + string(c.Region)
	c.Store.Identity.Key = c.Hasher.Key().Fingerprint()
	c.Store.Identity.Format = formatVersion
	if c.Store.Logger == nil {
		c.Store.Logger = c.Logger
	}
	return c, nil
}
