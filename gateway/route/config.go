package route

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// Caller makes calls to relay nodes; *link.Link is one. Errors are *wire.Error: Unavailable when
// the request was certainly not received, OutcomeUnknown when it may have been, or the peer's own.
type Caller interface {
	Call(ctx context.Context, to link.Peer, m wire.Method, req []byte) ([]byte, error)
	Stream(ctx context.Context, to link.Peer, m wire.Method, req []byte,
		recv func(frame []byte) error) error
}

// Config is what a Router needs.
type Config struct {
	// Caller makes the calls. Required.
	Caller Caller
	// Nodes are addresses of home nodes for the first contact, host:port. Required; once one of
	// them answered, the federation's map says which nodes there are.
	Nodes []string
	// Region is the home region. Required.
	Region wire.RegionID
	// Coder compresses blocks. nil: the router makes one for two cores and closes it after Run.
	Coder *wire.Coder
	// KeyGrace is how long known keys are accepted without news from the federation's leader.
	// 0: 24 hours.
	KeyGrace time.Duration
	// OwnerWait bounds a submission or a call without a deadline of its own. 0: wire.OwnerWait.
	OwnerWait time.Duration
	// Weights say how many parts of a region's capacity an institution gets where others want it
	// too, 1 to 100. Institutions that it lacks get one.
	Weights map[wire.InstitutionID]int
	// Now is the wall clock that ids of messages are minted by. nil: time.Now.
	Now func() time.Time
	// Uptime measures how long ago the federation was heard: the time since some moment, also while
	// the machine is suspended. nil: the process's own clock, which stands still then.
	Uptime func() time.Duration
	Limits Limits
	// Trust is told, with every map, whom the federation believes. nil: nobody wants to know.
	Trust func(*wire.Trust)
	// Logger gets state changes. nil: nothing is logged.
	Logger *slog.Logger
	// Registerer takes the metrics. nil: they are not exported.
	Registerer prometheus.Registerer
}

// Limits bound a router's memory. Zero fields have the documented default.
type Limits struct {
	// BlocksInFlight is how many blocks of one region may be under way at once. Default 2: the
	// second leaves when it is half full or the first is stuck, see lane.
	BlocksInFlight int
	// WaitingRecords and WaitingBytes bound one region's records without a verdict; beyond them
	// Submit returns Overloaded. Default 8,192 and 32 MiB: more than a second of a busy region.
	// Bulk records may be a quarter of that, so that they never take the others' room.
	WaitingRecords int
	WaitingBytes   int
	// InstitutionRecords and InstitutionBytes bound one institution's part of them that is
	// interactive; beyond it Submit returns Overloaded. Default 2,048 and 8 MiB.
	InstitutionRecords int
	InstitutionBytes   int
	// BulkRecords and BulkBytes bound one institution's bulk part of them; beyond it StartBulk
	// waits. Default 512 and 2 MiB: two blocks under way, and two more.
	BulkRecords int
	BulkBytes   int
	// ResolveCalls is how many resolve calls are under way at once. Default 2, as with blocks.
	ResolveCalls int
	// ResolveWaiting bounds the recipients being looked up; beyond it: Overloaded. Default 16,384.
	ResolveWaiting int
	// DirectoryBytes bounds the hints of owners. Default 64 MiB, about 1.6 million recipients.
	DirectoryBytes int
	// ServiceBytes bounds each of the two caches of services (by key, by id). Default 16 MiB.
	ServiceBytes int
}

const (
	// notFoundKeep is how long a key or service that does not exist is remembered, so that a
	// client with a dead key does not ask a node every time. The feed ends it earlier.
	notFoundKeep = 5 * time.Second
	// notFoundMax bounds those memories; they are what an attacker can make us keep.
	notFoundMax = 4096
	// flightsMax bounds the service look-ups under way; beyond it: Overloaded.
	flightsMax = 1024
	// touchesMax is how many changed names are remembered to hold late answers against.
	touchesMax = 16384
	// nodesMax bounds the configured addresses.
	nodesMax = 64
	// weightMax bounds an institution's weight: a round is over when everybody has had his part.
	weightMax = 100
)

func (c *Config) validate() error {
	var errs []error
	if c.Caller == nil {
		errs = append(errs, errors.New("no Caller"))
	}
	if len(c.Nodes) == 0 || len(c.Nodes) > nodesMax {
		errs = append(errs, fmt.Errorf("%d home nodes, 1-%d needed", len(c.Nodes), nodesMax))
	}
	if !c.Region.Valid() {
		errs = append(errs, fmt.Errorf("home region %q is no region's name", c.Region))
	}
	for id, w := range c.Weights {
		if w < 1 || w > weightMax {
			errs = append(errs, fmt.Errorf("weight %d of institution %s, 1-%d allowed", w, id,
				weightMax))
		}
	}
	l := &c.Limits
	for _, n := range []int{l.BlocksInFlight, l.WaitingRecords, l.WaitingBytes,
		l.InstitutionRecords, l.InstitutionBytes, l.BulkRecords, l.BulkBytes, l.ResolveCalls,
		l.ResolveWaiting, l.DirectoryBytes, l.ServiceBytes, int(c.KeyGrace), int(c.OwnerWait)} {
		if n < 0 {
			errs = append(errs, errors.New("a limit is negative"))
			break
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("route: %w", err)
	}
	return nil
}

func (c *Config) setDefaults() {
	l := &c.Limits
	l.BlocksInFlight = orDefault(l.BlocksInFlight, 2)
	l.WaitingRecords = orDefault(l.WaitingRecords, 8192)
	l.WaitingBytes = orDefault(l.WaitingBytes, 32<<20)
	l.InstitutionRecords = orDefault(l.InstitutionRecords, 2048)
	l.InstitutionBytes = orDefault(l.InstitutionBytes, 8<<20)
	l.BulkRecords = orDefault(l.BulkRecords, 512)
	l.BulkBytes = orDefault(l.BulkBytes, 2<<20)
	l.ResolveCalls = orDefault(l.ResolveCalls, 2)
	l.ResolveWaiting = orDefault(l.ResolveWaiting, 16384)
	l.DirectoryBytes = orDefault(l.DirectoryBytes, 64<<20)
	l.ServiceBytes = orDefault(l.ServiceBytes, 16<<20)
	c.KeyGrace = orDefault(c.KeyGrace, 24*time.Hour)
	c.OwnerWait = orDefault(c.OwnerWait, wire.OwnerWait)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Uptime == nil {
		began := time.Now()
		c.Uptime = func() time.Duration { return time.Since(began) }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
}

func orDefault[T int | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}
