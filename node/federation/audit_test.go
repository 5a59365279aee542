package federation

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

func audited(action, subject string, c wire.Command) wire.Command {
	return command(wire.CmdAudit, &wire.Audited{Operator: "spiffe://italia/operator/anna",
		Action: action, Subject: subject, Command: c})
}

func mustAudit(t *testing.T, s *State, q wire.ListAudit) *wire.AuditPage {
	t.Helper()
	page, err := s.Audit(&q)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// TestAudit: a change and its line are one command, applied or refused.
func TestAudit(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	succeed(t, s, command(wire.CmdFound, testMap("lazio")))
	if page := mustAudit(t, s, wire.ListAudit{}); len(page.Lines) != 0 || page.Dropped != 0 {
		t.Errorf("the audit of a new federation: %+v", page)
	}
	institution := &wire.Institution{ID: "01234567890", Name: "Comune"}
	service := &wire.Service{ID: "01SVC", Institution: "99999999999", Name: "Avvisi"}
	results := apply(t, s, audited("institution put", "01234567890",
		command(wire.CmdPutInstitution, institution)),
		audited("service put", "01SVC", command(wire.CmdPutService, service)))
	if results[0].Err != nil {
		t.Errorf("the first: %v", results[0].Err)
	}
	if results[1].Err == nil || results[1].Err.Code != wire.NotFound {
		t.Errorf("the second: %v, want %s", results[1].Err, wire.NotFound)
	}
	if got, err := s.Institution("01234567890"); err != nil || got.Name != "Comune" {
		t.Errorf("the institution: %+v, %v", got, err)
	}
	page := mustAudit(t, s, wire.ListAudit{})
	if len(page.Lines) != 2 || page.Next != 0 {
		t.Fatalf("got %+v, want two lines", page)
	}
	first, second := page.Lines[0], page.Lines[1]
	want := wire.AuditLine{Number: 1, Index: 2, Time: 1_700_000_000_002,
		Operator: "spiffe://italia/operator/anna", Action: "institution put",
		Subject: "01234567890"}
	if first != want {
		t.Errorf("got %+v, want %+v", first, want)
	}
	if second.Number != 2 || second.Refused == nil || second.Refused.Code != wire.NotFound {
		t.Errorf("a refused change: %+v", second)
	}
}

// TestAuditRefuses: what no leader of ours makes changes nothing and leaves no line.
func TestAuditRefuses(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	put := command(wire.CmdPutInstitution, &wire.Institution{ID: "01234567890", Name: "Comune"})
	succeed(t, s, command(wire.CmdFound, testMap("lazio")))
	for name, c := range map[string]wire.Command{
		"no operator": command(wire.CmdAudit, &wire.Audited{Action: "x", Command: put}),
		"no action":   command(wire.CmdAudit, &wire.Audited{Operator: "x", Command: put}),
		"long text": audited(strings.Repeat("x", wire.AuditTextMax+1), "",
			put),
		"no message": {Kind: wire.CmdAudit, Body: []byte{0xff}},
	} {
		if r := apply(t, s, c)[0]; r.Err == nil {
			t.Errorf("%s: applied", name)
		}
	}
	if page := mustAudit(t, s, wire.ListAudit{}); len(page.Lines) != 0 {
		t.Errorf("lines of what was refused: %+v", page.Lines)
	}
	if _, err := s.Institution("01234567890"); !errors.Is(err, wire.NotFound) {
		t.Errorf("the institution: %v, want not found", err)
	}
	for name, c := range map[string]wire.Command{
		"an audited command in an audited one": audited("x", "", audited("x", "", put)),
		"an unknown kind within":               audited("x", "", wire.Command{Kind: 99}),
	} {
		err := Check(&wire.Commands{List: []wire.Command{c}})
		if !errors.Is(err, wire.UnknownKind) {
			t.Errorf("%s: got %v, want %s", name, err, wire.UnknownKind)
		}
		if _, err := s.Apply([]wire.LogEntry{entryOf(100, c)}); err == nil {
			t.Errorf("%s: the replica goes on", name)
		}
	}
}

// TestAuditIsBounded: beyond the bound the oldest lines go, and pages lead through all that are
// left, whatever their size.
func TestAuditIsBounded(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	succeed(t, s, command(wire.CmdFound, testMap("lazio")))
	const extra = 37
	for done := 0; done < wire.AuditLinesMax+extra; {
		var list []wire.Command
		for len(list) < wire.CommandsMax && done < wire.AuditLinesMax+extra {
			list = append(list, audited("institution put", fmt.Sprint(done),
				command(wire.CmdPutInstitution, &wire.Institution{ID: "0"})))
			done++
		}
		apply(t, s, list...)
	}
	lines := 0
	for q := (wire.ListAudit{}); ; {
		page := mustAudit(t, s, q)
		if page.Dropped != extra || len(page.Lines) > wire.AuditPageMax {
			t.Fatalf("%d lines dropped, want %d; %d on a page", page.Dropped, extra, len(page.Lines))
		}
		for _, l := range page.Lines {
			if want := uint64(extra + lines + 1); l.Number != want {
				t.Fatalf("line %d, want %d", l.Number, want)
			}
			lines++
		}
		if q.After = page.Next; q.After == 0 {
			break
		}
	}
	if lines != wire.AuditLinesMax {
		t.Errorf("%d lines are kept, want %d", lines, wire.AuditLinesMax)
	}
	last := mustAudit(t, s, wire.ListAudit{Since: entryTime(s.Position().Index)})
	if n := len(last.Lines); n == 0 || last.Lines[0].Index != s.Position().Index {
		t.Errorf("since the last entry: %d lines", n)
	}
	if page := mustAudit(t, s, wire.ListAudit{Limit: 3}); len(page.Lines) != 3 || page.Next == 0 {
		t.Errorf("a page of three has %d lines, next %d", len(page.Lines), page.Next)
	}
}

// entryTime is the time that entryOf gives an entry.
func entryTime(index uint64) wire.Time { return wire.Time(1_700_000_000_000 + index) }
