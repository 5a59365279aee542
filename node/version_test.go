package node

import (
	"errors"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

func TestGate(t *testing.T) {
	audited := func(kind wire.CommandKind) wire.Command {
		return wire.Command{Kind: wire.CmdAudit, Body: wire.Encode(&wire.Audited{Operator: "o",
			Action: "a", Command: wire.Command{Kind: kind}})}
	}
	for name, tc := range map[string]struct {
		command wire.Command
		active  uint32
		refused bool
	}{
		"old in an old group":      {wire.Command{Kind: wire.CmdLogin}, 1, false},
		"old in a new group":       {wire.Command{Kind: wire.CmdDirectory}, 2, false},
		"new in an old group":      {wire.Command{Kind: wire.CmdFenceSlot}, 1, true},
		"new in a new group":       {wire.Command{Kind: wire.CmdFenceSlot}, 2, false},
		"audited, in an old group": {audited(wire.CmdPutService), 1, true},
		"audited, in a new group":  {audited(wire.CmdDealSlots), 2, false},
		"what raises a region":     {wire.Command{Kind: wire.CmdRaiseVersion}, 1, false},
		"what raises a federation": {wire.Command{Kind: wire.CmdFinalise}, 1, false},
		"the same, audited":        {audited(wire.CmdFinalise), 1, false},
	} {
		err := gate([]wire.Command{{Kind: wire.CmdLogin}, tc.command}, tc.active)
		if got := errors.Is(err, wire.NotReady); got != tc.refused || got != (err != nil) {
			t.Errorf("%s: got %v, want refused: %t", name, err, tc.refused)
		}
	}
}
