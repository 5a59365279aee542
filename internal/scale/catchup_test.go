package scale

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/localfile"
)

// fakeRegion is a gateway and nodes that answer as a region's do: every message is an entry, and
// a node that was away applies some with each look at it.
type fakeRegion struct {
	t    *testing.T
	file localfile.File

	mu      sync.Mutex
	commit  uint64
	away    string            // the node that is stopped
	behind  map[string]uint64 // entries that a node has to apply
	started []string          // events in order
}

func newFakeRegion(t *testing.T) *fakeRegion {
	f := &fakeRegion{t: t, behind: map[string]uint64{}}
	serve := func(h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	f.file.Services = []localfile.Service{{PrimaryKey: "key"}}
	f.file.Gateways = []localfile.Gateway{{ID: "gateway-1", URL: serve(f.submit)}}
	for i, role := range []string{"follower", "leader", "follower"} {
		id := fmt.Sprintf("lazio-%d", i+1)
		f.file.Nodes = append(f.file.Nodes, localfile.Node{ID: id, Dir: t.TempDir(),
			Admin: serve(func(w http.ResponseWriter, r *http.Request) { f.admin(w, r, id, role) })})
	}
	return f
}

func (f *fakeRegion) submit(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	f.mu.Lock()
	f.commit++
	if f.away != "" {
		f.behind[f.away]++
	}
	f.mu.Unlock()
	w.WriteHeader(http.StatusCreated)
	io.WriteString(w, `{"status":"PROCESSED"}`)
}

func (f *fakeRegion) admin(w http.ResponseWriter, r *http.Request, id, role string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away == id {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path == "/health" {
		return
	}
	applied := f.commit - f.behind[id]
	f.behind[id] -= f.behind[id] / 2
	if f.behind[id] < lagEntries {
		f.behind[id] = 0
	}
	fmt.Fprintf(w, `{"groups":[{"group":"federation","role":"leader"},{"group":"region/lazio",
		"role":%q,"commit_index":%d,"applied_index":%d}]}`, role, f.commit, applied)
}

func (f *fakeRegion) kill(id string) error  { return f.event("kill", id, id) }
func (f *fakeRegion) start(id string) error { return f.event("start", id, "") }

func (f *fakeRegion) event(what, id, away string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away, f.started = away, append(f.started, what+" "+id)
	return nil
}

func (f *fakeRegion) config() CatchUpConfig {
	return CatchUpConfig{File: &f.file, Group: "region/lazio", Kill: f.kill, Start: f.start,
		Codes: []fiscalcode.Code{newCitizens(1, 1).code(0)}, Outage: OutageMin, Concurrency: 2}
}

func TestCatchUp(t *testing.T) {
	if testing.Short() {
		t.Skip("offers load for some seconds")
	}
	f := newFakeRegion(t)
	r, err := CatchUp(t.Context(), f.config())
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.started, ", "); got != "kill lazio-1, start lazio-1" {
		t.Errorf("events: %s", got)
	}
	if r.Node != "lazio-1" || r.MissedEntries == 0 || r.Full <= 0 || r.Outage <= 0 ||
		r.Offered != halfRate*r.Full || r.Alone <= 0 || r.During <= 0 || r.ReadySeconds <= 0 ||
		r.CatchUpSeconds < r.ReadySeconds || r.OutageSeconds < OutageMin.Seconds() ||
		r.CatchUpRatio != r.CatchUpSeconds/r.OutageSeconds || r.Errors != 0 || len(r.Stalls) == 0 {
		t.Errorf("report %+v", r)
	}
	if err := r.Write(io.Discard); err != nil {
		t.Error(err)
	}
}

// TestCatchUpInterrupted ends with the interruption's error, whatever it was doing.
func TestCatchUpInterrupted(t *testing.T) {
	f := newFakeRegion(t)
	ctx, cancel := context.WithCancel(t.Context())
	cfg := f.config()
	cfg.Progress = &stopping{at: "full load", stop: cancel}
	if _, err := CatchUp(ctx, cfg); err == nil {
		t.Error("an interrupted run succeeds")
	}
	if len(f.started) > 0 {
		t.Errorf("events %q after the interruption", f.started)
	}
}

// TestCatchUpRefuses what cannot be measured.
func TestCatchUpRefuses(t *testing.T) {
	for want, change := range map[string]func(*CatchUpConfig){
		"three nodes":      func(c *CatchUpConfig) { c.File = &localfile.File{} },
		"no way to stop":   func(c *CatchUpConfig) { c.Kill = nil },
		"at least":         func(c *CatchUpConfig) { c.Outage = time.Second },
		"GB more":          func(c *CatchUpConfig) { c.Room = 1 << 62 },
		"no group regions": func(c *CatchUpConfig) { c.Group = "regions" },
	} {
		f := newFakeRegion(t)
		cfg := f.config()
		change(&cfg)
		if _, err := CatchUp(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
}
