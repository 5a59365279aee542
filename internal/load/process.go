package load

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor time in /proc: USER_HZ, 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// usage is what one process has used since it started.
type usage struct {
	cpu     time.Duration
	rss     int64 // bytes now
	written int64 // bytes that it caused to be written to storage
	started uint64
}

// readUsage reads /proc. A process of another user keeps its writes to itself; they are 0 then.
func readUsage(pid int) (usage, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return usage{}, fmt.Errorf("process %d: %w", pid, err)
	}
	u, err := parseStat(stat)
	if err != nil {
		return usage{}, fmt.Errorf("process %d: %w", pid, err)
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return usage{}, fmt.Errorf("process %d: %w", pid, err)
	}
	u.rss = 1024 * field(status, "VmRSS:")
	if io, err := os.ReadFile(filepath.Join(dir, "io")); err == nil {
		u.written = field(io, "write_bytes:")
	}
	return u, nil
}

// parseStat reads /proc/<pid>/stat: fields 14 and 15 are the ticks in user and system mode, 22
// the start. They are counted from behind the name, which may have blanks and brackets.
func parseStat(stat []byte) (usage, error) {
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return usage{}, errors.New("stat is too short")
	}
	var n [3]uint64
	for i, at := range []int{14, 15, 22} {
		var err error
		if n[i], err = strconv.ParseUint(fields[at-3], 10, 64); err != nil {
			return usage{}, errors.New("stat has no number where one belongs")
		}
	}
	return usage{cpu: time.Duration(n[0]+n[1]) * tick, started: n[2]}, nil
}

// field is the number behind a name in a file of lines; 0 when there is none.
func field(b []byte, name string) int64 {
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			if f := bytes.Fields(rest); len(f) > 0 {
				n, _ := strconv.ParseInt(string(f[0]), 10, 64)
				return n
			}
		}
	}
	return 0
}

// diskBytes is what a directory's files take on disk. Files with several names, as those of a
// checkpoint, count once; files that vanish meanwhile do not count.
func diskBytes(dir string) (int64, error) {
	var total int64
	seen := make(map[fileID]bool)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				id, size := onDisk(info)
				if id == (fileID{}) || !seen[id] {
					seen[id] = true
					total += size
				}
			}
		}
		if path != dir && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return total, err
}

// fileID names a file whatever its paths.
type fileID struct{ device, inode uint64 }
