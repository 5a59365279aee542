package seat

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
		want    error
	}{
		"old in an old group":      {wire.Command{Kind: wire.CmdLogin}, 1, nil},
		"old in a new group":       {wire.Command{Kind: wire.CmdDirectory}, 2, nil},
		"new in an old group":      {wire.Command{Kind: wire.CmdFenceSlot}, 1, wire.NotReady},
		"new in a new group":       {wire.Command{Kind: wire.CmdFenceSlot}, 2, nil},
		"audited, in an old group": {audited(wire.CmdPutService), 1, wire.NotReady},
		"audited, in a new group":  {audited(wire.CmdDealSlots), 2, nil},
		"what raises a region":     {wire.Command{Kind: wire.CmdRaiseVersion}, 1, nil},
		"what raises a federation": {wire.Command{Kind: wire.CmdFinalise}, 1, nil},
		"the same, audited":        {audited(wire.CmdFinalise), 1, nil},
		"of a number not assigned": {wire.Command{Kind: 51}, wire.Version, wire.UnknownKind},
		"the same, audited too":    {audited(200), wire.Version, wire.UnknownKind},
	} {
		err := Gate([]wire.Command{{Kind: wire.CmdLogin}, tc.command}, tc.active)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
}
