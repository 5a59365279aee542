package operate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/node/datadir"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
	"golang.org/x/sys/unix"
)

const (
	// diskPeriod is how often free disk space is looked at.
	diskPeriod = 5 * time.Second
	// ballastFile keeps space that the node gives up at the last watermark, or when an operator
	// asks for it.
	ballastFile = "ballast"
)

// The most that a percentage of a watermark stands for: what a node needs room for (merging
// tables, a state that is received beside the one in use) does not grow with the disk, and 15 % of
// a terabyte would be given up for nothing.
const (
	lowBytesMax      = 32 << 30
	criticalBytesMax = 16 << 30
)

// DiskLimits are the watermarks of free disk space: a level is reached when less is free than its
// bytes, or than its percentage of the file system, which stands for 32 GiB at most, 16 GiB for the
// critical one. The zero value is 1 GiB or 15 %, and 512 MiB or 8 %.
type DiskLimits struct {
	// Low: submissions are refused.
	LowBytes   uint64
	LowPercent uint
	// Critical: leadership is handed over to a voter with more room. At a quarter of its bytes
	// the ballast is given up and the node ends, before a write fails.
	CriticalBytes   uint64
	CriticalPercent uint
}

// DiskDefaults are what the zero value stands for.
var DiskDefaults = DiskLimits{LowBytes: 1 << 30, LowPercent: 15, CriticalBytes: 512 << 20,
	CriticalPercent: 8}

// Validate says what is wrong with the limits.
func (l DiskLimits) Validate() error {
	if l.LowPercent > 100 || l.CriticalPercent > l.LowPercent || l.CriticalBytes > l.LowBytes {
		return fmt.Errorf("disk limits: low at %d bytes or %d %%, critical at %d bytes or %d %%: "+
			"critical must not be above low, nor a percentage above 100", l.LowBytes, l.LowPercent,
			l.CriticalBytes, l.CriticalPercent)
	}
	return nil
}

// level judges how much is free.
func (l DiskLimits) level(free, total uint64) wire.DiskLevel {
	switch {
	case free < l.CriticalBytes/4:
		return wire.DiskFull
	case free < mark(l.CriticalBytes, l.CriticalPercent, total, criticalBytesMax):
		return wire.DiskCritical
	case free < l.low(total):
		return wire.DiskLow
	}
	return wire.DiskAmple
}

// low is the free space below which submissions are refused.
func (l DiskLimits) low(total uint64) uint64 {
	return mark(l.LowBytes, l.LowPercent, total, lowBytesMax)
}

// mark is a watermark in bytes, on a disk of a size.
func mark(bytes uint64, percent uint, total, most uint64) uint64 {
	return max(bytes, min(uint64(float64(total)*float64(percent)/100), most))
}

// Why a node ends before an operation fails.
var (
	ErrDiskFull = errors.New("the disk is full")
	ErrNoRoom   = errors.New("resources are nearly exhausted")
)

// disk watches the file system of the data directory, and what else the node needs to use it.
type disk struct {
	// Set at construction.
	limits DiskLimits
	space  func() (free, total uint64, err error)
	rooms  []nodeRoom

	free, total atomic.Uint64
	last        atomic.Uint32 // wire.DiskLevel
}

func newDisk(cfg *Config) *disk {
	d := &disk{limits: cfg.Disk, space: cfg.Space, rooms: newRooms(cfg.Dir)}
	if d.space == nil {
		d.space = func() (free, total uint64, err error) {
			var fs unix.Statfs_t
			if err := unix.Statfs(cfg.Dir, &fs); err != nil {
				return 0, 0, err
			}
			return fs.Bavail * uint64(fs.Bsize), fs.Blocks * uint64(fs.Bsize), nil
		}
	}
	return d
}

// look measures. What cannot be measured keeps its level.
func (d *disk) look() (level, before wire.DiskLevel) {
	before = d.level()
	for _, r := range d.rooms {
		r.Look()
	}
	if free, total, err := d.space(); err == nil {
		d.free.Store(free)
		d.total.Store(total)
		d.last.Store(uint32(d.limits.level(free, total)))
	}
	return d.level(), before
}

// level is the lowest of everything that is watched.
func (d *disk) level() wire.DiskLevel {
	level := wire.DiskLevel(d.last.Load())
	if r := d.scarcest(); r != nil {
		level = r.Level()
	}
	return level
}

// scarcest is the room of which less is left than of disk space; nil: none.
func (d *disk) scarcest() (scarcest *nodeRoom) {
	worst := max(wire.DiskLevel(d.last.Load()), wire.DiskAmple)
	for i, r := range d.rooms {
		if l := r.Level(); l > worst {
			scarcest, worst = &d.rooms[i], l
		}
	}
	return scarcest
}

// Refuses reports whether there is too little room for new messages.
func (d *disk) Refuses() bool { return d.level() >= wire.DiskLow }

// String is the room that is left, for people.
func (d *disk) String() string {
	if r := d.scarcest(); r != nil {
		return r.String()
	}
	free, total := d.free.Load(), max(d.total.Load(), 1)
	return fmt.Sprintf("the disk is nearly full (%d MiB, %d %% free)", free>>20, free*100/total)
}

// full is why the node ends at the last watermark, before an operation fails that it cannot do
// without. The ballast, when there was one, is given up so that it ends well.
func (d *disk) full(ballast uint64) error {
	if r := d.scarcest(); r != nil {
		return fmt.Errorf("%w: %s; the node ends before there are none", r.end, r)
	}
	free, total := d.free.Load(), max(d.total.Load(), 1)
	given := ""
	if ballast > 0 {
		given = fmt.Sprintf(", and its ballast of %d MiB was given up for that", ballast>>20)
	}
	return fmt.Errorf("%w: %d MiB, %d %% free; the node ends before a write fails with no space "+
		"left on device%s", ErrDiskFull, free>>20, free*100/total, given)
}

// WatchDisk acts on the watermarks, before an operation fails. It ends the node at the last one.
func (d *Desk) WatchDisk(ctx context.Context) error {
	return seat.Every(ctx, diskPeriod, func() error {
		level, before := d.disk.look()
		if level != before && (before != wire.DiskUnknown || level != wire.DiskAmple) {
			d.Log.Warn("free disk space crossed a watermark", "level", level, "before", before,
				"free_bytes", d.disk.free.Load(), "total_bytes", d.disk.total.Load(),
				"room", d.disk.String())
		}
		if level >= wire.DiskCritical {
			d.yield(ctx, d.RegionGroup, seat.RegionGroup(d.RegionID), level)
			d.yield(ctx, d.FederationGroup, seat.FederationGroup, level)
		}
		if level == wire.DiskFull {
			if d.disk.scarcest() != nil {
				return d.disk.full(0)
			}
			freed, err := releaseBallast(d.Dir)
			return errors.Join(err, d.disk.full(freed))
		}
		return nil
	})
}

// yield hands leadership of a group over to the voter with the most room, if it has more.
func (d *Desk) yield(ctx context.Context, g *consensus.Group, name string, mine wire.DiskLevel) {
	if !g.IsLeader() {
		return
	}
	voters, _ := membersOf(g)
	answers := d.askReplicas(ctx, voters, func(wire.NodeID) *wire.ReplicaQuery {
		return &wire.ReplicaQuery{Group: name}
	})
	to, best := wire.NodeID(""), mine
	for _, v := range voters {
		if r := answers[v]; r != nil && r.Disk != wire.DiskUnknown && r.Disk < best {
			to, best = v, r.Disk
		}
	}
	if to == "" {
		d.Log.Warn("no voter with more room on its disk to lead", "group", name)
		return
	}
	d.Log.Warn("handing leadership over for want of disk space", "group", name, "to", to)
	if err := g.TransferTo(ctx, to); err != nil && ctx.Err() == nil {
		d.Log.Warn("leadership not handed over", "group", name, "reason", err.Error())
	}
}

// setBallast makes the ballast, unless it is there, or there is no room for it above the low
// watermark.
func (d *Desk) setBallast() error {
	name := d.Dir.Sub(ballastFile)
	if d.cfg.BallastBytes == 0 || !datadir.Missing(name) {
		return nil
	}
	free, total, err := d.disk.space()
	if err != nil {
		return fmt.Errorf("ballast: %w", err)
	}
	if free < d.cfg.BallastBytes ||
		d.disk.limits.level(free-d.cfg.BallastBytes, total) != wire.DiskAmple {
		d.Log.Warn("no room for the ballast", "bytes", d.cfg.BallastBytes, "free_bytes", free)
		return nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("ballast: %w", err)
	}
	if err := errors.Join(allocate(f, int64(d.cfg.BallastBytes)), f.Close()); err != nil {
		return fmt.Errorf("ballast: %w", errors.Join(err, os.Remove(name)))
	}
	return nil
}

// releaseBallast gives the ballast's space back to the file system, and answers how much. Once
// there is none it does nothing.
func releaseBallast(d *datadir.Dir) (bytes uint64, err error) {
	name := d.Sub(ballastFile)
	info, err := os.Stat(name)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err == nil {
		err = os.Remove(name)
	}
	if err != nil {
		return 0, fmt.Errorf("ballast: %w", err)
	}
	return uint64(info.Size()), nil
}

// ballast answers MethodReleaseBallast: an operator needs the space now. The node makes a new one
// at a start that finds room for it.
func (d *Desk) ballast(_ context.Context, from link.Identity, _ *seat.None) (*wire.Ballast, error) {
	bytes, err := releaseBallast(d.Dir)
	if err != nil {
		return nil, wire.Errorf(wire.Internal, "%s", err.Error())
	}
	d.Log.Warn("the ballast was released", "operator", from.Name, "bytes", bytes)
	d.disk.look()
	return &wire.Ballast{Bytes: bytes}, nil
}

// Metrics show the room that is left, and whether the node can do its job.
func (d *Desk) Metrics() []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "staffetta_node_disk_" + name,
			Help: help}, value)
	}
	left := func(r nodeRoom, name string) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "staffetta_node_" + name,
			Help: "How many " + r.Name + " are left to the node."},
			func() float64 { return float64(r.Left()) })
	}
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "staffetta_node_ready",
			Help: "1 when the node can do its job, as /health says."},
			func() float64 { return boolGauge(d.cfg.Health().Ready) }),
		left(d.disk.rooms[0], "inodes_left"),
		left(d.disk.rooms[1], "descriptors_left"),
		gauge("full", "1 while submissions are refused for want of disk space, inodes or descriptors.",
			func() float64 { return boolGauge(d.disk.Refuses()) }),
		gauge("level", "Space on the disk: 1 ample, 2 low, 3 critical, 4 full.",
			func() float64 { return float64(d.disk.last.Load()) }),
		gauge("free_bytes", "Free space of the data directory's file system.",
			func() float64 { return float64(d.disk.free.Load()) }),
		gauge("total_bytes", "Size of the data directory's file system.",
			func() float64 { return float64(d.disk.total.Load()) }),
	}
}

// writeZeros is how a file takes up space where the file system does not reserve any.
func writeZeros(f *os.File, size int64) error {
	zeros := make([]byte, 1<<20)
	for ; size > 0; size -= int64(len(zeros)) {
		if _, err := f.Write(zeros[:min(size, int64(len(zeros)))]); err != nil {
			return err
		}
	}
	return f.Sync()
}

func boolGauge(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
