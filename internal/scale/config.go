package scale

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
)

// The sizes at scale 1.
const (
	RegionCitizens   = 10_000_000
	RegionMessages   = 10_000_000
	DirectoryEntries = 60_000_000
	// ScaleMax is bounded by the citizens who can be told apart, see citizens.go.
	ScaleMax = 2
	// ScaleDefault takes some minutes.
	ScaleDefault = 0.01
)

const (
	// stepMessages and stepEntries are the steps in which states grow: small against the whole,
	// and large against what a database keeps in memory.
	stepMessages = 100_000
	stepCitizens = 100_000
	stepEntries  = 1_000_000
	// stepsMin is how many steps a run has at least, however small its scale is.
	stepsMin = 5
	// referenceMax bounds the small state that the large one is held against.
	referenceMax = 100_000
	// applyEntries is how many entries a replica under load applies at once, as consensus has it.
	applyEntries = 8
	// snapshotProbes flushes are timed for one figure, each of a twentieth of the run's blocks and
	// at most probeBlocks, some 13 MB: half of a node's write buffer.
	snapshotProbes = 5
	probeBlocks    = 256
)

// What the states are opened under. They are invented, as everything in them.
const (
	Federation                = "scale"
	Region     wire.RegionID  = "lazio"
	regionTag  wire.RegionTag = 12
)

// Key is the directory key of the states.
var Key = wire.DirectoryKey{'s', 'c', 'a', 'l', 'e'}

// RegionState is a region's state as node/region has it; see there.
type RegionState interface {
	Apply([]wire.LogEntry) ([]any, error)
	Position() wire.Position
	Flush() (wire.Position, error)
	Checkpoint() (stream io.ReadCloser, size int64, at wire.Position, err error)
	ListInbox(wire.ListInbox, wire.Time) (*wire.InboxPage, error)
	GetInbox(wire.GetInbox, wire.Time) (*wire.InboxMessage, error)
	Store() *store.DB
	Close() error
}

// DirectoryState is the federation's state as node/federation has it; see there.
type DirectoryState interface {
	Apply([]wire.LogEntry) ([]any, error)
	Position() wire.Position
	Flush() (wire.Position, error)
	Resolve([]wire.DirectoryEntry, []wire.Recipient) (uint64, []wire.DirectoryEntry, error)
	DiskBytes() uint64
	Close() error
}

// What is measured in a process of its own.
const (
	ColdRegion    = "region"
	ColdDirectory = "directory"
)

// Config is what the runs of states have in common.
type Config struct {
	// Dir is the run's directory; an interrupted run goes on in it. Required.
	Dir string
	// Scale is the size of the run, in (0, ScaleMax]; 0 is ScaleDefault.
	Scale float64
	// Seed decides messages and recipients.
	Seed uint64
	// Fresh measures what, ColdRegion or ColdDirectory, of the state in dir in a process of its
	// own, and returns its Cold as JSON. Required.
	Fresh func(ctx context.Context, what, dir string) ([]byte, error)
	// Progress takes a line from time to time; nil: nowhere.
	Progress io.Writer

	quiet time.Duration // settleTime, but for tests
}

func (c *Config) complete() error {
	var errs []error
	if c.Scale == 0 {
		c.Scale = ScaleDefault
	}
	if c.Progress == nil {
		c.Progress = io.Discard
	}
	if c.quiet == 0 {
		c.quiet = settleTime
	}
	if c.Dir == "" {
		errs = append(errs, errors.New("no directory"))
	}
	if !(c.Scale > 0 && c.Scale <= ScaleMax) {
		errs = append(errs, fmt.Errorf("scale %v, more than 0 and at most %d allowed", c.Scale,
			ScaleMax))
	}
	if c.Fresh == nil {
		errs = append(errs, errors.New("no way to measure from a cold start"))
	}
	return errors.Join(errs...)
}

func (c *Config) say(format string, args ...any) {
	fmt.Fprintf(c.Progress, format+"\n", args...)
}

// sized is a size of scale 1 at this scale.
func (c *Config) sized(full int) int { return max(int(math.Round(float64(full)*c.Scale)), 1) }

// RegionConfig sets up a region's run.
type RegionConfig struct {
	Config
	// Open opens the region's state in dir, or makes it, as a node does. Required.
	Open func(dir string) (RegionState, error)
	// TailBytes of the log are applied again in the measurement of a cold start: what a node that
	// crashed has lost of its state. Required.
	TailBytes int
	// Citizens is how many there are, whatever the scale; 0 is RegionCitizens at the scale.
	Citizens int
	// KeyedPercent is the share of messages with an idempotency key, 0-100.
	KeyedPercent float64
	// ReadFor is how long to read beside writes; 0 is ReadForDefault.
	ReadFor time.Duration
}

// Bounds of reading beside writes.
const (
	ReadForDefault = 20 * time.Second
	ReadForMax     = 10 * time.Minute
)

func (c *RegionConfig) complete() error {
	errs := []error{c.Config.complete()}
	if c.ReadFor == 0 {
		c.ReadFor = ReadForDefault
	}
	if most := ScaleMax * RegionCitizens; c.Citizens < 0 || c.Citizens > most {
		errs = append(errs, fmt.Errorf("%d citizens, up to %d allowed", c.Citizens, most))
	}
	if c.Open == nil {
		errs = append(errs, errors.New("no state to open"))
	}
	if c.TailBytes <= 0 {
		errs = append(errs, fmt.Errorf("a tail of %d bytes to apply again", c.TailBytes))
	}
	if !(c.KeyedPercent >= 0 && c.KeyedPercent <= 100) {
		errs = append(errs, fmt.Errorf("%v percent of messages with a key, 0-100 allowed",
			c.KeyedPercent))
	}
	if c.ReadFor < 0 || c.ReadFor > ReadForMax {
		errs = append(errs, fmt.Errorf("reading for %v, up to %v allowed", c.ReadFor, ReadForMax))
	}
	return errors.Join(errs...)
}

// citizens is how many there are to be.
func (c *RegionConfig) citizens() int {
	if c.Citizens > 0 {
		return c.Citizens
	}
	return c.sized(RegionCitizens)
}

// Room is the disk space that the run needs at most, in bytes.
func (c *RegionConfig) Room() int64 {
	full := int64(c.citizens())*citizenRoom + int64(c.sized(RegionMessages))*messageRoom
	return full + full/stepsMin + 1<<30
}

// DirectoryConfig sets up the directory's run.
type DirectoryConfig struct {
	Config
	// Open opens the federation's state in dir, or makes it, as a node does. Required.
	Open func(dir string) (DirectoryState, error)
}

func (c *DirectoryConfig) complete() error {
	err := c.Config.complete()
	if c.Open == nil {
		err = errors.Join(err, errors.New("no state to open"))
	}
	return err
}
