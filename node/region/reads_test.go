package region

import (
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

func init() { corpora["v3-reads"] = (*writer).version3Reads }

// version3Reads notes what operators read, the same again, and what is no note.
func (c *writer) version3Reads() {
	c.command(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: 3})
	note := wire.ReadNote{Operator: "ada", Action: "backup", Subject: "group region/lazio"}
	for _, pause := range []time.Duration{0, time.Second, time.Minute} {
		c.now = c.now.Add(pause)
		c.command(wire.CmdNoteRead, &note)
	}
	c.commands(wire.Command{Kind: wire.CmdNoteRead, Body: []byte{0xff}})
	c.command(wire.CmdNoteRead, &wire.ReadNote{Operator: "ada"})
	c.command(wire.CmdNoteRead, &wire.ReadNote{Operator: "bice", Action: "explain"})
	c.command(wire.CmdNoteRead, &wire.ReadNote{Operator: "ada", Action: "explain",
		Subject: strings.Repeat("x", wire.AuditTextMax+1)})
}

// TestReadsAreKept: each read is a line, the same within some seconds is one, pages follow each
// other, and the oldest lines go.
func TestReadsAreKept(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: 3})
	note := func(subject string) {
		f.must(wire.CmdNoteRead, &wire.ReadNote{Operator: "ada", Action: "explain",
			Subject: subject})
	}
	note("one")
	note("one")
	note("two")
	f.now = f.now.Add(time.Minute)
	note("two")
	f.refuse(wire.Malformed, wire.CmdNoteRead, &wire.ReadNote{Operator: "ada"})
	page, err := f.Reads(&wire.ListAudit{Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	rest, err := f.Reads(&wire.ListAudit{After: page.Next})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range append(page.Lines, rest.Lines...) {
		got = append(got, l.Subject)
	}
	if strings.Join(got, " ") != "one two two" || rest.Next != 0 {
		t.Errorf("got %q, then %d", got, rest.Next)
	}
	for n := range readsKept {
		note(time.Duration(n).String())
	}
	if page, err = f.Reads(&wire.ListAudit{}); err != nil || page.Dropped != 3 ||
		page.Lines[0].Number != 4 {
		t.Errorf("got %d dropped, then line %d, %v", page.Dropped, page.Lines[0].Number, err)
	}
}
