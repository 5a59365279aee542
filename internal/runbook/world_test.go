package runbook

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every command, and every wait for a process; nothing is judged by how long it
// takes.
const patience = 3 * time.Minute

// scp copies between machines that are directories: the commands of the document are run as they
// stand.
const scp = `#!/bin/sh
set -eu
for last; do :; done
target=$last
case $target in *:*) target="$WORLD/${target%%:*}/${target#*:}";; esac
mkdir -p "$WORLD/${last%%:*}" 2>/dev/null || true
while [ $# -gt 1 ]; do
	from=$1
	case $from in *:*) from="$WORLD/${from%%:*}/${from#*:}";; esac
	cp "$from" "$target"
	shift
done
`

// addresses are those of loopback that stand for the document's.
type addresses struct {
	mu sync.Mutex
	of map[string]string
}

// world is a federation's machines.
type world struct {
	t       *testing.T
	dir     string            // a directory below for each machine
	env     []string          // of every command
	names   map[string]string // what the document calls a path: what it is here
	addrs   *addresses
	blocks  []*block
	running map[string]*exec.Cmd // by machine
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	w := &world{t: t, dir: t.TempDir(), names: map[string]string{},
		addrs: &addresses{of: map[string]string{}}, blocks: readBlocks(t),
		running: map[string]*exec.Cmd{}}
	bin := filepath.Join(w.dir, "bin")
	w.mkdir("bin")
	w.mkdir(operator)
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", bin,
		"./cmd/staffetta")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(bin, "scp"), []byte(scp), 0o755); err != nil {
		t.Fatal(err)
	}
	w.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "WORLD="+w.dir,
		"HOME="+w.dir, "TMPDIR="+t.TempDir())
	w.names["/srv/copies"] = filepath.Join(w.dir, "copies")
	w.names["/var/tmp/v"] = w.mkdir("scratch")
	w.names["/var/lib/staffetta"] = "data"
	t.Cleanup(func() {
		for host := range w.running {
			w.stop(host)
		}
	})
	return w
}

func (w *world) mkdir(name string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(path, 0o700); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (w *world) write(host, file, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.mkdir(host), file), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

var address = regexp.MustCompile(`\b(10(\.\d+){3}|127\.0\.0\.1):[1-9]\d*\b`)

// here is a line of the document with the names that things have here. Each documented address is
// one on loopback that was free a moment ago, always the same.
func (w *world) here(text string) string {
	for name, is := range w.names {
		text = strings.ReplaceAll(text, name, is)
	}
	return address.ReplaceAllStringFunc(text, w.addr)
}

func (w *world) addr(documented string) string {
	w.addrs.mu.Lock()
	defer w.addrs.mu.Unlock()
	for is := w.addrs.of[documented]; is == ""; is = w.addrs.of[documented] {
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			w.t.Fatal(err)
		}
		defer udp.Close()
		free := udp.LocalAddr().String()
		if !slices.Contains(slices.Collect(maps.Values(w.addrs.of)), free) {
			w.addrs.of[documented] = free
		}
	}
	return w.addrs.of[documented]
}

// sh runs a command on a machine and returns what it printed on standard output.
func (w *world) sh(host, command string) string {
	w.t.Helper()
	out, errs, err := w.try(host, command)
	if err != nil {
		w.t.Fatalf("on %s: %s\n%v\n%s%s", host, command, err, out, errs)
	}
	return out
}

func (w *world) try(host, command string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-euc", w.here(command))
	cmd.Dir = w.mkdir(host)
	cmd.Env = append(slices.Clip(w.env), "XDG_CONFIG_HOME="+filepath.Join(cmd.Dir, "config"))
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// start starts the node or gateway of a machine.
func (w *world) start(host, command string) {
	w.t.Helper()
	if !strings.Contains(command, "--admin") && !strings.Contains(command, " admin ") {
		command += " --admin 127.0.0.1:0"
	}
	if strings.Contains(command, "staffetta node") {
		command += " --ballast 1MiB"
	}
	cmd := exec.Command("sh", "-euc", "exec "+w.here(command)+" --log-level warn")
	cmd.Dir, cmd.Env = w.mkdir(host), w.env
	log, err := os.OpenFile(filepath.Join(w.dir, host, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY,
		0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.running[host] = cmd
}

// stop ends a machine's process, which may have ended by itself.
func (w *world) stop(host string) {
	cmd := w.running[host]
	delete(w.running, host)
	if cmd == nil {
		return
	}
	cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer kill.Stop()
	cmd.Wait()
	if w.t.Failed() {
		b, _ := os.ReadFile(filepath.Join(w.dir, host, "log"))
		w.t.Logf("log of %s:\n%s", host, b[max(0, len(b)-500):])
	}
}

// await runs a command until it succeeds and prints what ok wants.
func (w *world) await(what, host, command string, ok func(out string) bool) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		out, errs, err := w.try(host, command)
		if err == nil && ok(out) {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("not so: %s\n%s: %v\n%s%s", what, command, err, out, errs)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// run runs the next block below a heading, which the document must have, from the first line to the
// last. as gives other names to what the block speaks of, one after the other: old, new.
func (w *world) run(heading string, as ...string) (outputs []string) {
	w.t.Helper()
	for _, b := range w.blocks {
		if b.heading == heading && !b.ran {
			b.ran = true
			return w.lines(b, as...)
		}
	}
	w.t.Fatalf("the document has no further block below %q", heading)
	return nil
}

// again runs a block that was run once more with other names: those of its lines that they change.
func (w *world) again(heading string, number int, as ...string) {
	w.t.Helper()
	names := strings.NewReplacer(as...)
	for _, b := range w.blocks {
		if b.heading != heading || b.number != number || !b.ran {
			continue
		}
		changed := &block{heading: heading, number: number}
		for _, l := range b.lines {
			if names.Replace(l.host+" "+l.command) != l.host+" "+l.command {
				changed.lines = append(changed.lines, l)
			}
		}
		w.lines(changed, as...)
		return
	}
	w.t.Fatalf("block %d below %q was not run", number, heading)
}

// each does the same on many machines at a time, as many operators would: commands wait more than
// they work. Nothing is started or stopped there.
func (w *world) each(what string, names []string, do func(w *world, name string)) {
	w.t.Helper()
	if !w.t.Run(what, func(t *testing.T) {
		for _, name := range names {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				there := *w
				there.t = t
				do(&there, name)
			})
		}
	}) {
		w.t.FailNow()
	}
}

func (w *world) lines(b *block, as ...string) (outputs []string) {
	w.t.Helper()
	names := strings.NewReplacer(as...)
	for _, l := range b.lines {
		host, command := names.Replace(l.host), names.Replace(l.command)
		w.t.Logf("%s: %s", host, command)
		switch {
		case strings.HasPrefix(command, "staffetta node"),
			strings.HasPrefix(command, "staffetta gateway"),
			strings.HasPrefix(command, "staffetta admin cert serve"):
			w.start(host, command)
		case strings.HasPrefix(command, "staffetta admin doctor"):
			// What it finds may be an election that a busy machine has just caused.
			w.await("the doctor finds nothing wrong", host, command, func(out string) bool {
				outputs = append(outputs, out)
				return true
			})
		default:
			outputs = append(outputs, w.sh(host, command))
		}
	}
	return outputs
}

// finished fails for what the document has and nobody ran.
func (w *world) finished() {
	w.t.Helper()
	var left []error
	for _, b := range w.blocks {
		if !b.ran {
			left = append(left, fmt.Errorf("block %d below %q, which begins with %q", b.number,
				b.heading, b.lines[0].command))
		}
	}
	if err := errors.Join(left...); err != nil {
		w.t.Errorf("docs/operating.md has commands that no chapter runs:\n%v", err)
	}
}
