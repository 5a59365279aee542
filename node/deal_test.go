package node

import (
	"testing"
	"time"

	"github.com/staffetta/staffetta/node/seat"
)

// TestDealsAndSuspension: what a machine slept makes what is known of the deals of slots older.
func TestDealsAndSuspension(t *testing.T) {
	var slept time.Duration
	up := func() time.Duration { return seat.Monotonic() + slept }
	n := &Node{deals: seat.NewContact(up, seat.LongAgo)}
	if n.knowsDeals() {
		t.Error("a node that never asked knows every deal")
	}
	n.deals.Note(0)
	if !n.knowsDeals() {
		t.Error("a node that has just asked does not know the deals")
	}
	slept = anchorContactMax + time.Second
	if n.knowsDeals() {
		t.Error("a node whose machine was suspended decides on")
	}
}
