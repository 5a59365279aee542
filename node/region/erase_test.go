package region

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

const marker = "QUESTO TESTO DEVE SPARIRE"

// mixed is a block that delivers two messages and holds four that were refused all the same:
// switched off, unknown code, another region's code, a second copy.
func (f *fixture) mixed() (block uint64, kept []wire.Record, token wire.TokenHash) {
	f.t.Helper()
	maria, off, gone := codeOf("maria"), codeOf("off"), codeOf("gone")
	f.must(wire.CmdGrantSlots, allSlots())
	f.must(wire.CmdRelease, &wire.Release{Recipient: f.hasher.Recipient(gone), To: "sicilia",
		Epoch: 1})
	token = f.activate(maria)
	f.own(off)
	f.login(off)
	one, two := f.message(maria, someService, "uno"), f.message(maria, someService, "due")
	f.submit(one) // so that it is known when it comes again
	again := one
	again.Content = content(marker)
	first := f.message(maria, someService, "zero")
	f.submit(first, f.message(off, someService, marker), two, again,
		f.message(codeOf("nessuno"), someService, marker), f.message(gone, someService, marker),
		f.redact(f.message(codeOf("nessuno"), someService, "x")))
	return f.log[len(f.log)-1].Index, []wire.Record{first, two}, token
}

// markers counts the stored blocks whose decoded form holds the marker.
func (f *fixture) markers() (n int) {
	f.t.Helper()
	for k, v := range f.rows() {
		if k[0] != blockPrefix {
			if bytes.Contains([]byte(v), []byte(marker)) {
				f.t.Errorf("row of kind %q holds refused text", k[0])
			}
			continue
		}
		b, err := f.coder.Decode([]byte(v))
		if err != nil {
			f.t.Fatal(err)
		}
		for i := range b.Records {
			if bytes.Contains(b.Records[i].Content, []byte(marker)) {
				n++
			}
		}
	}
	return n
}

func (f *fixture) block(index uint64) *wire.Block {
	f.t.Helper()
	frame, ok, err := f.db.Get(blockKey(index))
	if err != nil || !ok {
		f.t.Fatal(err, ok)
	}
	b, err := f.coder.Decode(frame)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

func TestErase(t *testing.T) {
	f := newFixture(t, "lazio")
	index, kept, token := f.mixed()
	if got := f.markers(); got != 4 {
		t.Fatalf("%d refused texts stored, want 4: the test is wrong", got)
	}
	before := f.block(index)
	for _, m := range kept { // fill the cache of decoded blocks
		f.checkReadable(token, m)
	}
	due := f.now.Add(eraseAfterDefault)
	if list, err := f.DueErasures(due-1, 10); err != nil || len(list) != 0 {
		t.Errorf("before it is due: got %d, %v", len(list), err)
	}
	list, err := f.DueErasures(due, 10)
	if err != nil || len(list) != 1 || list[0].Block != index {
		t.Fatalf("due: got %+v, %v", list, err)
	}
	f.now = due
	f.must(wire.CmdErase, &list[0])
	if got := f.markers(); got != 0 {
		t.Errorf("%d refused texts left", got)
	}
	after := f.block(index)
	if after.Root() != before.Root() {
		t.Error("the root changed")
	}
	for i := range before.Records {
		leaf := before.Leaf(i)
		if after.Leaf(i) != leaf {
			t.Errorf("leaf %d changed", i)
		}
		if !wire.VerifyInclusion(leaf, i, len(before.Records), after.Proof(i), before.Root()) {
			t.Errorf("proof %d does not hold", i)
		}
		want := slices.Contains([]int{1, 3, 4, 5}, i)
		if after.IsErased(i) != want {
			t.Errorf("record %d erased: got %v, want %v", i, after.IsErased(i), want)
		}
	}
	for range 2 {
		for _, m := range kept {
			f.checkReadable(token, m)
		}
		f.wantOutcomes("retries", f.submit(kept...), decided(kept[0].ID, processed),
			decided(kept[1].ID, processed))
		f.restart()
	}
	if list, err := f.DueErasures(due, 10); err != nil || len(list) != 0 {
		t.Errorf("after the erasure: got %d due, %v", len(list), err)
	}
	f.refuse(wire.Conflict, wire.CmdErase, &list[0])
	if n := f.count(duePrefix); n < 1 {
		t.Error("the sessions' due rows went too")
	}
}

func (f *fixture) checkReadable(token wire.TokenHash, m wire.Record) {
	f.t.Helper()
	want := wire.Content{}
	if err := wire.Decode(m.Content, &want); err != nil {
		f.t.Fatal(err)
	}
	got, err := f.GetInbox(wire.GetInbox{Token: token, ID: m.ID}, f.now)
	if err != nil || got.Content.Markdown != want.Markdown || got.Content.Subject != want.Subject {
		f.t.Errorf("message %v: got %+v, %v", m.ID, got, err)
	}
}

func TestEraseRefuses(t *testing.T) {
	f := newFixture(t, "lazio")
	index, _, _ := f.mixed()
	b := f.block(index)
	list, err := f.DueErasures(f.now.Add(EraseAfterMax), 10)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	good := list[0]
	other := f.seal(f.message(codeOf("maria"), someService, "altro"))
	otherBlock, err := f.coder.Decode(other)
	if err != nil {
		t.Fatal(err)
	}
	altered := slices.Clone(b.Records) // the same, but for one word of a delivered message
	altered[0].Content = content("un altro testo")
	alteredBlock, err := f.coder.Decode(f.seal(altered...))
	if err != nil {
		t.Fatal(err)
	}
	of := func(block uint64, sum uint32, frame []byte) wire.EraseBlock {
		return wire.EraseBlock{Block: block, Sum: sum, Frame: frame}
	}
	for name, tt := range map[string]struct {
		code wire.Code
		e    wire.EraseBlock
	}{
		"no block":      {wire.Conflict, of(999, good.Sum, good.Frame)},
		"wrong sum":     {wire.Conflict, of(index, good.Sum+1, good.Frame)},
		"garbage":       {wire.Malformed, of(index, good.Sum, []byte("x"))},
		"another block": {wire.Malformed, of(index, good.Sum, otherBlock.Erase(f.coder))},
		"altered":       {wire.Malformed, of(index, good.Sum, alteredBlock.Erase(f.coder, 1, 3, 4, 5))},
		"too little":    {wire.Malformed, of(index, good.Sum, b.Erase(f.coder, 1, 3, 4))},
		"nothing":       {wire.Malformed, of(index, good.Sum, b.Erase(f.coder))},
		"a delivered record": {wire.Malformed,
			of(index, good.Sum, b.Erase(f.coder, 0, 1, 3, 4, 5))},
	} {
		t.Run(name, func(t *testing.T) {
			f.t = t
			f.refuse(tt.code, wire.CmdErase, &tt.e)
		})
	}
	f.t = t
	f.must(wire.CmdErase, &good)
}

func TestDueErasuresAreBounded(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdGrantSlots, allSlots())
	f.activate(codeOf("maria"))
	for range 5 {
		f.submit(f.message(codeOf("maria"), someService, "x"),
			f.message(codeOf("nessuno"), someService, marker))
		f.now = f.now.Add(time.Hour)
	}
	for limit, want := range map[int]int{2: 2, 10: 5} {
		got, err := f.DueErasures(f.now.Add(EraseAfterMax), limit)
		if err != nil || len(got) != want {
			t.Errorf("limit %d: got %d, %v, want %d", limit, len(got), err, want)
		}
	}
	got, err := f.DueErasures(start.Add(eraseAfterDefault+time.Hour), 10)
	if err != nil || len(got) != 2 {
		t.Errorf("two are due: got %d, %v", len(got), err)
	}
}

// A reader that decoded a block before it was rewritten must not bring it back into the cache.
func TestContentsForgetRewrittenBlocks(t *testing.T) {
	c := newContents(1 << 20)
	old, fresh := &wire.Block{}, &wire.Block{}
	_, changes := c.get(1)
	c.drop(1)
	c.put(1, old, changes)
	if b, _ := c.get(1); b != nil {
		t.Error("a block from before the rewrite is cached")
	}
	_, changes = c.get(1)
	c.put(1, fresh, changes)
	if b, _ := c.get(1); b != fresh {
		t.Error("a fresh block is not cached")
	}
	records := make([]wire.Record, wire.BlockRecordsMax)
	for i := range uint64(100) {
		_, changes := c.get(i)
		c.put(i, &wire.Block{Records: records}, changes)
	}
	if c.size > c.max || len(c.byIndex) != int(c.max/(recordBytes*wire.BlockRecordsMax)) {
		t.Errorf("%d blocks of %d bytes cached, %d bytes allowed", len(c.byIndex), c.size, c.max)
	}
	huge := newContents(10)
	huge.put(1, &wire.Block{Records: records}, 0)
	if huge.size != 0 {
		t.Error("a block above the bound is cached")
	}
}

func TestDamagedBlockIsAnError(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdGrantSlots, allSlots())
	token := f.activate(codeOf("maria"))
	m := f.message(codeOf("maria"), someService, "uno")
	f.submit(m)
	b := f.db.NewBatch()
	b.Delete(blockKey(f.log[len(f.log)-1].Index), nil)
	pos := f.Position()
	pos.Index++
	if err := errors.Join(f.db.Commit(b, pos, [32]byte{}), b.Close()); err != nil {
		t.Fatal(err)
	}
	_, err := f.GetInbox(wire.GetInbox{Token: token, ID: m.ID}, f.now)
	if err == nil || errors.Is(err, wire.NotFound) {
		t.Errorf("got %v, want an error that is not 'not found'", err)
	}
	if got := wire.AsError(err).Code; got != wire.Internal {
		t.Errorf("leaves the process as %v, want internal", got)
	}
}
