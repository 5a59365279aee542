// Package room counts what a machine has so many of and no more, and what a process cannot work
// without: the inodes of a file system, the process's file descriptors. Each is watched on the
// ladder of a disk's space, so that the process acts in order before an operation fails.
package room

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/staffetta/staffetta/wire"
	"golang.org/x/sys/unix"
)

// Room is one of them. It may be looked at and read by several goroutines.
type Room struct {
	// Set at construction.
	Name string // of several of them
	// A level is reached when fewer are left.
	Low, Critical, Full uint64
	// Count answers how many are left of how many, ok=false where that cannot be known.
	Count func() (free, total uint64, ok bool)

	free, total atomic.Uint64
	last        atomic.Uint32 // wire.DiskLevel
}

// Inodes are those of the file system of dir. A database makes a hundred files in a busy minute.
func Inodes(dir string) *Room {
	return &Room{Name: "inodes", Low: 4096, Critical: 1024, Full: 128,
		Count: func() (free, total uint64, ok bool) { return inodes(dir) }}
}

// Descriptors are the file descriptors of this process.
func Descriptors() *Room {
	return &Room{Name: "file descriptors", Low: 128, Critical: 64, Full: 16, Count: descriptors}
}

// Look counts, and answers the level and the one before. What cannot be counted keeps its level,
// unknown before the first count.
func (r *Room) Look() (level, before wire.DiskLevel) {
	before = r.Level()
	free, total, ok := r.Count()
	if !ok {
		return before, before
	}
	r.free.Store(free)
	r.total.Store(total)
	level = wire.DiskAmple
	switch {
	case free < r.Full:
		level = wire.DiskFull
	case free < r.Critical:
		level = wire.DiskCritical
	case free < r.Low:
		level = wire.DiskLow
	}
	r.last.Store(uint32(level))
	return level, before
}

// Level is what Look found last.
func (r *Room) Level() wire.DiskLevel { return wire.DiskLevel(r.last.Load()) }

// Left is how many Look found left.
func (r *Room) Left() uint64 { return r.free.Load() }

// String says how many are left, for people.
func (r *Room) String() string {
	return fmt.Sprintf("%d of %d %s are left", r.free.Load(), r.total.Load(), r.Name)
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

func descriptors() (free, total uint64, ok bool) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, 0, false
	}
	for _, dir := range descriptorDirs {
		f, err := os.Open(dir)
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
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
