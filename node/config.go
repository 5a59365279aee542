package node

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/internal/renewal"
	"github.com/staffetta/staffetta/node/operate"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/node/spool"
	"github.com/staffetta/staffetta/wire"
)

// Config says who a node is and where it lives. Required unless a default is given.
type Config struct {
	ID     wire.NodeID
	Region wire.RegionID
	// Founding is the map that the federation starts from, used when Dir is fresh.
	Founding *wire.Map
	// Joined says that the node joined a federation that was there: Founding is then its map as of
	// that moment, and the groups are told of the node by their leaders. Founds: it was the first
	// of its region, and begins the region's group alone.
	Joined, Founds bool
	// DirectoryKey is the federation's secret under which fiscal codes are hashed.
	DirectoryKey wire.DirectoryKey
	// Dir is the data directory, created if missing.
	Dir string
	// Program is what the program calls its version, for operators; default "unknown".
	Program string
	// LogStore is "wal" (default) or "bolt".
	LogStore string

	// PacketConn is the node's UDP socket, closed by the caller after Run.
	PacketConn net.PacketConn
	// Certificate is called for each handshake, so that it can be rotated.
	Certificate func() (*tls.Certificate, error)
	// Authorities are the authorities of the node's own files; it is called for each handshake.
	Authorities func() []*x509.Certificate
	// Problem says why those files cannot be used as they are now; nil: there are none.
	Problem func() error

	// Renew are the files that Certificate is read from, which are renewed through the region's
	// renewer before they expire; none: whoever writes them renews them.
	Renew renewal.Files

	// EraseAfter is how long refused content may stay in its block, at most 30 days; default
	// 24 hours.
	EraseAfter time.Duration
	// RejectionRetention is how long a rejection stays readable; default three years.
	RejectionRetention time.Duration
	// KeepMoved is how long the data of a citizen who moved to another region is kept here;
	// default 7 days.
	KeepMoved time.Duration
	// StaleReadsFor is how old the answer to a citizen's read may be that a region without a majority
	// gives; 0: it gives none.
	StaleReadsFor time.Duration
	// Disk holds the watermarks of free disk space; BallastBytes is how much of it is kept for an
	// emergency, none by default.
	Disk         operate.DiskLimits
	BallastBytes uint64
	// Spool bounds what is kept for regions that are away.
	Spool spool.Config

	Logger     *slog.Logger          // default: discard
	Registerer prometheus.Registerer // default: a private one

	// Now is the wall clock; default time.Now. Durations are measured without it.
	Now func() time.Time
	// Uptime measures how long ago others were heard: the time since some moment, also while the
	// machine is suspended. By default it stands still then, as is right in virtual time; Uptime of
	// this package does not.
	Uptime func() time.Duration

	// For tests: the version of the logs' content that the program claims to know (default:
	// wire.Version), what stands between a group and its state (default: nothing), the room on
	// the disk (default: that of Dir's file system), the file system of the states (default: the
	// disk), the Raft logs by group (default: LogStore below Dir), and the groups' timing.
	Version uint32
	State   func(group string, s consensus.StateMachine) consensus.StateMachine
	Space   func() (free, total uint64, err error)
	FS      vfs.FS
	Stores  func(group string) *consensus.Stores
	Timing  func(group string) consensus.Timing
}

func (c *Config) setDefaults() {
	if c.Program == "" {
		c.Program = "unknown"
	}
	if c.Version == 0 {
		c.Version = wire.Version
	}
	if c.State == nil {
		c.State = func(_ string, s consensus.StateMachine) consensus.StateMachine { return s }
	}
	if c.LogStore == "" {
		c.LogStore = "wal"
	}
	if c.EraseAfter == 0 {
		c.EraseAfter = seat.EraseAfter
	}
	if c.RejectionRetention == 0 {
		c.RejectionRetention = seat.RejectionRetention
	}
	if c.KeepMoved == 0 {
		c.KeepMoved = seat.KeepMoved
	}
	c.Spool.SetDefaults()
	if c.Disk == (operate.DiskLimits{}) {
		c.Disk = operate.DiskDefaults
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Uptime == nil {
		c.Uptime = seat.Monotonic
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.Timing == nil {
		c.Timing = timing
	}
}

// states is how the node's states are kept.
func (c *Config) states() seat.StateConfig {
	return seat.StateConfig{Key: c.DirectoryKey, FS: c.FS, EraseAfter: c.EraseAfter,
		RejectionRetention: c.RejectionRetention, KeepMoved: c.KeepMoved}
}

// timing is how groups are timed: the federation's is spread over the country.
func timing(group string) consensus.Timing {
	if group == seat.FederationGroup {
		return consensus.FederationTiming()
	}
	return consensus.RegionTiming()
}

// validate reports all problems at once.
func (c *Config) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.ID.Valid(), "node id %q is not 1-%d of [a-z0-9-]", c.ID, wire.NameBytesMax)
	check(c.Region.Valid(), "region %q is not 1-%d of [a-z0-9-]", c.Region, wire.NameBytesMax)
	check(c.Dir != "", "no data directory")
	check(c.LogStore == "wal" || c.LogStore == "bolt", "log store %q is not wal or bolt", c.LogStore)
	check(c.DirectoryKey != wire.DirectoryKey{}, "no directory key")
	check(c.PacketConn != nil, "no UDP socket")
	check(c.Certificate != nil && c.Authorities != nil, "no certificate or roots")
	if err := c.Spool.Validate(); err != nil {
		errs = append(errs, err)
	}
	check(c.EraseAfter > 0 && c.EraseAfter <= 30*24*time.Hour, "erase-after is not in (0, 30 days]")
	check(c.KeepMoved > 0, "keep-moved of %v, more than 0 needed", c.KeepMoved)
	check(c.StaleReadsFor >= 0, "stale reads for %v", c.StaleReadsFor)
	if check(c.Founding != nil, "no founding map"); c.Founding != nil {
		n, ok := c.Founding.Node(c.ID)
		check(ok && n.Region == c.Region, "the founding map has no node %s in region %s", c.ID, c.Region)
	}
	errs = append(errs, c.Disk.Validate())
	return errors.Join(errs...)
}
