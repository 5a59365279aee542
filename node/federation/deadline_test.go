package federation

import (
	"errors"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// TestWithdrawnChange: an operator's change that is logged after its deadline changes nothing, and
// its line says so; below version 3 the deadline has no effect.
func TestWithdrawnChange(t *testing.T) {
	s := withMap(t)
	add := func(name string, deadline wire.Time) *wire.Error {
		t.Helper()
		return apply(t, s, command(wire.CmdAudit, &wire.Audited{Operator: "ada", Action: "ca add",
			Deadline: deadline, Command: command(wire.CmdAddAuthority,
				&wire.Authority{DER: []byte(name)})}))[0].Err
	}
	if err := add("old", 1); err != nil {
		t.Errorf("below version 3: %v", err)
	}
	succeed(t, s, command(wire.CmdFinalise, &wire.RaiseVersion{Version: 3}))
	before, _ := s.Map()
	if err := add("late", 1); !errors.Is(err, wire.Conflict) {
		t.Errorf("after the deadline: got %v", err)
	}
	if after, _ := s.Map(); after != before {
		t.Error("a withdrawn change was carried out")
	}
	if err := add("in time", wire.TimeOf(time.Now().Add(1000*time.Hour))); err != nil {
		t.Errorf("in time: %v", err)
	}
	if err := add("in time", 0); err != nil {
		t.Errorf("without a deadline: %v", err)
	}
	page, err := s.Audit(&wire.ListAudit{})
	if err != nil {
		t.Fatal(err)
	}
	want := []struct{ refused, unchanged bool }{{}, {refused: true}, {}, {unchanged: true}}
	if len(page.Lines) != len(want) {
		t.Fatalf("got %d lines", len(page.Lines))
	}
	for i, l := range page.Lines {
		if (l.Refused != nil) != want[i].refused || l.Unchanged != want[i].unchanged {
			t.Errorf("line %d: got %v, unchanged %t, want %+v", i, l.Refused, l.Unchanged, want[i])
		}
	}
}
