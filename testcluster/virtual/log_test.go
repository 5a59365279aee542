package virtual

import (
	"fmt"
	"log/slog"
	"testing"
)

// said is a test that keeps what it was told.
type said struct {
	testing.TB
	errors []string
}

func (s *said) Errorf(format string, args ...any) {
	s.errors = append(s.errors, fmt.Sprintf(format, args...))
}

// TestOnceKeys: a key that a line has twice is found, in lines that nobody writes too.
func TestOnceKeys(t *testing.T) {
	heard := &said{TB: t}
	log := slog.New(onceKeys{t: heard, Handler: slog.DiscardHandler}).With("node", "lazio-2")
	log.Info("good", "member", "lazio-3")
	if len(heard.errors) != 0 {
		t.Error(heard.errors)
	}
	log.Info("of the logger", "node", "lazio-3")
	log.Info("of the line", "a", 1, "a", 2)
	log.With("group", "x").With("group", "y")
	if len(heard.errors) != 3 {
		t.Errorf("%d faults were found, want 3: %q", len(heard.errors), heard.errors)
	}
}
