package operator

import (
	"errors"
	"slices"
	"testing"

	"github.com/staffetta/staffetta/internal/trail"
	"github.com/staffetta/staffetta/wire"
)

// TestFollowMove: an operator's call reaches the owner, or ends and says why.
func TestFollowMove(t *testing.T) {
	moved := func(region wire.RegionID, epoch wire.Epoch) error {
		return &wire.Error{Code: wire.Moved, Region: region, Epoch: epoch}
	}
	for name, c := range map[string]struct {
		says map[wire.RegionID]error // who is not in it owns the code
		want error
		asks []wire.RegionID
	}{
		"the owner": {nil, nil, []wire.RegionID{"lazio"}},
		"moved once": {map[wire.RegionID]error{"lazio": moved("sicilia", 5)}, nil,
			[]wire.RegionID{"lazio", "sicilia"}},
		"moved in a circle": {map[wire.RegionID]error{"lazio": moved("sicilia", 5),
			"sicilia": moved("lazio", 5)}, wire.Moved, []wire.RegionID{"lazio", "sicilia"}},
		"owner away": {map[wire.RegionID]error{"lazio": moved("sicilia", 5),
			"sicilia": wire.Unavailable}, wire.Unavailable, []wire.RegionID{"lazio", "sicilia"}},
		"stale epoch": {map[wire.RegionID]error{"lazio": moved("sicilia", 4)}, wire.Moved,
			[]wire.RegionID{"lazio"}},
		"handing over": {map[wire.RegionID]error{"lazio": moved("", 0)}, wire.Moved,
			[]wire.RegionID{"lazio"}},
	} {
		var asks []wire.RegionID
		got, err := followed(wire.DirectoryEntry{Region: "lazio", Epoch: 4},
			func(region wire.RegionID) ([]byte, error) {
				asks = append(asks, region)
				return wire.Encode(&wire.Move{Region: region}), c.says[region]
			})
		if !errors.Is(err, c.want) || (got == nil) != (c.want != nil) || !slices.Equal(asks, c.asks) {
			t.Errorf("%s: got %v, %v after %v, want %v after %v", name, got, err, asks, c.want, c.asks)
		}
		if got != nil && got.Region != asks[len(asks)-1] {
			t.Errorf("%s: the answer of %s, asked last was %s", name, got.Region, asks[len(asks)-1])
		}
	}
	epoch, asked := wire.Epoch(4), 0
	_, err := followed(wire.DirectoryEntry{Region: "lazio", Epoch: epoch},
		func(wire.RegionID) ([]byte, error) {
			asked++
			epoch++
			return nil, moved("lazio", epoch)
		})
	if !errors.Is(err, wire.Moved) || asked != 1+trail.HopsMax {
		t.Errorf("sent on for ever: %v after %d regions", err, asked)
	}
}

func followed(owner wire.DirectoryEntry, ask func(wire.RegionID) ([]byte, error)) (*wire.Move,
	error) {
	move := new(wire.Move)
	err := followOwner(owner, move, ask)
	if err != nil {
		move = nil
	}
	return move, err
}
