package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/cmd/internal/clitest"
)

const twoMessages = `{"fiscal_code":"AAAAAA00A00A000A","content":{}}
{"fiscal_code":"AAAAAA00A00A000A","content":{}}
`

func TestSendCommand(t *testing.T) {
	g := clitest.NewGateway(t)
	messages, key := clitest.File(t, "m.ndjson", twoMessages), clitest.File(t, "key", "secret\n")
	results := filepath.Join(t.TempDir(), "out.ndjson")
	for run := range 2 {
		out, _, err := execute(t, newSendCommand(), "", "--gateway", g.URL, "--key-file", key,
			"--file", messages, "--results", results)
		if err != nil || !strings.Contains(out, "2  PROCESSED") {
			t.Fatalf("run %d: %v\n%s", run, err, out)
		}
	}
	if g.Messages() != 2 || !slices.Contains(g.Keys(), "secret") || len(g.Keys()) != 1 {
		t.Errorf("%d messages, keys %v", g.Messages(), g.Keys())
	}
	b, err := os.ReadFile(results)
	if err != nil || bytes.Count(b, []byte("\n")) != 2 || bytes.Contains(b, []byte("secret")) {
		t.Errorf("results, %v:\n%s", err, b)
	}
}

func TestSendStandardStreams(t *testing.T) {
	g := clitest.NewGateway(t)
	t.Setenv(cli.KeyEnv, "from-environment")
	out, errs, err := execute(t, newSendCommand(), twoMessages+"{", "--gateway", g.URL,
		"--file", "-", "--results", "-")
	if err == nil || cli.ExitCode(err) != 1 || !strings.Contains(err.Error(), "1 of 3 lines") {
		t.Errorf("got %v, want a failed line", err)
	}
	if strings.Count(out, "\n") != 3 || !strings.Contains(out, `"line":3`) {
		t.Errorf("results:\n%s", out)
	}
	if !strings.Contains(errs, "2  PROCESSED") || !slices.Contains(g.Keys(), "from-environment") {
		t.Errorf("summary:\n%s", errs)
	}
}

func TestSendRefuses(t *testing.T) {
	t.Setenv(cli.KeyEnv, "")
	messages := clitest.File(t, "m.ndjson", twoMessages)
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "required flag"},
		{[]string{"--gateway", "http://x", "--file", messages}, "no key"},
		{[]string{"--gateway", "x", "--file", messages, "--key", "k"}, "gateway:"},
		{[]string{"--gateway", "http://x", "--file", "/nowhere", "--key", "k"}, "--file"},
		{[]string{"--gateway", "http://x", "--file", "/", "--key", "k"}, "directory"},
		{[]string{"--gateway", "http://x", "--file", messages, "--key-file", "/nowhere"},
			"--key-file"},
		{[]string{"--gateway", "http://x", "--file", messages, "--key", "k", "--results",
			messages}, "not a file of results"},
		{[]string{"--gateway", "http://x", "--file", messages, "--key", "k", "--ca", messages},
			"--ca"},
		{[]string{"--wrong"}, "unknown flag"},
	} {
		_, _, err := execute(t, newSendCommand(), "", c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.args, err, c.want)
		}
	}
}
