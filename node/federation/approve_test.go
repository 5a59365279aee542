package federation

import (
	"errors"
	"fmt"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

// failure is why a command changed nothing; nil, and no pointer that is nil, when it succeeded.
func failure(r wire.Result) error {
	if r.Err == nil {
		return nil
	}
	return r.Err
}

// TestApprovals: what waits is carried out once, by another operator, in time.
func TestApprovals(t *testing.T) {
	s := withMap(t)
	succeed(t, s, command(wire.CmdFinalise, &wire.RaiseVersion{Version: 3}))
	do := func(who, approval string, c wire.Command) error {
		return failure(apply(t, s, command(wire.CmdAudit, &wire.Audited{Operator: who,
			Action: "ca add", Approval: approval, Command: c}))[0])
	}
	roots := func() int {
		m, _ := s.Map()
		return len(m.Trust.Authorities)
	}
	add := func(name string) wire.Command {
		return command(wire.CmdAddAuthority, &wire.Authority{DER: []byte(name)})
	}
	ask := func(name string) (string, error) {
		t.Helper()
		r := apply(t, s, command(wire.CmdAudit, &wire.Audited{Operator: "ada", Action: "ca add",
			Command: command(wire.CmdAsk, &wire.PendingRequest{Operator: "ada", Action: "ca add",
				Method: wire.MethodAddAuthority, Kind: wire.CmdAddAuthority, Request: []byte(name)})}))[0]
		var p wire.PendingRequest
		if r.Err == nil {
			if err := wire.Decode(r.Body, &p); err != nil {
				t.Fatal(err)
			}
		}
		return p.ID, failure(r)
	}
	succeed(t, s, add("the last one stays"))
	before := roots()
	id, err := ask("one")
	if again, _ := ask("one"); err != nil || again != id {
		t.Errorf("asked again: %s, first %s, %v", again, id, err)
	}
	if err := do("ada", id, add("one")); !errors.Is(err, wire.Forbidden) || roots() != before {
		t.Errorf("who asked approves: %v, %d authorities", err, roots())
	}
	for range 2 {
		if err := do("bice", id, add("one")); err != nil || roots() != before+1 {
			t.Errorf("another approves: %v, %d authorities", err, roots())
		}
	}
	succeed(t, s, command(wire.CmdRemoveAuthority, &wire.AuthorityRef{
		Fingerprint: wire.FingerprintOf([]byte("one"))}))
	if do("bice", id, add("one")); roots() != before {
		t.Error("one approval did it twice")
	}
	if err := do("carlo", id, add("one")); !errors.Is(err, wire.Conflict) {
		t.Errorf("a third: %v", err)
	}
	if next, _ := ask("one"); next == id {
		t.Error("the same request, made anew, has the id of the one that was carried out")
	}
	if err := do("bice", "none", add("two")); !errors.Is(err, wire.NotFound) {
		t.Errorf("none: %v", err)
	}
	page := mustAudit(t, s, wire.ListAudit{})
	lines := map[string]int{}
	for _, l := range page.Lines {
		lines[fmt.Sprint(l.Operator, l.Approval == id, l.Asked, l.Refused != nil)]++
	}
	if lines["adatruefalse"] != 2 || lines["bicetrueadafalse"] != 3 {
		t.Errorf("the audit: %v", lines)
	}
	for i := range wire.PendingMax {
		_, err = ask(fmt.Sprint(i))
	}
	if !errors.Is(err, wire.TooLarge) {
		t.Errorf("too many: %v", err)
	}
	list, failed := s.ListPending(0)
	if failed != nil || len(list) != wire.PendingMax-1 {
		t.Fatalf("%d wait, %v", len(list), failed)
	}
	late := entryOf(s.Position().Index + 1)
	late.Data = wire.EncodeEntry(wire.CommandsEntry, list[0].Expires+1, wire.Encode(&wire.Commands{
		List: []wire.Command{command(wire.CmdAudit, &wire.Audited{Operator: "bice",
			Action: "ca add", Approval: list[0].ID, Command: add("late")})}}))
	results, failed := s.Apply([]wire.LogEntry{late})
	if failed != nil {
		t.Fatal(failed)
	}
	if err := failure(results[0].(*wire.Results).List[0]); !errors.Is(err, wire.Conflict) ||
		roots() != before {
		t.Errorf("too late: %v", err)
	}
	if _, err := ask("now"); err != nil {
		t.Errorf("once they have expired: %v", err)
	}
}
