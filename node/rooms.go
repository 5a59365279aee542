package node

import (
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/staffetta/staffetta/wire"
)

// room is something of which a machine has so many and no more, and without which a node can do
// nothing: its files cannot be made, or not be opened. It is watched on the ladder of the disk's
// space, so that the node goes in order before an operation of a log or a state fails.
type room struct {
	// Set at construction.
	name string // of several of them
	end  error  // why the node ends when they are used up
	// A level is reached when fewer are left.
	low, critical, full uint64
	// count answers how many are left of how many, ok=false where that cannot be known.
	count func() (free, total uint64, ok bool)

	free, total atomic.Uint64
	last        atomic.Uint32 // wire.DiskLevel
}

// newRooms are the rooms of a node whose data lies in dir. A database of a node makes and opens a
// hundred files in a busy minute, and a node is looked at every diskPeriod.
func newRooms(dir string) []*room {
	return []*room{
		{name: "inodes", end: errDiskFull, low: 4096, critical: 1024, full: 128,
			count: func() (free, total uint64, ok bool) { return inodes(dir) }},
		{name: "file descriptors", end: errNoRoom, low: 128, critical: 64, full: 16,
			count: descriptors},
	}
}

// look counts. What cannot be counted keeps its level.
func (r *room) look() {
	free, total, ok := r.count()
	if !ok {
		return
	}
	r.free.Store(free)
	r.total.Store(total)
	level := wire.DiskAmple
	switch {
	case free < r.full:
		level = wire.DiskFull
	case free < r.critical:
		level = wire.DiskCritical
	case free < r.low:
		level = wire.DiskLow
	}
	r.last.Store(uint32(level))
}

func (r *room) level() wire.DiskLevel { return wire.DiskLevel(r.last.Load()) }

func (r *room) String() string {
	return fmt.Sprintf("%d of %d %s are left", r.free.Load(), r.total.Load(), r.name)
}

// inodes of a file system. Some have no fixed number, and say 0.
func inodes(dir string) (free, total uint64, ok bool) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil || fs.Files == 0 {
		return 0, 0, false
	}
	return fs.Ffree, fs.Files, true
}

// descriptorDirs hold a name for every file descriptor of the process that reads them.
var descriptorDirs = []string{"/proc/self/fd", "/dev/fd"}

// descriptors of this process.
func descriptors() (free, total uint64, ok bool) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, 0, false
	}
	for _, dir := range descriptorDirs {
		f, err := os.Open(dir)
		if exhausted(err) {
			return 0, limit.Cur, true
		}
		if err != nil {
			continue
		}
		names, err := f.Readdirnames(-1)
		f.Close()
		if err != nil {
			continue
		}
		used := uint64(len(names)) - 1 // without the directory's own
		return limit.Cur - min(used, limit.Cur), limit.Cur, true
	}
	return 0, 0, false
}
