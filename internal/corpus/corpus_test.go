package corpus

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

func TestWriteAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logs", "v9.log")
	entry := wire.EncodeEntry(wire.CommandsEntry, 7, wire.Encode(&wire.Commands{
		List: []wire.Command{{Kind: wire.CmdLogin}, {Kind: wire.CmdAudit, Body: wire.Encode(
			&wire.Audited{Command: wire.Command{Kind: wire.CmdSetKey}})}}}))
	steps := []Step{
		NewStep(wire.LogEntry{Index: 1, Term: 1, Configuration: true, Data: []byte("members")},
			[32]byte{1}, nil),
		NewStep(wire.LogEntry{Index: 3, Term: 2, Data: entry}, [32]byte{2},
			&wire.Results{List: []wire.Result{{}, wire.Fail(wire.Malformedf("no"))}}),
	}
	if written, err := Write(path, steps); !written || err != nil {
		t.Fatalf("written: %t, %v", written, err)
	}
	got, err := Read(path)
	if err != nil || !reflect.DeepEqual(got, steps) {
		t.Fatalf("got %+v, %v, want %+v", got, err, steps)
	}
	if written, err := Write(path, steps[:1]); written || err != nil {
		t.Errorf("a log that is there was written again: %t, %v", written, err)
	}
	kinds := Kinds(got)
	if kinds[wire.CmdLogin] != 1 || kinds[wire.CmdAudit] != 1 || kinds[wire.CmdSetKey] != 1 {
		t.Errorf("kinds %v", kinds)
	}
	texts := ResultHash(&wire.Results{List: []wire.Result{{}, wire.Fail(wire.Malformedf("yes"))}})
	if texts != steps[1].Result {
		t.Error("the text of an error is part of the result")
	}
	for name, bad := range map[string]string{"empty": "", "short": "e 1 1 AA== ff\n",
		"kind": "x 1 1 AA== ff ff\n", "index": "e x 1 AA== ff ff\n", "term": "e 1 x AA== ff ff\n",
		"entry": "e 1 1 ? ff ff\n"} {
		path := filepath.Join(t.TempDir(), "bad.log")
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
