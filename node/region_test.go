package node

import (
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
)

// anchoring is an owner of nothing, which may decide about unclaimed codes or not.
type anchoring bool

func (a anchoring) Anchors(wire.Slot) bool                                       { return bool(a) }
func (anchoring) CheckArriving(wire.Recipient) error                             { return nil }
func (anchoring) Claim(context.Context, wire.Recipient) error                    { return nil }
func (anchoring) RefuseForeign(_ []wire.Record, o []wire.Outcome) []wire.Outcome { return o }

// TestUnclaimedReads: that an anchor has no message of a code says nothing once the map deals the
// slot to another region, which may have one.
func TestUnclaimedReads(t *testing.T) {
	hasher := wire.NewHasher(wire.DirectoryKey{7})
	coder, err := wire.NewCoder(1)
	if err != nil {
		t.Fatal(err)
	}
	defer coder.Close()
	state, err := region.Open(region.Config{Region: "lazio", Hasher: hasher, Coder: coder,
		Store: store.Config{Dir: "state", FS: vfs.NewMem(),
			Identity: store.Identity{Federation: "italia"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	q := &wire.FindMessage{Recipient: hasher.Recipient("RSSMRA80A01H501U"), ID: wire.MessageID{1}}
	grant := wire.Commands{List: []wire.Command{{Kind: wire.CmdGrantSlots, Body: wire.Encode(
		&wire.GrantSlots{Slots: []wire.Slot{q.Recipient.Slot()}})}}}
	group := &soleGroup{state: state}
	if _, err := group.Propose(t.Context(), wire.EncodeEntry(wire.CommandsEntry, 1,
		wire.Encode(&grant))); err != nil {
		t.Fatal(err)
	}
	for anchors, want := range map[anchoring]error{true: wire.NotFound, false: wire.Unavailable} {
		c := newCitizens(&seat.Seat{Region: state}, anchors)
		if _, err := c.findMessage(q, 0); !errors.Is(err, want) {
			t.Errorf("an anchor that decides: %t: got %v, want %v", anchors, err, want)
		}
	}
}
