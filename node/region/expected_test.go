package region

import (
	"testing"

	"github.com/staffetta/staffetta/wire"
)

// TestExpectedBlock holds that Apply takes the block that was expected for an entry's memory, and
// decodes an equal entry elsewhere.
func TestExpectedBlock(t *testing.T) {
	f := newFixture(t, "lazio")
	code := codeOf("mario")
	f.own(code)
	f.activate(code)
	entry := func() wire.LogEntry {
		return f.entry(wire.BlockEntry, f.seal(f.message(code, someService, "")))
	}
	block := func(e wire.LogEntry) *wire.Block {
		decoded, err := wire.DecodeEntry(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		b, err := f.coder.Decode(decoded.Body)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	status := func(e wire.LogEntry) wire.MessageID {
		results, err := f.Apply([]wire.LogEntry{e})
		if err != nil {
			t.Fatal(err)
		}
		return results[0].(*wire.Outcomes).List[0].ID
	}

	// A block with another id shows which one was used.
	e := entry()
	b := block(e)
	want := f.id()
	b.Records[0].ID = want
	forget := f.Expect(e.Data, b)
	if got := status(e); got != want {
		t.Errorf("the expected block was not used: id %v, want %v", got, want)
	}
	forget()

	e = entry()
	b = block(e)
	want = b.Records[0].ID
	other := *b
	other.Records = append([]wire.Record(nil), b.Records...)
	other.Records[0].ID = f.id()
	f.Expect(e.Data, &other)()
	if got := status(e); got != want {
		t.Errorf("a forgotten block was used: id %v, want %v", got, want)
	}
}
