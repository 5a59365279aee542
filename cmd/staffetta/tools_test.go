package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/localfile"
)

// execute runs one command by itself, and returns its output.
func execute(t *testing.T, cmd *cobra.Command, stdin string, args ...string) (stdout, stderr string,
	err error) {
	t.Helper()
	var out, errs bytes.Buffer
	root := newRoot()
	root.AddCommand(cmd)
	root.SetArgs(append([]string{cmd.Name()}, args...))
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&errs)
	err = root.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

// fakeGateway accepts messages, once for each idempotency key.
type fakeGateway struct {
	*httptest.Server

	mu   sync.Mutex
	ids  map[string]int
	keys map[string]bool // of services that were used
}

func newFakeGateway(t *testing.T) *fakeGateway {
	g := &fakeGateway{ids: make(map[string]int), keys: make(map[string]bool)}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/messages" {
			http.NotFound(w, r)
			return
		}
		io.Copy(io.Discard, r.Body)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.keys[r.Header.Get("Ocp-Apim-Subscription-Key")] = true
		key := r.Header.Get("Idempotency-Key")
		if _, ok := g.ids[key]; !ok || key == "" {
			g.ids[key] = len(g.ids)
		}
		w.WriteHeader(201)
		fmt.Fprintf(w, `{"id":"%026d","status":"PROCESSED"}`, g.ids[key])
	}))
	t.Cleanup(g.Close)
	return g
}

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const twoMessages = `{"fiscal_code":"AAAAAA00A00A000A","content":{}}
{"fiscal_code":"AAAAAA00A00A000A","content":{}}
`

func TestSendCommand(t *testing.T) {
	g := newFakeGateway(t)
	messages, key := file(t, "m.ndjson", twoMessages), file(t, "key", "secret\n")
	results := filepath.Join(t.TempDir(), "out.ndjson")
	for run := range 2 {
		out, _, err := execute(t, newSendCommand(), "", "--gateway", g.URL, "--key-file", key,
			"--file", messages, "--results", results)
		if err != nil || !strings.Contains(out, "2  PROCESSED") {
			t.Fatalf("run %d: %v\n%s", run, err, out)
		}
	}
	if len(g.ids) != 2 || !g.keys["secret"] || len(g.keys) != 1 {
		t.Errorf("%d messages, keys %v", len(g.ids), g.keys)
	}
	b, err := os.ReadFile(results)
	if err != nil || bytes.Count(b, []byte("\n")) != 2 || bytes.Contains(b, []byte("secret")) {
		t.Errorf("results, %v:\n%s", err, b)
	}
}

func TestSendStandardStreams(t *testing.T) {
	g := newFakeGateway(t)
	t.Setenv(keyEnv, "from-environment")
	out, errs, err := execute(t, newSendCommand(), twoMessages+"{", "--gateway", g.URL,
		"--file", "-", "--results", "-")
	if err == nil || exitCode(err) != 1 || !strings.Contains(err.Error(), "1 of 3 lines") {
		t.Errorf("got %v, want a failed line", err)
	}
	if strings.Count(out, "\n") != 3 || !strings.Contains(out, `"line":3`) {
		t.Errorf("results:\n%s", out)
	}
	if !strings.Contains(errs, "2  PROCESSED") || !g.keys["from-environment"] {
		t.Errorf("summary:\n%s", errs)
	}
}

func TestSendRefuses(t *testing.T) {
	t.Setenv(keyEnv, "")
	messages := file(t, "m.ndjson", twoMessages)
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

// localDir is the directory of a federation that has a gateway and no processes.
func localDir(t *testing.T, gateway, admin string) string {
	t.Helper()
	dir := t.TempDir()
	err := localfile.Write(filepath.Join(dir, localfile.Name), &localfile.File{
		Gateways: []localfile.Gateway{{ID: "g", URL: gateway, Admin: admin, PID: os.Getpid()}},
		Services: []localfile.Service{{ServiceID: "S", PrimaryKey: "local-key"}},
		Citizens: []localfile.Citizen{{FiscalCode: "AAAAAA00A00A000A", State: localfile.Active}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBenchCommand(t *testing.T) {
	g := newFakeGateway(t)
	t.Setenv(keyEnv, "another")
	dir := localDir(t, g.URL, g.URL)
	out, _, err := execute(t, newBenchCommand(), "", "--dir", dir, "--count", "50", "--warm-up",
		"0s", "--json", "--idempotency-keys")
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Messages int `json:"messages"`
		Verdicts struct {
			Processed int `json:"PROCESSED"`
		} `json:"verdicts"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Messages != 50 ||
		report.Verdicts.Processed != 50 || len(g.ids) != 50 || !g.keys["local-key"] {
		t.Errorf("%v, %d keys:\n%s", err, len(g.ids), out)
	}
	out, _, err = execute(t, newBenchCommand(), "", "--local", filepath.Join(dir, localfile.Name),
		"--count", "5", "--warm-up", "0s")
	if err != nil || !strings.Contains(out, "5 messages in") {
		t.Errorf("%v:\n%s", err, out)
	}
	out, _, err = execute(t, newBenchCommand(), "", "latency", "--dir", dir, "--duration", "100ms",
		"--warm-up", "0s", "--concurrency", "4")
	if err != nil || !strings.Contains(out, "times the p50 of one at a time") {
		t.Errorf("%v:\n%s", err, out)
	}
	codes := file(t, "codes", "AAAAAA00A00A000A\n\nRCCMNL83S18D969H\n")
	if _, _, err = execute(t, newBenchCommand(), "", "--gateway", g.URL, "--key", "flag",
		"--citizens", codes, "--count", "5", "--warm-up", "0s"); err != nil || !g.keys["flag"] {
		t.Errorf("by flags: %v, keys %v", err, g.keys)
	}
}

func TestBenchRefuses(t *testing.T) {
	t.Setenv(keyEnv, "")
	bad := file(t, "codes", "AAAAAA00A00A000A\nNOCODE\n")
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "give --dir"},
		{[]string{"--dir", t.TempDir()}, "read local federation"},
		{[]string{"--gateway", "http://x", "--key", "k"}, "no recipients"},
		{[]string{"--gateway", "http://x", "--key", "k", "--citizens", bad}, "line 2: not a"},
		{[]string{"idle"}, "give --dir"},
		{[]string{"idle", "--dir", "/nowhere"}, "read local federation"},
		{[]string{"--gateway", "http://x", "--key", "k", "--window", "-1"}, "window: -1"},
		{[]string{"latency"}, "give --dir"},
		{[]string{"fairness", "--gateway", "http://x", "--key", "k"}, "give --dir"},
		{[]string{"fairness", "--dir", localDir(t, "http://x", "http://x")}, "no second institution"},
		{[]string{"overload", "--dir", t.TempDir()}, "at least one of the flags"},
		{[]string{"overload", "--dir", t.TempDir(), "--capacity", "1", "--bulk"}, "none of the others"},
		{[]string{"overload", "--dir", localDir(t, "http://x", "http://x"), "--capacity", "-1"},
			"capacity: -1"},
		{[]string{"reads", "--dir", localDir(t, "http://x", "http://x"), "--reads", "0"}, "reads: 0"},
	} {
		_, _, err := execute(t, newBenchCommand(), "", c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.args, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "NOCODE") {
			t.Errorf("the error shows a line's text: %v", err)
		}
	}
}

func TestToolsAreCommands(t *testing.T) {
	for _, args := range [][]string{{"send"}, {"bench"}, {"bench", "idle"},
		{"bench", "latency"}, {"bench", "fairness"}, {"bench", "overload"}, {"bench", "reads"}} {
		cmd, _, err := newRootCommand().Find(args)
		if err != nil || cmd.Name() != args[len(args)-1] {
			t.Errorf("%v: found %q, %v", args, cmd.Name(), err)
		}
	}
}
