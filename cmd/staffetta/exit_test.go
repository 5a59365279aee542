package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/wire"
)

// TestExitCodes: a node that must not come back ends as the unit expects it to, and nobody else.
func TestExitCodes(t *testing.T) {
	damaged := fmt.Errorf("region state: %w", &store.Fault{File: "x", Kind: store.ErrDamaged,
		Err: errors.New("checksum")})
	for err, want := range map[error]int{
		errors.New("anything"): 1,
		&cli.ExitError{Code: cli.ExitInterrupted, Err: errors.New("x")}: cli.ExitInterrupted,
		damaged: node.ExitFinal,
		fmt.Errorf("slots: %w", errors.Join(wire.Errorf(wire.AwaitsApproval, "x"))):            cli.ExitAwaits,
		fmt.Errorf("%w", &store.Fault{File: "x", Kind: store.ErrExhausted, Err: os.ErrClosed}): 1,
	} {
		if got := cli.ExitCode(err); got != want {
			t.Errorf("%v: exit code %d, want %d", err, got, want)
		}
	}
	unit, err := os.ReadFile("../../deploy/systemd/staffetta-node.service")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("\nRestartPreventExitStatus=%d\n", node.ExitFinal)
	if !strings.Contains(string(unit), want) {
		t.Errorf("the unit does not have %q", want)
	}
}
