package federation

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
)

var testHasher = wire.NewHasher(wire.DirectoryKey{1, 2, 3})

func testConfig(fs vfs.FS) Config {
	return Config{Hasher: testHasher, Store: store.Config{Dir: "/fed", FS: fs,
		MemTableBytes: 256 << 10, Identity: store.Identity{Federation: "italia"}}}
}

func mustOpen(t testing.TB, fs vfs.FS) *State {
	t.Helper()
	s, err := Open(testConfig(fs))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// testMap deals the slots of regions in turn and gives each three nodes.
func testMap(regions ...wire.RegionID) *wire.Map {
	m := &wire.Map{Federation: "italia", Version: 1, SlotOwners: make([]wire.RegionTag, wire.Slots)}
	for i, r := range regions {
		m.Regions = append(m.Regions, wire.Region{ID: r, Tag: wire.RegionTag(i + 1)})
		for n := range 3 {
			id := wire.NodeID(fmt.Sprintf("%s-%d", r, n+1))
			m.Nodes = append(m.Nodes, wire.Node{ID: id, Region: r, Voter: i == 0,
				Addr: fmt.Sprintf("127.0.0.1:%d", 7000+10*i+n)})
		}
	}
	for s := range m.SlotOwners {
		m.SlotOwners[s] = wire.RegionTag(s%len(regions) + 1)
	}
	return m
}

// recipientOf and keyOf turn names that people read into hashes.
func recipientOf(name string) wire.Recipient {
	sum := sha256.Sum256([]byte(name))
	return wire.Recipient(sum[:16])
}

func keyOf(name string) wire.KeyHash {
	if name == "none" || name == "" {
		return wire.KeyHash{}
	}
	return sha256.Sum256([]byte("key " + name))
}

func command(kind wire.CommandKind, m codec.Message) wire.Command {
	return wire.Command{Kind: kind, Body: wire.Encode(m)}
}

func entryOf(index uint64, commands ...wire.Command) wire.LogEntry {
	return wire.LogEntry{Index: index, Term: 1, Data: wire.EncodeEntry(wire.CommandsEntry,
		wire.Time(1_700_000_000_000+index), wire.Encode(&wire.Commands{List: commands}))}
}

// apply applies one entry of commands after what s has, and returns their results.
func apply(t testing.TB, s *State, commands ...wire.Command) []wire.Result {
	t.Helper()
	results, err := s.Apply([]wire.LogEntry{entryOf(s.Position().Index+1, commands...)})
	if err != nil {
		t.Fatal(err)
	}
	return results[0].(*wire.Results).List
}

// succeed is apply for commands that must succeed.
func succeed(t testing.TB, s *State, commands ...wire.Command) []wire.Result {
	t.Helper()
	results := apply(t, s, commands...)
	for i, r := range results {
		if r.Err != nil {
			t.Fatalf("command %d: %v", i, r.Err)
		}
	}
	return results
}

func directoryOp(kind wire.DirectoryOpKind, name string, region wire.RegionID, epoch wire.Epoch,
	active bool) wire.Command {
	return command(wire.CmdDirectory, &wire.DirectoryOps{List: []wire.DirectoryOp{{Kind: kind,
		Recipient: recipientOf(name), Region: region, Epoch: epoch, Active: active}}})
}

// rowsOf is everything in the state, in order.
func rowsOf(t testing.TB, s *State) (keys []string, values map[string]string) {
	t.Helper()
	values = map[string]string{}
	err := s.db.View(func(r pebble.Reader) error {
		return store.IterateFrom(r, []byte{store.ReservedPrefix + 1}, nil, false,
			func(k, v []byte) (bool, error) {
				keys = append(keys, string(k))
				values[string(k)] = string(v)
				return true, nil
			})
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys, values
}
