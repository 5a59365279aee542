package process_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/localfile"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// previous is the last commit whose program knows version 1 of the logs only.
const previous = "b25baafb3c69801e2d59b3b235ba83f87bc1b45c"

// TestRollingUpgrade takes a running federation from the previous program to this one, node by
// node, and back, and forth again, while messages are sent and read all the time; then finalises.
// From there on the previous program refuses the data.
func TestRollingUpgrade(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the previous program")
	}
	t.Parallel()
	u := newUpgrade(t)
	f := &federation{t: t, dir: t.TempDir(), binary: u.binary}
	f.args = []string{"local", "--dir", f.dir, "--http", freeHTTP(t), "--demo=false",
		"--regions", "lazio", "--citizens", "3"}
	t.Cleanup(f.end)
	f.start()
	u.f = f
	f.interrupt()
	u.renew()
	f.start()
	stop := u.traffic()

	u.use(t, u.wrapper)
	u.restart("lazio-1")
	u.refuseFinalise("knows versions up to 1")
	u.use(t, u.old)
	u.restart("lazio-1") // nothing was finalised: the way back is open
	u.use(t, u.wrapper)
	for _, id := range []string{"lazio-1", "lazio-2", "lazio-3", "gateway-1"} {
		u.restart(id)
	}
	status := u.status()
	if status.Active != 1 || status.Ready != wire.Version {
		t.Errorf("before finalising: %+v, want version 1 active and %d ready", status,
			wire.Version)
	}
	admin(t, "upgrade", "finalise", "--dir", f.dir)
	await(t, "every region is at the newest version", func() bool {
		s := u.status()
		return s.Active == wire.Version && !slices.ContainsFunc(s.Nodes, func(n nodeVersion) bool {
			return n.Active != wire.Version
		})
	})
	admin(t, "key", "revoke", "--dir", f.dir, "--service", f.file().Services[1].ServiceID,
		"--name", "secondary")
	if log := admin(t, "audit", "--dir", f.dir); !strings.Contains(log, "upgrade finalise") {
		t.Errorf("the audit, a feature of version 2, says %q", log)
	}

	told := stop()
	told.check(t, f.file())
	awaitAgreement(t, f.file())
	u.refuseOld()
}

// upgrade is a federation whose program changes under it, as an operator changes it: the file is
// replaced, and processes are started again.
type upgrade struct {
	t *testing.T
	f *federation
	// binary is what the federation runs: a copy of old, or wrapper.
	binary, old, wrapper string
}

type upgradeStatus struct {
	Active uint32        `json:"active_version"`
	Ready  uint32        `json:"ready_for_version"`
	Nodes  []nodeVersion `json:"nodes"`
}

type nodeVersion struct {
	Node    string `json:"node"`
	Program uint32 `json:"program_version"`
	Active  uint32 `json:"region_active_version"`
}

// newUpgrade builds the previous program from the history of the repository.
func newUpgrade(t *testing.T) *upgrade {
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	if err := os.Mkdir(source, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("git", "cat-file", "-e", previous+"^{commit}").Run(); err != nil {
		t.Skipf("the history up to the previous program, %.12s, is not here, as in a shallow "+
			"clone: %v", previous, err)
	}
	u := &upgrade{t: t, binary: filepath.Join(dir, "staffetta"), old: filepath.Join(dir, "old"),
		wrapper: filepath.Join(dir, "new")}
	root, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		t.Fatal(err)
	}
	archive := exec.Command("sh", "-c", `git -C "$1" archive "$2" | tar -x -C "$3"`, "sh",
		strings.TrimSpace(string(root)), previous, source)
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", u.old, "./cmd/staffetta")
	build.Dir = source
	for _, cmd := range []*exec.Cmd{archive, build} {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
	}
	// The old parent gives its children the flags that it knows; how full this machine's disk is
	// must not matter.
	script := fmt.Sprintf("#!/bin/sh\ncase $1 in\nnode) exec %[1]s \"$@\" --disk-low 1 "+
		"--disk-critical 0 --ballast 0 ;;\n*) exec %[1]s \"$@\" ;;\nesac\n", staffetta)
	if err := os.WriteFile(u.wrapper, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	u.use(t, u.old)
	return u
}

// renew replaces certificates that are valid for longer than this program allows, and an operator's
// that grants nothing, as operators have to before they upgrade.
func (u *upgrade) renew() {
	u.t.Helper()
	path := func(name string) string { return filepath.Join(u.f.dir, "pki", name) }
	read := func(name string) []byte {
		b, err := os.ReadFile(path(name))
		if err != nil {
			u.t.Fatal(err)
		}
		return b
	}
	authority, err := ca.Load(read("ca.crt"), read("ca.key"))
	if err != nil {
		u.t.Fatal(err)
	}
	files, err := filepath.Glob(path("*.crt"))
	if err != nil {
		u.t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".crt")
		if name == "ca" {
			continue
		}
		block, _ := pem.Decode(read(name + ".crt"))
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			u.t.Fatal(err)
		}
		id, err := link.ParseIdentity(cert.URIs[0])
		if err != nil {
			u.t.Fatal(err)
		}
		crt, key, err := authority.Issue(cert.URIs[0], 90*24*time.Hour, link.UnitsOf(id)...)
		if err != nil {
			u.t.Fatal(err)
		}
		err = errors.Join(os.WriteFile(path(name+".crt"), crt, 0o600),
			os.WriteFile(path(name+".key"), key, 0o600))
		if err != nil {
			u.t.Fatal(err)
		}
	}
}

// use replaces the program that processes are started with.
func (u *upgrade) use(t *testing.T, program string) {
	t.Helper()
	next := u.binary + ".next"
	if err := os.Link(program, next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, u.binary); err != nil {
		t.Fatal(err)
	}
}

// restart stops a process as an operator does; its parent starts it again.
func (u *upgrade) restart(id string) {
	u.t.Helper()
	old := u.f.pid(id)
	if err := syscall.Kill(old, syscall.SIGTERM); err != nil {
		u.t.Fatal(err)
	}
	await(u.t, id+" is started again", func() bool {
		pid := u.f.pid(id)
		return pid != old && pid != 0 && running(pid)
	})
	file := u.f.file()
	for _, n := range file.Nodes {
		if n.ID == id {
			insist(u.t, http.StatusOK, http.MethodGet, n.Admin+"/health", nil)
		}
	}
	for _, g := range file.Gateways {
		if g.ID == id {
			insist(u.t, http.StatusOK, http.MethodGet, g.Admin+"/health", nil)
		}
	}
}

func (u *upgrade) status() (s upgradeStatus) {
	u.t.Helper()
	out := admin(u.t, "upgrade", "status", "--json", "--dir", u.f.dir)
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		u.t.Fatalf("upgrade status: %v in %q", err, out)
	}
	return s
}

// refuseFinalise wants finalising refused: by the leader, with the reason, or because the leader
// does not know the command.
func (u *upgrade) refuseFinalise(want string) {
	u.t.Helper()
	out, err := exec.Command(staffetta, "admin", "upgrade", "finalise", "--dir", u.f.dir).
		CombinedOutput()
	if text := string(out); err == nil && !strings.Contains(text, "version 1 is in use") ||
		err != nil && !strings.Contains(text, want) && !strings.Contains(text, "unknown") {
		u.t.Errorf("finalising too early: %v, %s", err, out)
	}
}

// refuseOld starts the previous program on the data of the new one.
func (u *upgrade) refuseOld() {
	u.t.Helper()
	file := u.f.file()
	u.f.interrupt()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	newest := fmt.Sprintf("(format %d)", wire.Version)
	for _, n := range file.Nodes {
		dir := func(elem ...string) string { return filepath.Join(append([]string{u.f.dir}, elem...)...) }
		out, err := exec.CommandContext(ctx, u.old, "node", "--id", n.ID, "--region", n.Region,
			"--listen", n.Addr, "--admin", strings.TrimPrefix(n.Admin, "http://"), "--dir", n.Dir,
			"--founding", dir("founding.json"), "--directory-key", dir("directory.key"),
			"--cert", dir("pki", n.ID+".crt"), "--key", dir("pki", n.ID+".key"),
			"--ca", dir("pki", "ca.crt")).CombinedOutput()
		if err == nil || !strings.Contains(string(out), newest) {
			u.t.Errorf("the previous program on the new one's data: %v, %s", err, out)
		}
	}
}

// traffic sends messages, one after the other, each until it has its verdict, and reads them back.
// stop ends it and returns what was acknowledged.
func (u *upgrade) traffic() (stop func() ledger) {
	file := u.f.file()
	to := active(file)
	told, done := ledger{}, make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
			c := to[i%len(to)].FiscalCode
			id, ok := u.send(file, c, fmt.Sprint("messaggio ", i))
			if !ok {
				return
			}
			told[c] = append(told[c], id)
		}
	})
	return func() ledger {
		close(done)
		all.Wait()
		if len(told) < len(to) {
			u.t.Errorf("messages to %d citizens were acknowledged, want all %d", len(told), len(to))
		}
		return told
	}
}

// send submits one message until it is acknowledged, and reads it back.
func (u *upgrade) send(file *localfile.File, code, text string) (id string, ok bool) {
	gateway, key := file.Gateways[0].URL, file.Services[0].PrimaryKey
	var last string
	ok = within(patience, func() bool {
		a, err := call(http.MethodPost, gateway+"/api/v1/messages", messageTo(code, text), keyHeader,
			key, "Idempotency-Key", strings.ReplaceAll(text, " ", "-"))
		if err != nil || a.status != http.StatusCreated {
			last = fmt.Sprint(a, err)
			return false
		}
		var s submitted
		err = json.Unmarshal(a.body, &s)
		if err == nil && s.Status == "THROTTLED" {
			last = s.Status
			return false // its region was away for two seconds: it has no place in the order yet
		}
		if err != nil || s.Status != "PROCESSED" {
			u.t.Errorf("%s: got %s, want PROCESSED", text, a.body)
			return true
		}
		id = s.ID
		b, err := call(http.MethodGet, gateway+"/api/v1/messages/"+code+"/"+id, nil, keyHeader, key)
		if err == nil && b.status == http.StatusNotFound {
			u.t.Errorf("%s: acknowledged and not found", text)
		}
		return true
	})
	if !ok {
		u.t.Errorf("%s: no verdict within %s: %s", text, patience, last)
	}
	return id, ok
}
