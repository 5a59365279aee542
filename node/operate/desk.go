package operate

import (
	"crypto/tls"
	"slices"
	"time"

	"github.com/staffetta/staffetta/internal/adminhttp"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
)

// Config says how a node is looked after.
type Config struct {
	// Dir is on the file system that is watched.
	Dir string
	// Disk holds the watermarks of free disk space; BallastBytes is how much of it is kept for an
	// emergency.
	Disk         DiskLimits
	BallastBytes uint64
	// Space is the room on the disk; nil: that of Dir's file system.
	Space func() (free, total uint64, err error)
	// Program is what the program calls its version.
	Program string
	// Joined says that the node joined a federation that was there; Founds, that it was the first
	// of its region.
	Joined, Founds bool
	// Certificate is what the next handshake shows, Problem why its files cannot be used as they
	// are now; Problem may be nil.
	Certificate func() (*tls.Certificate, error)
	Problem     func() error
	// Health and Spool say how the node is, as it knows from all its duties.
	Health func() adminhttp.Health
	Spool  func() []wire.SpoolStatus
}

// Desk is where operators ask a node and order it. Its methods may be called concurrently.
type Desk struct {
	*seat.Seat
	cfg     Config
	disk    *disk
	opened  time.Time
	probing chan struct{} // holds one token per probe under way
}

// New looks at the disk for the first time, and makes the ballast.
func New(at *seat.Seat, cfg Config) (*Desk, error) {
	d := &Desk{Seat: at, cfg: cfg, disk: newDisk(&cfg), opened: time.Now(),
		probing: make(chan struct{}, probesMax)}
	d.disk.look()
	return d, d.setBallast()
}

// DiskSpace is what is left on the disk.
func (d *Desk) DiskSpace() seat.DiskSpace { return d.disk }

// Calls are what operators ask and order, and what keeps replicas alike.
func (d *Desk) Calls() []seat.Call {
	return slices.Concat(d.viewCalls(), d.operatorCalls(), d.approvalCalls(), d.replicaCalls())
}
