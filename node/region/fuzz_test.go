package region

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

// FuzzApply feeds Apply arbitrary bytes: as a raw entry, as a body of either kind, and as the
// body of every command. It never panics, and what it does is the same on two replicas.
func FuzzApply(f *testing.F) {
	h := newHistory(openFixture(f, testConfig(vfs.NewMem(), "lazio", newCoder(f))), 3)
	for range 60 {
		h.step()
	}
	for _, e := range h.log {
		f.Add(uint8(0), e.Data)
		if entry, err := wire.DecodeEntry(e.Data); err == nil {
			f.Add(uint8(entry.Kind), entry.Body)
		}
	}
	for _, c := range h.commands {
		f.Add(uint8(c.Kind)+2, c.Body)
	}
	base, coder := h.log, h.coder
	f.Fuzz(func(t *testing.T, how uint8, data []byte) {
		body := wire.Encode(&wire.Commands{List: []wire.Command{
			{Kind: wire.CommandKind(how) - 2, Body: data}}})
		switch how {
		case 0:
			body = data
		case uint8(wire.BlockEntry), uint8(wire.CommandsEntry):
			body = wire.EncodeEntry(wire.EntryKind(how), start, data)
		default:
			body = wire.EncodeEntry(wire.CommandsEntry, start, body)
		}
		var sums [2][32]byte
		var failed [2]bool
		for i := range sums {
			g := openFixture(t, testConfig(vfs.NewMem(), "lazio", coder))
			g.apply(base...)
			last := base[len(base)-1]
			_, err := g.Apply([]wire.LogEntry{{Index: last.Index + 1, Term: last.Term, Data: body}})
			failed[i] = err != nil
			_, sums[i] = g.Digest()
			if err == nil {
				g.checkCaches()
			}
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if sums[0] != sums[1] || failed[0] != failed[1] {
			t.Error("two replicas went different ways")
		}
	})
}
