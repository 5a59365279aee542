package session

import (
	"context"
	"errors"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

// Proofs are dear: those who find no place are told to come again, and leave none behind.
func TestProveHasPlaces(t *testing.T) {
	for range cap(provers) {
		provers <- struct{}{}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Prove(ended, "123456789", wire.Recipient{}); !errors.Is(err, wire.Overloaded) {
		t.Errorf("without a place: %v, want %v", err, wire.Overloaded)
	}
	for range cap(provers) {
		<-provers
	}
	p, err := Prove(t.Context(), "123456789", wire.Recipient{})
	if err != nil || p == (wire.Proof{}) || len(provers) != 0 {
		t.Errorf("with one: %v, %d places taken afterwards", err, len(provers))
	}
}
