package region

import (
	"bytes"
	"encoding/binary"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

// cachedKey is what the table keeps of a recipient.
type cachedKey struct {
	shard byte
	key   [standingKeyBytes]byte
}

func keyOf(r wire.Recipient) cachedKey {
	return cachedKey{r[standingKeyBytes] % standingShards, [standingKeyBytes]byte(r[:])}
}

// all are the table's entries.
func (t *standingTable) all() iter.Seq2[cachedKey, standing] {
	return func(yield func(cachedKey, standing) bool) {
		for i := range t.shards {
			for mem := t.shards[i].mem; len(mem) > 0; mem = mem[standingBytes:] {
				k := cachedKey{byte(i), [standingKeyBytes]byte(mem)}
				if v := value(mem); v != 0 && !yield(k, unpackStanding(v)) {
					return
				}
			}
		}
	}
}

// TestStandingTable holds the table against a map: what it has is right, what was dropped is gone,
// what was just put is there, and it never takes more than its bound.
func TestStandingTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const bound = 4 * standingsFirst * standingShards
	table := newStandingTable(bound * standingBytes)
	defer table.clear()
	if table.max*standingShards != bound {
		t.Fatalf("%d entries in a shard at most, want %d", table.max, bound/standingShards)
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
			s := standing{State: wire.OwnershipState(rng.IntN(6)), Mode: wire.Mode(rng.IntN(3)),
				HasProfile: rng.IntN(2) == 0, Active: rng.IntN(2) == 0, Blocks: rng.IntN(2) == 0,
				Preferences: rng.IntN(2) == 0, Version: rng.Int64N(1<<versionBits) + versionMin}
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
		if s := table.shard(r); len(s.mem) > table.max*standingBytes {
			t.Fatalf("%d bytes in a shard of at most %d entries", len(s.mem), table.max)
		}
	}
	var used, entries int
	for i := range table.shards {
		used += table.shards[i].used
	}
	for range table.all() {
		entries++
	}
	if used != entries {
		t.Errorf("%d entries are counted, and %d there", used, entries)
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

// TestStandingTableInOrder: keys that come in order, as a start reads them, find room as others do.
func TestStandingTableInOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	table := newStandingTable(64 << 20)
	defer table.clear()
	all := make([]wire.Recipient, 300_000)
	for i := range all {
		binary.LittleEndian.PutUint64(all[i][:], rng.Uint64())
		binary.LittleEndian.PutUint64(all[i][8:], rng.Uint64())
	}
	slices.SortFunc(all, func(a, b wire.Recipient) int { return bytes.Compare(a[:], b[:]) })
	for _, r := range all {
		table.put(r, standing{State: wire.Owned})
	}
	there := 0
	for _, r := range all {
		if _, ok := table.peek(r); ok {
			there++
		}
	}
	if there < len(all)*9/10 {
		t.Errorf("%d of %d entries are there", there, len(all))
	}
}
