package spool

import (
	"testing"

	"github.com/staffetta/staffetta/wire"
)

// TestStubsRepeat: one id may stand for two citizens, and not twice for one.
func TestStubsRepeat(t *testing.T) {
	a, b := wire.Recipient{1}, wire.Recipient{2}
	one, two := wire.MessageID{1}, wire.MessageID{2}
	stubs := []wire.Record{{Recipient: a, ID: one}, {Recipient: b, ID: one}, {Recipient: a, ID: two}}
	if repeats(stubs) {
		t.Error("three messages are taken for less")
	}
	if !repeats(append(stubs, wire.Record{Recipient: b, ID: one, Idempotency: [16]byte{1}})) {
		t.Error("a message twice is taken for two")
	}
}
