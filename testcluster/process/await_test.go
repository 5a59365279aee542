package process_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

const (
	// patience bounds every wait of these tests. It is no promise, only an end: a machine that
	// is busy with other things takes long for what takes a second otherwise.
	patience = 60 * time.Second
	poll     = 20 * time.Millisecond
)

// await waits until the condition holds; what says what is waited for.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if !within(patience, holds) {
		t.Fatalf("waited %s in vain until %s", patience, what)
	}
}

// within reports whether the condition comes to hold in time.
func within(limit time.Duration, holds func() bool) bool {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for end := time.Now().Add(limit); ; <-tick.C {
		if holds() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// output is what a process writes, readable while it runs.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// processesOf lists the processes that have a path below dir in their command line: the children
// of the federation that lies there.
func processesOf(dir string) (pids []int) {
	entries, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range entries {
		line, err := os.ReadFile(path) // empty for one that ended and was not waited for
		if err != nil || !bytes.Contains(line, []byte(dir+"/")) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// running reports whether the process runs; one that ended and was not waited for does not.
func running(pid int) bool {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return err == nil && len(line) > 0
}

// stopped reports whether every thread of the process is stopped by a signal.
func stopped(pid int) bool {
	stats, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		// The state follows the command's name, which stands in parentheses.
		if end := bytes.LastIndexByte(b, ')'); err != nil || !bytes.HasPrefix(b[end+1:],
			[]byte(" T")) {
			return false
		}
	}
	return len(stats) > 0
}
