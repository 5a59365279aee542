//go:build peers

package system

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/bench/measure"
)

// The test binary is the server, as the command is.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == ServeCommand {
		if err := Serve(context.Background(), os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return
	}
	os.Exit(m.Run())
}

// TestUnsyncedIsSeen: a system that acknowledges what is on no disk yet passes neither the check
// of its settings nor the count of its fsyncs.
func TestUnsyncedIsSeen(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &natsSystem{env: Env{Self: self, Codes: measure.Codes(10), Workers: 1}}
	defer s.Stop()
	if err := s.start(t.Context(), t.TempDir(), "2m"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "does not sync always") {
		t.Errorf("got %v, want that it does not sync", err)
	}
	var roots []int
	for _, server := range s.Servers() {
		roots = append(roots, server.PID)
	}
	const messages = 100
	counts, err := measure.CountSyncs(t.Context(), roots, func() error {
		_, err := s.Drive(t.Context(), Step{Mode: Single, Workers: 1, Batch: 1, Window: 1},
			Load{Count: messages})
		return err
	})
	if errors.Is(err, measure.ErrNoTracer) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range counts {
		if n >= messages/2 {
			t.Errorf("%v fsyncs for %d messages without sync_interval: always", counts, messages)
		}
	}
}
