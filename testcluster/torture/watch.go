package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/staffetta/staffetta/internal/localfile"
)

const (
	// watchPeriod is how often processes are asked how they are.
	watchPeriod = 400 * time.Millisecond
	// digestsMax bounds the digests that are kept of a group to compare others with.
	digestsMax = 4096
	// lastWordsBytes is how much of a log is looked at for why its process ended.
	lastWordsBytes = 4096
)

// watch asks every process all the time who leads and where it stands, compares digests, and
// hears of every process that ends.
type watch struct {
	time     *timeline
	findings *findings
	http     *http.Client
	gateways []localfile.Gateway

	// Guarded by mu.
	mu      sync.Mutex
	nodes   []localfile.Node
	logs    map[string]string // of every process that there was
	leaders map[string]leadership
	digests map[string]map[uint64]string // of a group, by index
	compare int                          // digests that met another of the same index
	ready   map[string]bool
	begun   map[string]int  // how often a process was seen to come back
	excused map[string]bool // ends that are the run's own doing
	allowed map[string]time.Duration
	ends    []Ending
}

// leadership is who leads in the latest term seen.
type leadership struct {
	id   string
	term uint64
}

// Ending is the end of a process that nobody asked for.
type Ending struct {
	At  float64 `json:"at"` // seconds since the beginning
	ID  string  `json:"id"`
	How string  `json:"how"`
	Why string  `json:"why"` // the last error that its log has
}

func newWatch(t *timeline, f *findings, file *localfile.File) *watch {
	w := &watch{time: t, findings: f, http: &http.Client{Timeout: 2 * time.Second},
		gateways: file.Gateways, leaders: map[string]leadership{},
		digests: map[string]map[uint64]string{}, ready: map[string]bool{}, begun: map[string]int{},
		excused: map[string]bool{}, allowed: map[string]time.Duration{}, logs: map[string]string{}}
	for _, n := range file.Nodes {
		w.join(n)
	}
	return w
}

// join has a node watched, leave watched no more.
func (w *watch) join(n localfile.Node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes = append(w.nodes, n)
	w.logs[n.ID] = n.Log
}

func (w *watch) leave(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes = slices.DeleteFunc(slices.Clone(w.nodes), func(n localfile.Node) bool {
		return n.ID == id
	})
}

func (w *watch) members() []localfile.Node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nodes
}

// standing is what a replica says of itself.
type standing struct {
	Group       string `json:"group"`
	Role        string `json:"role"`
	Term        uint64 `json:"term"`
	Applied     uint64 `json:"applied_index"`
	Last        uint64 `json:"last_index"`
	Digest      string `json:"digest"`
	DigestIndex uint64 `json:"digest_index"`
}

// run watches until ctx ends.
func (w *watch) run(ctx context.Context) {
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	for {
		w.look(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look asks everybody once, all at a time.
func (w *watch) look(ctx context.Context) {
	var all sync.WaitGroup
	for _, n := range w.members() {
		all.Go(func() {
			list, err := w.status(ctx, n.Admin)
			w.note(n.ID, list)
			w.healthy(n.ID, err == nil && w.health(ctx, n.Admin))
		})
	}
	for _, g := range w.gateways {
		all.Go(func() { w.healthy(g.ID, w.health(ctx, g.Admin)) })
	}
	all.Wait()
}

func (w *watch) get(ctx context.Context, url string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax))
	return resp.StatusCode, b, err
}

func (w *watch) status(ctx context.Context, admin string) ([]standing, error) {
	_, b, err := w.get(ctx, admin+"/status")
	if err != nil {
		return nil, err
	}
	var s struct {
		Groups []standing `json:"groups"`
	}
	return s.Groups, json.Unmarshal(b, &s)
}

func (w *watch) health(ctx context.Context, admin string) bool {
	code, _, err := w.get(ctx, admin+"/health")
	return err == nil && code == http.StatusOK
}

// note takes what a node says of its replicas.
func (w *watch) note(id string, list []standing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range list {
		if s.Role == "leader" && s.Term >= w.leaders[s.Group].term {
			w.leaders[s.Group] = leadership{id, s.Term}
		}
		known := w.digests[s.Group]
		if known == nil || len(known) >= digestsMax {
			known = map[uint64]string{}
			w.digests[s.Group] = known
		}
		switch other, met := known[s.DigestIndex]; {
		case !met:
			known[s.DigestIndex] = s.Digest
		case other != s.Digest:
			w.findings.add("%s: replicas differ at index %d, %s is one of them", s.Group,
				s.DigestIndex, id)
		default:
			w.compare++
		}
	}
}

func (w *watch) healthy(id string, now bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now && !w.ready[id] {
		w.begun[id]++
	}
	w.ready[id] = now
}

// leader is the group's leader as last seen; empty: none was.
func (w *watch) leader(group string) string { return w.leadership(group).id }

func (w *watch) leadership(group string) leadership {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.leaders[group]
}

// starts counts how often a process came to be well.
func (w *watch) starts(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.begun[id]
}

// await waits until a process is well again that was so starts times.
func (w *watch) await(ctx context.Context, id string, starts int) error {
	return w.until(ctx, id+" is well", func() bool { return w.begun[id] > starts && w.ready[id] })
}

// until waits until a condition holds, which is asked with mu held.
func (w *watch) until(ctx context.Context, what string, holds func() bool) error {
	tick := time.NewTicker(watchPeriod / 4)
	defer tick.Stop()
	for {
		w.mu.Lock()
		ok := holds()
		w.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited in vain until %s: %w", what, ctx.Err())
		}
	}
}

// allWell waits until every process is well.
func (w *watch) allWell(ctx context.Context) error {
	var missing string
	err := w.until(ctx, "all processes are well", func() bool {
		for _, n := range w.nodes {
			if missing = n.ID; !w.ready[n.ID] {
				return false
			}
		}
		for _, g := range w.gateways {
			if missing = g.ID; !w.ready[g.ID] {
				return false
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("%s: %w", missing, err)
	}
	return nil
}

// excuse says that the next end of a process is the run's own doing.
func (w *watch) excuse(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.excused[id] = true
}

// endGrace is how long after a fault its processes may still end because of it: a watchdog waits
// ten seconds, an election some more.
const endGrace = 20 * time.Second

// allow says that processes may end by themselves from now on, until forbid and some time after.
func (w *watch) allow(ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		w.allowed[id] = forever
	}
}

func (w *watch) forbid(ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		w.allowed[id] = w.time.now() + endGrace
	}
}

// guardsEnd are the ends by which a process saves itself, at any time: what it says is documented,
// and it is started again.
var guardsEnd = regexp.MustCompile(`restart the process|clock is off|the node starts again`)

// ended hears that a process ended. One that does so for no reason known is a finding.
func (w *watch) ended(id string, err error) {
	why := w.lastWords(id)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ready[id] = false
	if w.excused[id] {
		delete(w.excused, id)
		return
	}
	now := w.time.now()
	w.ends = append(w.ends, Ending{At: now.Seconds(), ID: id, How: fmt.Sprint(err), Why: why})
	if panicked(why) || now > w.allowed[id] && !guardsEnd.MatchString(why) {
		w.findings.add("%s ended by itself: %v: %s", id, err, why)
	}
}

func panicked(why string) bool { return regexp.MustCompile(`panic:|fatal error:`).MatchString(why) }

// lastWords is the last error in a process's log, or the panic that ended it.
func (w *watch) lastWords(id string) string {
	w.mu.Lock()
	path := w.logs[id]
	w.mu.Unlock()
	if path == "" {
		return ""
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	b = b[max(0, len(b)-64*lastWordsBytes):]
	if at := bytes.LastIndex(b, []byte("\npanic: ")); at >= 0 {
		return string(b[at+1 : min(len(b), at+lastWordsBytes)])
	}
	if at := bytes.LastIndex(b, []byte("\nstaffetta: ")); at >= 0 {
		return string(bytes.TrimSpace(b[at+1 : min(len(b), at+lastWordsBytes)]))
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(lines[len(lines)-1])
}

// endings are all ends that were not the run's own doing, and how many digests were compared.
func (w *watch) endings() (ends []Ending, compared int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Ending(nil), w.ends...), w.compare
}
