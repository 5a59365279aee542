package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/founding"
	"github.com/staffetta/staffetta/wire"
)

// fedCommands runs commands on a federation that `admin init` made, nodes as goroutines of the
// test.
type fedCommands struct {
	t    *testing.T
	dir  string
	flag []string // of an operator
	ctx  context.Context
	runs sync.WaitGroup // the nodes
}

// freeUDP finds an address that is free now.
func freeUDP(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().String()
}

// try runs a command and returns what it printed.
func (f *fedCommands) try(args ...string) (string, error) {
	var out, progress bytes.Buffer
	err := run(f.ctx, args, strings.NewReader(""), &out, &progress)
	return out.String(), err
}

// must is try for a command that succeeds.
func (f *fedCommands) must(args ...string) string {
	f.t.Helper()
	out, err := f.try(args...)
	if err != nil {
		f.t.Fatalf("staffetta %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// admin runs an operator's command.
func (f *fedCommands) admin(args ...string) string {
	f.t.Helper()
	return f.must(append(append([]string{"admin"}, args...), f.flag...)...)
}

// refused runs an operator's command that must be refused with these words.
func (f *fedCommands) refused(words string, args ...string) {
	f.t.Helper()
	out, err := f.try(append(append([]string{"admin"}, args...), f.flag...)...)
	if err == nil || !strings.Contains(err.Error(), words) {
		f.t.Errorf("admin %s: %q, %v, want an error with %q", strings.Join(args, " "), out, err, words)
	}
}

// node starts a node; the function returned stops it and returns why it ended.
func (f *fedCommands) node(args ...string) (ended chan error, stop func()) {
	ctx, cancel := context.WithCancel(f.ctx)
	ended = make(chan error, 1)
	f.runs.Go(func() {
		ended <- run(ctx, append([]string{"node", "--admin", "127.0.0.1:0", "--log-level", "error",
			"--disk-low", "1MiB", "--disk-critical", "1KiB", "--ballast", "0"}, args...), strings.NewReader(""), io.Discard,
			f.t.Output())
	})
	return ended, cancel
}

// awaitMap waits until the federation is founded.
func (f *fedCommands) awaitMap() {
	f.t.Helper()
	for {
		_, err := f.try(append([]string{"admin", "map"}, f.flag...)...)
		if err == nil {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-f.ctx.Done():
			f.t.Fatalf("the federation is not founded: %v", err)
		}
	}
}

// nodeLine is what the tests read of a line of `node list --json`.
type nodeLine struct {
	ID, Addr, Maintenance string
	InRegion              string `json:"in_region"`
	InFed                 string `json:"in_federation"`
	Now                   struct {
		Region, Federation string
		Behind             uint64 `json:"entries_behind"`
	}
}

// nodes runs `node list --json`, and returns its lines by node.
func (f *fedCommands) nodes() map[string]nodeLine {
	f.t.Helper()
	var lines []nodeLine
	if err := json.Unmarshal([]byte(f.admin("node", "list", "--json")), &lines); err != nil {
		f.t.Fatal(err)
	}
	byName := map[string]nodeLine{}
	for _, n := range lines {
		byName[n.ID] = n
	}
	return byName
}

// TestJoinByCommands takes a federation of one node to one of four by nothing but commands, and
// replaces the first.
func TestJoinByCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("runs nodes in real time")
	}
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	f := &fedCommands{t: t, dir: filepath.Join(dir, "italia"), ctx: ctx}
	defer func() {
		cancel()
		f.runs.Wait()
	}()
	first := freeUDP(t)
	initArgs := []string{"admin", "init", "--out", f.dir, "--federation", "italia", "--region",
		"lazio=12", "--node", "lazio-1=lazio@" + first, "--operator", "ada"}
	f.must(append(initArgs, "--dry-run")...)
	f.must(initArgs...)
	if _, err := f.try(initArgs...); err == nil || !strings.Contains(err.Error(), "is there") {
		t.Errorf("init again: %v, want a refusal", err)
	}
	pki := func(name string) string { return filepath.Join(f.dir, "pki", name) }
	f.flag = []string{"--cert", pki("ada.crt"), "--key", pki("ada.key"), "--ca", pki("ca.crt"),
		"--node", first}
	signer := []string{"--ca-cert", pki("ca.crt"), "--ca-key", pki("ca.key")}

	firstEnded, _ := f.node("--id", "lazio-1", "--region", "lazio", "--dir",
		filepath.Join(dir, "lazio-1"), "--listen", first, "--founding",
		filepath.Join(f.dir, "founding.json"), "--directory-key",
		filepath.Join(f.dir, "directory.key"), "--cert", pki("lazio-1.crt"), "--key",
		pki("lazio-1.key"), "--ca", pki("ca.crt"))

	f.awaitMap()
	join := func(id string) (args []string, ended chan error, stop func()) {
		addr, token := freeUDP(t), filepath.Join(dir, id+".token")
		args = append([]string{"node", "token", id, "--region", "lazio", "--addr", addr, "--out",
			token}, signer...)
		f.admin(append(args, "--dry-run")...)
		if _, err := os.Stat(token); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a dry run wrote a token: %v", err)
		}
		f.admin(args...)
		ended, stop = f.node("--join", token, "--dir", filepath.Join(dir, id), "--listen", addr)
		f.admin(append([]string{"node", "sign", id}, signer...)...)
		f.admin(append([]string{"node", "sign", id}, signer...)...) // again: nothing
		return args, ended, stop
	}
	args, stopped, stop := join("lazio-2")
	f.admin(args...) // again: it is on the map
	join("lazio-3")
	for _, id := range []string{"lazio-2", "lazio-3"} {
		f.admin("node", "promote", id)
	}
	f.admin("voters", "lazio-1", "lazio-2", "lazio-3") // who vote by themselves, by now
	f.refused("two voters left", "node", "remove", "lazio-1")
	f.refused("two voters left", "node", "demote", "lazio-1")
	f.refused("no node", "node", "remove", "lazio-9")
	placed := func(words, old, id string) { // whoever has a place, or had one, takes nobody's
		t.Helper()
		args := append([]string{"node", "replace", old, id, "--addr", "127.0.0.1:7", "--out",
			filepath.Join(dir, "no.token")}, signer...)
		f.refused(words, args...)
		f.refused(words, append(args, "--dry-run")...)
	}
	placed("does not replace itself", "lazio-1", "lazio-1")
	placed("is on the map already", "lazio-2", "lazio-3")
	placed("no name of a node", "lazio-2", "Lazio 3")
	f.refused("hand over to itself", "node", "handover", "lazio-1", "--to", "lazio-1")
	f.refused("no region", "gateway", "add", "lazio-2", "--region", "umbria")

	// A node that was stopped starts with nothing but its directory.
	stop()
	if err := <-stopped; err != nil {
		t.Errorf("lazio-2 ended: %v", err)
	}
	second := f.nodes()["lazio-2"].Addr
	restarted, _ := f.node("--dir", filepath.Join(dir, "lazio-2"), "--listen", second)

	f.admin("node", "drain", "lazio-1", "--reason", "new memory")
	if n := f.nodes()["lazio-1"]; n.Maintenance != "new memory" || n.Now.Region != "voter" ||
		n.Now.Federation == "leader" {
		t.Errorf("drained: %+v, %+v", n, n.Now)
	}
	f.admin("node", "maintenance", "lazio-1", "--end")
	for id, n := range f.nodes() {
		if n.Now.Region == "leader" {
			f.admin("node", "handover", id)
		}
	}

	// A fourth takes the first one's place.
	fourth, token := freeUDP(t), filepath.Join(dir, "lazio-4.token")
	replace := append([]string{"node", "replace", "lazio-1", "lazio-4", "--addr", fourth, "--out",
		token}, signer...)
	f.flag = append(f.flag, "--node", second)
	done := make(chan error, 1)
	go func() {
		_, err := f.try(append(append([]string{"admin"}, replace...), f.flag...)...)
		done <- err
	}()
	for _, err := os.Stat(token); err != nil; _, err = os.Stat(token) {
		select {
		case err := <-done:
			t.Fatalf("replace: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	f.node("--join", token, "--dir", filepath.Join(dir, "lazio-4"), "--listen", fourth)
	if err := <-done; err != nil {
		t.Fatalf("replace: %v", err)
	}
	if err := <-firstEnded; err == nil || !strings.Contains(err.Error(), "was removed") {
		t.Errorf("the removed node ended with %v", err)
	}
	select {
	case err := <-restarted:
		t.Errorf("lazio-2 ended: %v", err)
	default:
	}
	f.flag = append(f.flag[:6:6], "--node", second)
	f.admin(replace...) // again: it is done
	placed("was removed", "lazio-2", "lazio-1")
	voters := 0
	for id, n := range f.nodes() {
		if n.Now.Federation == "leader" || n.Now.Federation == "voter" {
			voters++
		}
		if id == "lazio-1" || n.Now.Region == "nonvoter" || n.Now.Region == "none" {
			t.Errorf("at the end: %+v, %+v", n, n.Now)
		}
	}
	if voters != 3 {
		t.Errorf("%d vote in the federation, want 3", voters)
	}
	again, _ := f.node("--id", "lazio-1", "--region", "lazio", "--dir",
		filepath.Join(dir, "lazio-1"), "--listen", first, "--founding",
		filepath.Join(f.dir, "founding.json"), "--directory-key",
		filepath.Join(f.dir, "directory.key"), "--cert", pki("lazio-1.crt"), "--key",
		pki("lazio-1.key"), "--ca", pki("ca.crt"))
	if err := <-again; err == nil || !strings.Contains(err.Error(), "does not come back") {
		t.Errorf("the removed node starts again: %v", err)
	}
	for _, words := range []string{"federation italia", "lazio-4", "anchor slots"} {
		if out := f.admin("map"); !strings.Contains(out, words) {
			t.Errorf("map shows no %q:\n%s", words, out)
		}
	}
	f.admin("region", "add", "umbria", "--tag", "10")
	f.admin("gateway", "add", "edge-1", "--region", "umbria")
	f.refused("home of gateway edge-1", "region", "remove", "umbria")
	f.admin("gateway", "remove", "edge-1")
	f.admin("region", "remove", "umbria")
	if out := f.admin("audit"); !strings.Contains(out, "node remove") ||
		!strings.Contains(out, "region add") || !strings.Contains(out, "node handover") {
		t.Errorf("audit:\n%s", out)
	}
}

// TestInitWarns: a founder hears which region's loss takes the federation's majority away, if one's
// does.
func TestInitWarns(t *testing.T) {
	for _, c := range []struct {
		regions string // with the number of nodes of each
		want    []string
	}{
		{"lazio=3", nil},
		{"lazio=3 sicilia=3", []string{"sicilia"}},
		{"lazio=1 sicilia=3", []string{"sicilia"}},
		{"lazio=1 sicilia=1", []string{"sicilia"}},
		{"lazio=3 sicilia=3 umbria=1", nil},
		{"lazio=3 sicilia=3 umbria=3", nil},
	} {
		args := []string{"admin", "init", "--out", filepath.Join(t.TempDir(), "x"), "--federation",
			"italia", "--dry-run"}
		for i, r := range strings.Fields(c.regions) {
			name, nodes, _ := strings.Cut(r, "=")
			args = append(args, "--region", fmt.Sprintf("%s=%d", name, i+1))
			n, _ := strconv.Atoi(nodes)
			for j := range n {
				args = append(args, "--node", fmt.Sprintf("%s-%d=%s@%s:%d", name, j, name, name, 7400+j))
			}
		}
		var out strings.Builder
		if err := run(t.Context(), args, strings.NewReader(""), &out, io.Discard); err != nil {
			t.Fatal(err)
		}
		for _, r := range []string{"lazio", "sicilia", "umbria"} {
			warned := strings.Contains(out.String(), "warning: who loses region "+r+" loses the majority")
			if warned != slices.Contains(c.want, r) {
				t.Errorf("%s: warned of the loss of %s: %t:\n%s", c.regions, r, warned, out.String())
			}
		}
	}
}

// TestInitRefuses: what cannot be founded is not made.
func TestInitRefuses(t *testing.T) {
	out := filepath.Join(t.TempDir(), "x")
	for _, c := range []struct {
		words string
		args  []string
	}{
		{"not NAME=TAG", []string{"--region", "lazio", "--node", "a=lazio@h:1"}},
		{"not NAME=REGION@HOST:PORT", []string{"--region", "lazio=1", "--node", "a=lazio"}},
		{"not NAME=REGION", []string{"--region", "lazio=1", "--node", "a=lazio@h:1", "--gateway", "g"}},
		{"name, region or address", []string{"--region", "lazio=1", "--node", "a=puglia@h:1"}},
		{"--days", []string{"--region", "lazio=1", "--node", "a=lazio@h:1", "--days", "9999"}},
		{"two of the name", []string{"--region", "lazio=1", "--node", "a=lazio@h:1", "--operator", "a"}},
	} {
		args := append([]string{"admin", "init", "--out", out, "--federation", "italia"}, c.args...)
		err := run(t.Context(), args, strings.NewReader(""), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%v: %v, want %q", c.args, err, c.words)
		}
		if _, err := os.Stat(out); err == nil {
			t.Fatalf("%v: made something", c.args)
		}
	}
	spec := filepath.Join(t.TempDir(), "spec.json")
	init := func(text string) error {
		if err := os.WriteFile(spec, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return run(t.Context(), []string{"admin", "init", "--out", out, "--spec", spec},
			strings.NewReader(""), io.Discard, io.Discard)
	}
	if err := init(`{"federation":"italia","x":1}`); err == nil {
		t.Error("an unknown field in the specification is accepted")
	}
	err := init(`{"federation":"italia","regions":[{"id":"lazio","tag":12}],
		"nodes":[{"id":"lazio-1","region":"lazio","addr":"10.0.0.1:7400"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	m, err := founding.Read(filepath.Join(out, "founding.json"))
	if err != nil || m.ActiveVersion != wire.Version || !m.Nodes[0].Voter {
		t.Errorf("the founding file made: %+v, %v", m, err)
	}
}
