package measure

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// Usage is what processes have used since they started.
type Usage struct {
	CPU time.Duration // user and system
	// Written is the bytes of the pages that they made dirty. A kernel whose pages come in
	// large folios counts a whole folio for one byte in it, up to some hundred KiB: then it is
	// far above what reaches the disk.
	Written int64
}

// Sub is what was used since an earlier moment.
func (u Usage) Sub(earlier Usage) Usage {
	return Usage{u.CPU - earlier.CPU, u.Written - earlier.Written}
}

// Tree is the process pid and all its descendants that run now, pid first.
func Tree(pid int) ([]int, error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	for _, p := range all {
		if stat, err := p.Stat(); err == nil { // one that ended meanwhile is not there
			children[stat.PPID] = append(children[stat.PPID], p.PID)
		}
	}
	tree := []int{pid}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i]]...)
	}
	return tree, nil
}

// ReadUsage is the usage of the trees of pids: with descendants that run, and with those that
// ended and were waited for, which Linux counts with their parents. The trees must be disjoint.
func ReadUsage(pids []int) (Usage, error) {
	var total Usage
	for _, root := range pids {
		tree, err := Tree(root)
		if err != nil {
			return total, err
		}
		for _, pid := range tree {
			u, err := processUsage(pid)
			if err != nil && pid == root {
				return total, fmt.Errorf("process %d: %w", pid, err)
			}
			total.CPU += u.CPU
			total.Written += u.Written
		}
	}
	return total, nil
}

func processUsage(pid int) (Usage, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return Usage{}, err
	}
	stat, err := p.Stat()
	if err != nil {
		return Usage{}, err
	}
	io, err := p.IO()
	if err != nil {
		return Usage{}, err
	}
	cpu := ticks(int64(stat.UTime + stat.STime))
	if stat.NumThreads == 1 {
		// Ticks are cut off below 10 ms, which for a system of hundreds of short-lived processes
		// adds up to seconds. The scheduler counts nanoseconds, for each thread alone.
		if s, err := p.Schedstat(); err == nil && s.RunningNanoseconds > 0 {
			cpu = time.Duration(s.RunningNanoseconds)
		}
	}
	cpu += ticks(int64(stat.CUTime) + int64(stat.CSTime))
	return Usage{cpu, int64(io.WriteBytes)}, nil
}

// ticks are of 10 ms: USER_HZ is 100 on every Linux that Go runs on.
func ticks(n int64) time.Duration { return time.Duration(n) * 10 * time.Millisecond }

// Own is the processor time of this process alone, without its children.
func Own() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// DeviceWritten is the number of bytes written, by anybody, to the block device that holds dir:
// file system journal included. Before it counts it has all dirty pages of the file system
// written, so that none of them is counted later. ok is false where the device cannot be told.
func DeviceWritten(dir string) (written int64, ok bool) {
	if f, err := os.Open(dir); err == nil {
		unix.Syncfs(int(f.Fd())) // where it cannot, the figure is that of the moment
		f.Close()
	}
	var s unix.Stat_t
	if err := unix.Stat(dir, &s); err != nil {
		return 0, false
	}
	path := fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(s.Dev), unix.Minor(s.Dev))
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	// Field 7 is sectors written, of 512 bytes whatever the device has.
	fields := strings.Fields(string(b))
	if len(fields) < 7 {
		return 0, false
	}
	sectors, err := strconv.ParseInt(fields[6], 10, 64)
	return sectors * 512, err == nil
}

const (
	settlePoll = 250 * time.Millisecond
	// settledBytes is the growth within a settle time that still counts as none: heartbeats and
	// logs write a little for ever.
	settledBytes = 64 << 10
)

// Settle waits until the processes write no more: less than 64 KiB within quiet, or until
// atMost has passed. It reports whether they came to rest.
func Settle(ctx context.Context, pids []int, quiet, atMost time.Duration) (bool, error) {
	last, err := ReadUsage(pids)
	if err != nil {
		return false, err
	}
	start := time.Now()
	since := start
	ticker := time.NewTicker(settlePoll)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		now, err := ReadUsage(pids)
		if err != nil {
			return false, err
		}
		if now.Written-last.Written >= settledBytes {
			last, since = now, time.Now()
		}
		if time.Since(since) >= quiet {
			return true, nil
		}
		if time.Since(start) >= atMost {
			return false, nil
		}
	}
}

// tasks are the threads of a process.
func tasks(pid int) ([]string, error) {
	return filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
}
