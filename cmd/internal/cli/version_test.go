package cli

import (
	"bytes"
	"encoding/json"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

func TestVersion(t *testing.T) {
	var out, text bytes.Buffer
	cmd := newVersionCommand()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--json"})
	err := cmd.ExecuteContext(t.Context())
	var r versionReport
	if err != nil || json.Unmarshal(out.Bytes(), &r) != nil || r.Logs != wire.Version ||
		r.LogsMin != wire.VersionMin || r.Version == "" || !strings.HasPrefix(r.Go, "go1.") {
		t.Errorf("%v, %+v:\n%s", err, r, out.String())
	}
	info := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "c0ffee"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"},
		{Key: "vcs.modified", Value: "true"}}}
	if err := newVersionReport(info).write(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"staffetta v1.2.3\n",
		"c0ffee of 2026-01-02T03:04:05Z, and changes\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	text.Reset()
	newVersionReport(nil).write(&text)
	if !strings.Contains(text.String(), "staffetta unknown\ncommit    unknown") {
		t.Errorf("without build information:\n%s", text.String())
	}
}
