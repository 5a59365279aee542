package region

import (
	"testing"

	"github.com/staffetta/staffetta/wire"
)

func init() { corpora["v3-copykey"] = (*writer).version3CopyKey }

// version3CopyKey keeps the first key of a recovery key, the next one's in its place, and none that
// says nothing.
func (c *writer) version3CopyKey() {
	c.command(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: 3})
	for _, k := range []wire.CopyKey{{}, {Recovery: wire.RecoveryID{1}}, {Key: [32]byte{1}},
		{Recovery: wire.RecoveryID{1}, Key: [32]byte{1}},
		{Recovery: wire.RecoveryID{1}, Key: [32]byte{2}},
		{Recovery: wire.RecoveryID{2}, Key: [32]byte{3}}} {
		c.command(wire.CmdCopyKey, &k)
	}
	c.commands(wire.Command{Kind: wire.CmdCopyKey, Body: []byte{0xff}})
}

// TestCopyKey: a recovery key has one copy key, the first; another recovery key has another.
func TestCopyKey(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: 3})
	one, two := wire.RecoveryID{1}, wire.RecoveryID{2}
	want := func(of wire.RecoveryID, key byte) {
		t.Helper()
		k, err := f.CopyKey(of)
		if err != nil || (k == nil) != (key == 0) || k != nil && k.Key[0] != key {
			t.Errorf("of %s: got %v, %v, want %d", of, k, err, key)
		}
	}
	want(one, 0)
	f.refuse(wire.Malformed, wire.CmdCopyKey, &wire.CopyKey{Recovery: one})
	f.must(wire.CmdCopyKey, &wire.CopyKey{Recovery: one, Key: [32]byte{7}})
	f.must(wire.CmdCopyKey, &wire.CopyKey{Recovery: one, Key: [32]byte{8}})
	want(one, 7)
	f.restart()
	want(one, 7)
	f.must(wire.CmdCopyKey, &wire.CopyKey{Recovery: two, Key: [32]byte{9}})
	want(one, 0)
	want(two, 9)
}
