package region

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

// TestCitizenTable holds the table against a map: what it has is right, what was dropped is gone,
// what was just put is there, and it never takes more than its bound.
func TestCitizenTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	table := newCitizenTable(4 * citizensFirst * citizenBytes)
	if table.max != 4*citizensFirst {
		t.Fatalf("%d entries at most, want %d", table.max, 4*citizensFirst)
	}
	truth := map[wire.Recipient]standing{}
	all := make([]wire.Recipient, 100_000)
	for i := range all {
		binary.LittleEndian.PutUint64(all[i][:], rng.Uint64())
		binary.LittleEndian.PutUint64(all[i][8:], rng.Uint64())
	}
	hits, looks := 0, 0
	for range 400_000 {
		r := all[rng.IntN(len(all))]
		switch rng.IntN(8) {
		case 0:
			table.drop(r)
			delete(truth, r)
			if _, ok := table.peek(r); ok {
				t.Fatal("a dropped entry is still there")
			}
		case 1, 2, 3:
			s := standing{State: wire.OwnershipState(rng.IntN(7)), Mode: wire.Mode(rng.IntN(3)),
				HasProfile: rng.IntN(2) == 0, Active: rng.IntN(2) == 0, Blocks: rng.IntN(2) == 0,
				Preferences: rng.IntN(2) == 0, Version: rng.Int64N(1 << versionBits)}
			table.put(r, s)
			truth[r] = s
			if got, ok := table.peek(r); !ok || got != s {
				t.Fatalf("put %+v, got %+v, %t", s, got, ok)
			}
		default:
			got, ok := table.get(r)
			want, known := truth[r]
			if ok && (!known || got != want) {
				t.Fatalf("got %+v, the truth is %+v, %t", got, want, known)
			}
			if known {
				looks++
				if ok {
					hits++
				}
			}
		}
		if table.used > table.max || len(table.keys) > table.max {
			t.Fatalf("%d entries in %d places, %d allowed", table.used, len(table.keys), table.max)
		}
	}
	if hits < looks/4 {
		t.Errorf("%d of %d look-ups hit", hits, looks)
	}
	var r wire.Recipient
	r[0] = 1
	table.put(r, standing{Version: 1})
	table.put(r, standing{Version: 1 << versionBits}) // does not fit: must not leave the old one
	if s, ok := table.peek(r); ok {
		t.Errorf("a standing that does not fit is cached as %+v", s)
	}
	table.clear()
	if _, ok := table.get(r); ok {
		t.Error("a cleared table has something")
	}
	table.drop(r)
}
