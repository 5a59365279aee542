package scale

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// usage is what this process has used since it started. Where there is no /proc the bytes are 0.
type usage struct {
	cpu     time.Duration
	written int64 // bytes given to the file system
	read    int64 // bytes that came from storage, not from memory
}

func readUsage() (u usage) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err == nil {
		u.cpu = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	if b, err := os.ReadFile("/proc/self/io"); err == nil {
		u.written, u.read = field(b, "wchar:"), field(b, "read_bytes:")
	}
	return u
}

func (u usage) since(before usage) usage {
	return usage{cpu: u.cpu - before.cpu, written: u.written - before.written,
		read: u.read - before.read}
}

// memory is what this process occupies, and the most that it did since forgetPeak.
func memory() (now, peak int64) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	return 1024 * field(b, "VmRSS:"), 1024 * field(b, "VmHWM:")
}

// forgetPeak begins a new peak of memory, where the kernel lets it.
func forgetPeak() {
	if f, err := os.OpenFile("/proc/self/clear_refs", os.O_WRONLY, 0); err == nil {
		f.WriteString("5")
		f.Close()
	}
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

const (
	// settleTime is how long a database that is idle writes nothing and keeps its size, looked at
	// settlePolls times. A compaction that runs writes all the time.
	settleTime  = 200 * time.Millisecond
	settlePolls = 8
)

// settle waits until the database whose size is diskBytes has done nothing for as long as quiet.
// It returns what had been used when it last did something.
func settle(ctx context.Context, quiet time.Duration, diskBytes func() uint64) (at time.Time,
	u usage, err error) {
	tick := time.NewTicker(quiet / settlePolls)
	defer tick.Stop()
	at, u = time.Now(), readUsage()
	size := diskBytes()
	for still := 0; still < settlePolls; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return at, u, ctx.Err()
		}
		now, s := readUsage(), diskBytes()
		still++
		if now.written != u.written || s != size {
			at, u, size, still = time.Now(), now, s, 0
		}
	}
	return at, u, nil
}
