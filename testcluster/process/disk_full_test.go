package process_test

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/internal/localfile"
	"golang.org/x/sys/unix"
)

// TestDiskFull fills a node's disk twice. First up to the reserve, below which the node refuses
// submissions and says so. Then to the last byte while messages are under way, when the node has
// to stop rather than to acknowledge what it cannot write. Each time, with space again, nothing
// acknowledged is missing.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	nodes := filepath.Join(dir, "nodes")
	if err := os.Mkdir(nodes, 0o700); err != nil {
		t.Fatal(err)
	}
	mount(t, nodes, "size=400m", 0) // the reserve is 256 MiB
	f := startLocalIn(t, dir, "--demo=false", "--nodes", "1", "--regions", "lazio",
		"--citizens", "3")
	file, told := f.file(), ledger{}
	gateway, key := file.Gateways[0].URL, file.Services[0].PrimaryKey
	to := active(file)[0]
	note := func(s submitted) {
		t.Helper()
		if s.Status != "PROCESSED" {
			t.Fatalf("got %+v, want PROCESSED", s)
		}
		told[to.FiscalCode] = append(told[to.FiscalCode], s.ID)
	}
	note(submit(t, gateway, key, to.FiscalCode, "disco libero"))
	token := login(t, gateway, to.FiscalCode) // writes a session, which a full disk refuses

	ballast := filepath.Join(nodes, "ballast")
	fill(t, ballast, 200<<20)
	await(t, "the node says that its disk is nearly full", func() bool {
		a, err := call(http.MethodGet, file.Nodes[0].Admin+"/health", nil)
		return err == nil && a.status == http.StatusServiceUnavailable
	})
	a, err := call(http.MethodPost, gateway+"/api/v1/messages",
		messageTo(to.FiscalCode, "disco quasi pieno"), keyHeader, key)
	if err != nil || a.status != http.StatusServiceUnavailable ||
		a.header.Get("Retry-After") == "" {
		t.Errorf("on a disk nearly full: got %v, %v, want 503 with Retry-After", a, err)
	}
	a, err = call(http.MethodGet, gateway+"/api/communication/v1/messages", nil,
		"Authorization", "Bearer "+token)
	if err != nil || a.status != http.StatusOK || !strings.Contains(string(a.body), last(told)) {
		t.Errorf("reading on a disk nearly full: got %v, %v, want the message", a, err)
	}
	remove(t, ballast)
	insist(t, http.StatusOK, http.MethodGet, file.Nodes[0].Admin+"/health", nil)

	// The node has just looked at its disk and will not for some seconds: time for it to run
	// into the end of it.
	const count = 3000
	m := newBulkyMailing(t, file, count)
	s := m.send(t, file, filepath.Join(t.TempDir(), "results.ndjson"))
	s.awaitUnderWay(count)
	fill(t, ballast, 1<<40)
	await(t, "the node refuses or stops", func() bool {
		a, err := call(http.MethodGet, file.Nodes[0].Admin+"/health", nil)
		return err != nil || a.status != http.StatusOK
	})
	remove(t, ballast)
	if strings.Contains(f.events.String(), "lazio-1 ended: exit status 1") {
		b, err := os.ReadFile(file.Nodes[0].Log)
		if err != nil || !strings.Contains(string(b), "no space left on device") {
			t.Errorf("the node ended and does not say that its disk is full: %v", err)
		}
	} else {
		t.Log("the node saw the end of its disk before it ran into it")
	}
	told.note(t, m, s.wait())
	told.check(t, f.file())
	awaitAgreement(t, f.file())
}

func last(l ledger) (id string) {
	for _, ids := range l {
		id = ids[len(ids)-1]
	}
	return id
}

func active(file *localfile.File) (list []localfile.Citizen) {
	for _, c := range file.Citizens {
		if c.State == localfile.Active {
			list = append(list, c)
		}
	}
	return list
}

// newBulkyMailing is a mailing that no compression makes smaller, so that the state is written to
// the disk soon.
func newBulkyMailing(t *testing.T, file *localfile.File, n int) *mailing {
	t.Helper()
	m := newMailing(t, file, 1, n)
	var text []byte
	for i, to := range m.recipients {
		raw := make([]byte, 7200)
		rand.Read(raw)
		text = fmt.Appendf(text, `{"fiscal_code":%q,"content":{"subject":"Prova numero %d",`+
			`"markdown":%q}}`+"\n", to.FiscalCode, i, base64.StdEncoding.EncodeToString(raw))
	}
	if err := os.WriteFile(m.path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return m
}

// fill writes a file of size bytes, or of what fits.
func fill(t *testing.T, path string, size int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 1<<20); size > 0 && len(chunk) > 0; {
		n, err := f.Write(chunk[:min(int64(len(chunk)), size)])
		size -= int64(n)
		switch {
		case errors.Is(err, unix.ENOSPC):
			chunk = chunk[:len(chunk)/2] // to the last byte
		case err != nil:
			t.Fatal(err)
		}
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
