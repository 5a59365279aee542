package room

import (
	"os"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

// TestLevels: each watermark is crossed one below it, both ways, and what cannot be counted keeps
// its level.
func TestLevels(t *testing.T) {
	for _, r := range []*Room{Inodes(t.TempDir()), Descriptors()} {
		left, countable := uint64(0), false
		r.Count = func() (free, total uint64, ok bool) { return left, 1 << 40, countable }
		if level, _ := r.Look(); level != wire.DiskUnknown {
			t.Errorf("%s, never counted: %s", r.Name, level)
		}
		countable = true
		last := wire.DiskUnknown
		for _, step := range []struct {
			left  uint64
			level wire.DiskLevel
		}{{r.Low, wire.DiskAmple}, {r.Low - 1, wire.DiskLow}, {r.Critical - 1, wire.DiskCritical},
			{r.Full - 1, wire.DiskFull}, {0, wire.DiskFull}, {r.Low, wire.DiskAmple}} {
			left = step.left
			level, before := r.Look()
			if level != step.level || before != last || r.Level() != level || r.Left() != left {
				t.Errorf("%d %s: %s after %s, want %s after %s", left, r.Name, level, before,
					step.level, last)
			}
			last = level
		}
		left, countable = 0, false
		if level, _ := r.Look(); level != wire.DiskAmple || r.Left() != r.Low {
			t.Errorf("%s, not counted: %s, %d left, want what it was", r.Name, level, r.Left())
		}
	}
}

// TestCounts holds files open and sees their descriptors go.
func TestCounts(t *testing.T) {
	if _, total, ok := inodes(t.TempDir()); ok && total == 0 {
		t.Error("a file system of no inodes")
	}
	before, _, ok := descriptors()
	if !ok {
		t.Skip("the file descriptors of a process cannot be counted here")
	}
	for range 10 {
		f, err := os.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	if after, _, _ := descriptors(); before-after < 5 || before-after > 100 {
		t.Errorf("with ten files more %d descriptors are left, %d were before", after, before)
	}
}
