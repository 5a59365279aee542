package main

import (
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// clockPeriod is how often the file with the clock's offset is read at most: a clock may be wrong
// for a few of these.
const clockPeriod = 25 * time.Millisecond

// clockFlags put a process's wall clock wrong, for tests of what a wrong clock does.
type clockFlags struct{ offsetFile string }

// Register adds a hidden flag: only who starts nodes for tests needs it.
func (f *clockFlags) Register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.offsetFile, "clock-offset-file", "",
		"file with a duration that is added to the wall clock; for tests only")
	cmd.Flags().MarkHidden("clock-offset-file")
}

// Now is the wall clock; nil, the right one, when no file is named.
func (f *clockFlags) Now() func() time.Time {
	if f.offsetFile == "" {
		return nil
	}
	c := &wrongClock{path: f.offsetFile}
	return c.now
}

// wrongClock is a wall clock with an offset that a test changes while the process runs.
type wrongClock struct {
	path string

	// Guarded by mu.
	mu     sync.Mutex
	read   time.Time
	offset time.Duration
}

func (c *wrongClock) now() time.Time {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read.IsZero() || now.Sub(c.read) >= clockPeriod {
		c.read, c.offset = now, readOffset(c.path, c.offset)
	}
	return now.Add(c.offset)
}

// readOffset keeps the last offset when the file is missing or half written.
func readOffset(path string, last time.Duration) time.Duration {
	b, err := os.ReadFile(path)
	if err != nil {
		return last
	}
	offset, err := time.ParseDuration(strings.TrimSpace(string(b)))
	if err != nil {
		return last
	}
	return offset
}
