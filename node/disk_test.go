package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
		"half free":               {diskDefaults, 50 * gib, 100 * gib, wire.DiskAmple},
		"15 %":                    {diskDefaults, 15 * gib, 100 * gib, wire.DiskAmple},
		"less than 15 %":          {diskDefaults, 15*gib - 1, 100 * gib, wire.DiskLow},
		"less than 8 %":           {diskDefaults, 8*gib - 1, 100 * gib, wire.DiskCritical},
		"a percentage is no end":  {diskDefaults, gib, 100 * gib, wire.DiskCritical},
		"less than 1 GiB":         {diskDefaults, gib - 1, 2 * gib, wire.DiskLow},
		"less than 512 MiB":       {diskDefaults, 512*mib - 1, 2 * gib, wire.DiskCritical},
		"less than 128 MiB":       {diskDefaults, 128*mib - 1, 2 * gib, wire.DiskFull},
		"nothing":                 {diskDefaults, 0, 100 * gib, wire.DiskFull},
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
		if wrong.validate() == nil {
			t.Errorf("%+v is accepted", wrong)
		}
	}
	if err := errors.Join(small.validate(), diskDefaults.validate()); err != nil {
		t.Error(err)
	}
}

func TestBallast(t *testing.T) {
	const size = 3<<20 + 1
	free := uint64(100 << 20)
	n := &Node{cfg: Config{BallastBytes: size}, dir: &dataDir{path: t.TempDir()}}
	n.cfg.setDefaults()
	n.log = n.cfg.Logger
	n.disk = &disk{limits: DiskLimits{LowBytes: 98 << 20},
		space: func() (uint64, uint64, error) { return free, free, nil }}
	name := filepath.Join(n.dir.path, ballastFile)
	if err := n.setBallast(); err != nil || !missing(name) {
		t.Fatalf("without room for it above the low watermark: %v, missing: %t", err, missing(name))
	}
	free *= 2
	for range 2 { // the second time it is there
		if err := n.setBallast(); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(name); err != nil || info.Size() != size {
		t.Fatalf("ballast: %v, %v, want %d bytes", info, err, size)
	}
	for _, want := range []uint64{size, 0} {
		if got, err := n.dir.releaseBallast(); err != nil || got != want {
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
	n := &Node{dir: &dataDir{path: t.TempDir()}}
	n.cfg.setDefaults()
	n.log = n.cfg.Logger
	free := uint64(1 << 30)
	n.disk = &disk{limits: DiskLimits{LowBytes: 256 << 20, CriticalBytes: 64 << 20},
		space: func() (uint64, uint64, error) { return free, 1 << 40, nil }}
	for _, step := range []struct {
		free    uint64
		level   wire.DiskLevel
		refuses bool
	}{{1 << 30, wire.DiskAmple, false}, {200 << 20, wire.DiskLow, true},
		{50 << 20, wire.DiskCritical, true}, {1 << 30, wire.DiskAmple, false}} {
		free = step.free
		if level, _ := n.disk.look(); level != step.level || n.disk.refuses() != step.refuses {
			t.Errorf("%d bytes free: %s, refuses %t, want %s, %t", free, level, n.disk.refuses(),
				step.level, step.refuses)
		}
	}
	n.disk.space = func() (uint64, uint64, error) { return 0, 0, errors.New("no such file system") }
	if level, _ := n.disk.look(); level != wire.DiskAmple {
		t.Errorf("not measured: %s, want what it was", level)
	}
}

func TestDataDirOfANewerProgram(t *testing.T) {
	path := t.TempDir()
	o := owner{Format: ownerFormat, Node: "lazio-1", Federation: "italia", Region: "lazio"}
	open := func() error {
		d, err := openDataDir(path, o)
		if err != nil {
			return err
		}
		defer d.close()
		return d.raiseFormat(wire.Version)
	}
	for range 2 { // made, and opened again at its raised format
		if err := open(); err != nil {
			t.Fatal(err)
		}
	}
	d, err := openDataDir(path, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.raiseFormat(wire.Version + 1); err != nil {
		t.Fatal(err)
	}
	d.close()
	if err := open(); err == nil || !strings.Contains(err.Error(), "or a newer one") {
		t.Errorf("a directory of a newer program: got %v, want it refused", err)
	}
}
