package main

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// TestWrongClock: the file is read once a period at most, and what cannot be read changes nothing.
func TestWrongClock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "offset")
	synctest.Test(t, func(t *testing.T) {
		now := (&clockFlags{offsetFile: path}).Now()
		for _, step := range []struct {
			text string // "-": no file
			wait time.Duration
			want time.Duration
		}{
			{"-", 0, 0},
			{"10m\n", 0, 0}, // read in this period
			{"10m\n", clockPeriod, 10 * time.Minute},
			{"ten minutes", clockPeriod, 10 * time.Minute},
			{"-", clockPeriod, 10 * time.Minute},
			{"-3s", clockPeriod, -3 * time.Second},
		} {
			if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if step.text != "-" {
				if err := os.WriteFile(path, []byte(step.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(step.wait)
			if got := time.Until(now()); got != step.want {
				t.Errorf("%q after %s: got an offset of %s, want %s", step.text, step.wait, got,
					step.want)
			}
		}
	})
	if (&clockFlags{}).Now() != nil {
		t.Error("without the flag the clock is not the right one")
	}
}
