package operate

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/node/datadir"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
)

func TestDiskLevels(t *testing.T) {
	const gib, mib = 1 << 30, 1 << 20
	small := DiskLimits{LowBytes: 256 * mib, CriticalBytes: 64 * mib}
	for name, tc := range map[string]struct {
		limits      DiskLimits
		free, total uint64
		want        wire.DiskLevel
	}{
		"half free":              {DiskDefaults, 50 * gib, 100 * gib, wire.DiskAmple},
		"15 %":                   {DiskDefaults, 15 * gib, 100 * gib, wire.DiskAmple},
		"less than 15 %":         {DiskDefaults, 15*gib - 1, 100 * gib, wire.DiskLow},
		"less than 8 %":          {DiskDefaults, 8*gib - 1, 100 * gib, wire.DiskCritical},
		"a percentage is no end": {DiskDefaults, gib, 100 * gib, wire.DiskCritical},
		"a terabyte: ample":      {DiskDefaults, 32 * gib, 1000 * gib, wire.DiskAmple},
		"a terabyte: low":        {DiskDefaults, 32*gib - 1, 1000 * gib, wire.DiskLow},
		"a terabyte: critical":   {DiskDefaults, 16*gib - 1, 1000 * gib, wire.DiskCritical},
		"a size is as it is": {DiskLimits{LowBytes: 99 * gib}, 98 * gib, 1000 * gib,
			wire.DiskLow}, "less than 1 GiB": {DiskDefaults, gib - 1, 2 * gib, wire.DiskLow},
		"less than 512 MiB":       {DiskDefaults, 512*mib - 1, 2 * gib, wire.DiskCritical},
		"less than 128 MiB":       {DiskDefaults, 128*mib - 1, 2 * gib, wire.DiskFull},
		"nothing":                 {DiskDefaults, 0, 100 * gib, wire.DiskFull},
		"small: ample":            {small, 256 * mib, 100 * gib, wire.DiskAmple},
		"small: low":              {small, 255 * mib, 100 * gib, wire.DiskLow},
		"small: critical":         {small, 63 * mib, 100 * gib, wire.DiskCritical},
		"small: full":             {small, 15 * mib, 100 * gib, wire.DiskFull},
		"one byte":                {DiskLimits{LowBytes: 1}, 1, 100, wire.DiskAmple},
		"a file system of nobody": {DiskLimits{}, 0, 0, wire.DiskAmple},
	} {
		if got := tc.limits.level(tc.free, tc.total); got != tc.want {
			t.Errorf("%s: got %s, want %s", name, got, tc.want)
		}
	}
	for _, wrong := range []DiskLimits{{LowPercent: 101}, {LowPercent: 5, CriticalPercent: 6},
		{LowBytes: 1, CriticalBytes: 2}} {
		if wrong.Validate() == nil {
			t.Errorf("%+v is accepted", wrong)
		}
	}
	if err := errors.Join(small.Validate(), DiskDefaults.Validate()); err != nil {
		t.Error(err)
	}
}

func TestBallast(t *testing.T) {
	const size = 3<<20 + 1
	free := uint64(100 << 20)
	d := &Desk{cfg: Config{BallastBytes: size}, Seat: &seat.Seat{
		Dir: &datadir.Dir{Path: t.TempDir()}, Log: slog.New(slog.DiscardHandler)}}
	d.disk = &disk{limits: DiskLimits{LowBytes: 98 << 20},
		space: func() (uint64, uint64, error) { return free, free, nil }}
	name := filepath.Join(d.Dir.Path, ballastFile)
	if err := d.setBallast(); err != nil || !datadir.Missing(name) {
		t.Fatalf("without room for it above the low watermark: %v, missing: %t", err,
			datadir.Missing(name))
	}
	free *= 2
	for range 2 { // the second time it is there
		if err := d.setBallast(); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(name); err != nil || info.Size() != size {
		t.Fatalf("ballast: %v, %v, want %d bytes", info, err, size)
	}
	for _, want := range []uint64{size, 0} {
		if got, err := releaseBallast(d.Dir); err != nil || got != want {
			t.Errorf("released %d bytes, %v, want %d", got, err, want)
		}
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := writeZeros(f, size); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(name); err != nil || info.Size() != size {
		t.Errorf("written: %v, %v, want %d bytes", info, err, size)
	}
}

func TestDiskIsWatched(t *testing.T) {
	d := &Desk{}
	free := uint64(1 << 30)
	d.disk = &disk{limits: DiskLimits{LowBytes: 256 << 20, CriticalBytes: 64 << 20},
		space: func() (uint64, uint64, error) { return free, 1 << 40, nil }}
	for _, step := range []struct {
		free    uint64
		level   wire.DiskLevel
		refuses bool
	}{{1 << 30, wire.DiskAmple, false}, {200 << 20, wire.DiskLow, true},
		{50 << 20, wire.DiskCritical, true}, {1 << 30, wire.DiskAmple, false}} {
		free = step.free
		if level, _ := d.disk.look(); level != step.level || d.disk.Refuses() != step.refuses {
			t.Errorf("%d bytes free: %s, refuses %t, want %s, %t", free, level, d.disk.Refuses(),
				step.level, step.refuses)
		}
	}
	d.disk.space = func() (uint64, uint64, error) { return 0, 0, errors.New("no such file system") }
	if level, _ := d.disk.look(); level != wire.DiskAmple {
		t.Errorf("not measured: %s, want what it was", level)
	}
}

// TestRoomsAreWatched takes inodes and file descriptors away, which are watched on the ladder of
// disk space: the scarcest says how the node is.
func TestRoomsAreWatched(t *testing.T) {
	const plenty = 1 << 40
	for _, name := range []string{"inodes", "file descriptors"} {
		d := &disk{limits: DiskDefaults, rooms: newRooms(t.TempDir()),
			space: func() (uint64, uint64, error) { return plenty, plenty, nil }}
		left := map[string]uint64{"inodes": plenty, "file descriptors": plenty}
		var r nodeRoom
		for _, of := range d.rooms {
			of.Count = func() (uint64, uint64, bool) { return left[of.Name], plenty, true }
			if of.Name == name {
				r = of
			}
		}
		for _, step := range []struct {
			left  uint64
			level wire.DiskLevel
		}{{plenty, wire.DiskAmple}, {r.Low, wire.DiskAmple}, {r.Low - 1, wire.DiskLow},
			{r.Critical - 1, wire.DiskCritical}, {r.Full - 1, wire.DiskFull}, {0, wire.DiskFull},
			{plenty, wire.DiskAmple}} {
			left[name] = step.left
			level, _ := d.look()
			if level != step.level || d.Refuses() != (level >= wire.DiskLow) ||
				level >= wire.DiskLow != strings.Contains(d.String(), name+" are left") {
				t.Errorf("%d %s: %s (%s), want %s", step.left, name, level, d, step.level)
			}
			if err := d.full(0); level == wire.DiskFull && !errors.Is(err, r.end) {
				t.Errorf("the node ends with %v, want %v", err, r.end)
			}
		}
	}
}

// TestFullDiskSaysWhatWasGivenUp: a ballast that was not there is not spoken of.
func TestFullDiskSaysWhatWasGivenUp(t *testing.T) {
	d := &disk{}
	d.free.Store(12 << 20)
	d.total.Store(1 << 30)
	for ballast, want := range map[uint64]string{
		0: "the disk is full: 12 MiB, 1 % free; the node ends before a write fails with no " +
			"space left on device",
		256 << 20: "the disk is full: 12 MiB, 1 % free; the node ends before a write fails with " +
			"no space left on device, and its ballast of 256 MiB was given up for that",
	} {
		if err := d.full(ballast); err.Error() != want || !errors.Is(err, ErrDiskFull) {
			t.Errorf("ballast of %d bytes: %q, want %q", ballast, err, want)
		}
	}
}
