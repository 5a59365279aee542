package torture

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// Each harm changes what a node has on its disk, and what was saved brings it back.
func TestHarms(t *testing.T) {
	segment := filepath.Join("region", "log", "00000000000000000001-0000000000000001.wal")
	for _, h := range harms {
		t.Run(h.name, func(t *testing.T) {
			dir, early, saved := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "saved")
			written := bytes.Repeat([]byte{7}, 100_000)
			whole := append(bytes.Clone(written), make([]byte, 100_000)...)
			for d, b := range map[string][]byte{dir: whole, early: whole[:50_000]} {
				path := filepath.Join(d, segment)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := copyDir(dir, saved); err != nil {
				t.Fatal(err)
			}
			if err := h.do(dir, early, rand.New(rand.NewPCG(1, 2))); err != nil {
				t.Fatal(err)
			}
			now, _ := os.ReadFile(filepath.Join(dir, segment))
			if bytes.HasPrefix(now, written) {
				t.Error("nothing that was written is harmed")
			}
			if err := replaceDir(dir, saved); err != nil {
				t.Fatal(err)
			}
			if back, _ := os.ReadFile(filepath.Join(dir, segment)); !bytes.Equal(back, whole) {
				t.Error("what was saved does not come back")
			}
		})
	}
}

// Each harm is a fault.
func TestEveryHarmIsAFault(t *testing.T) {
	for _, h := range harms {
		if faultNamed("forget-"+h.name) == nil {
			t.Errorf("%s is no fault", h.name)
		}
	}
}
