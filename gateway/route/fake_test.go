package route

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// world is a federation behind a Caller: regions that decide by the real rules of ownership and
// identity, in memory, and nodes that can be away, silent or lose answers.
type world struct {
	t     testing.TB
	coder *wire.Coder
	hash  *wire.Hasher
	delay time.Duration // of every call; 0 takes no time

	// Guarded by mu.
	mu        sync.Mutex
	m         wire.Map
	index     uint64
	directory map[wire.Recipient]wire.DirectoryEntry
	services  map[wire.ServiceID]wire.ServiceAccess
	events    []placed // what the feed says, in order
	compacted uint64   // events up to here are gone
	changed   chan struct{}
	regions   map[wire.RegionID]*region
	down      map[string]fault // by address
	contact   map[string]time.Duration
	calls     map[wire.Method]int
	resolves  []int // recipients per resolve call
	feeds     []string
	helloKey  wire.DirectoryKey
	// hook sees a call before the world does; handled false lets it through.
	hook func(ctx context.Context, to link.Peer, m wire.Method, req []byte) (answer []byte,
		err error, handled bool)
}

type placed struct {
	index uint64
	event wire.FeedEvent
}

type fault int

const (
	healthy    fault = iota
	refusing         // no connection: Unavailable at once
	silent           // takes requests, never answers, does not apply
	forgetful        // applies, never answers
	leaderless       // NotLeader without a hint
)

type region struct {
	id       wire.RegionID
	leader   wire.NodeID
	owned    map[wire.Recipient]wire.Ownership
	active   map[wire.Recipient]bool
	anchored bool // anchors every code that it does not own or has released
	messages map[wire.MessageID]wire.Outcome
	bytes    map[wire.MessageID][]byte // the encoding of each record's first whole copy
	log      [][]wire.MessageID        // ids by block
	digests  int
	wholes   int
	outcome  func(r *wire.Record) (wire.Outcome, bool) // overrides the rules
	blockErr func(n int) error                         // refuses a block
	spool    fakeSpool
}

func newWorld(t testing.TB, regions ...wire.RegionID) *world {
	coder, err := wire.NewCoder(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(coder.Close)
	key := wire.DirectoryKey{1}
	w := &world{t: t, coder: coder, hash: wire.NewHasher(key), helloKey: key, index: 10,
		directory: map[wire.Recipient]wire.DirectoryEntry{},
		services:  map[wire.ServiceID]wire.ServiceAccess{},
		regions:   map[wire.RegionID]*region{}, down: map[string]fault{},
		contact: map[string]time.Duration{}, changed: make(chan struct{}),
		calls: map[wire.Method]int{}}
	w.m = wire.Map{Federation: "test", Version: 1,
		SlotOwners: make([]wire.RegionTag, wire.Slots)}
	for i, id := range regions {
		w.m.Regions = append(w.m.Regions, wire.Region{ID: id, Tag: wire.RegionTag(i + 1)})
		for n := range 3 {
			w.m.Nodes = append(w.m.Nodes, wire.Node{ID: wire.NodeID(fmt.Sprintf("%s-%d", id, n+1)),
				Region: id, Addr: addr(id, n+1), Voter: n == 0})
		}
		w.regions[id] = &region{id: id, leader: wire.NodeID(string(id) + "-1"),
			owned: map[wire.Recipient]wire.Ownership{}, active: map[wire.Recipient]bool{},
			messages: map[wire.MessageID]wire.Outcome{}, bytes: map[wire.MessageID][]byte{}}
	}
	for s := range w.m.SlotOwners {
		w.m.SlotOwners[s] = 1 // the first region anchors everything
	}
	w.regions[regions[0]].anchored = true
	return w
}

func addr(id wire.RegionID, n int) string { return fmt.Sprintf("%s-%d:7000", id, n) }

// router starts a router in the first region and waits until it follows the feed.
func (w *world) router(change ...func(*Config)) *Router {
	w.t.Helper()
	home := w.m.Regions[0].ID
	cfg := Config{Caller: w, Region: home, Coder: w.coder, Nodes: []string{addr(home, 1)}}
	for _, c := range change {
		c(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: got %v, want nil", err)
		}
	})
	for r.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	if _, test := w.t.(*testing.T); test {
		synctest.Wait()
	}
	return r
}

// citizen makes a code that region owns at epoch 1, active or not.
func (w *world) citizen(n int, id wire.RegionID, active bool) fiscalcode.Code {
	code := codeOf(n)
	to := w.hash.Recipient(code)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.own(to, id, 1, active)
	return code
}

func (w *world) own(to wire.Recipient, id wire.RegionID, epoch wire.Epoch, active bool) {
	for _, r := range w.regions {
		if _, had := r.owned[to]; had || r.anchored {
			r.owned[to] = wire.Ownership{State: wire.Released, Epoch: epoch, Region: id}
		}
	}
	w.regions[id].owned[to] = wire.Ownership{State: wire.Owned, Epoch: epoch}
	w.regions[id].active[to] = active
	w.directory[to] = wire.DirectoryEntry{Region: id, Epoch: epoch, State: wire.Claimed,
		Active: active}
}

func codeOf(n int) fiscalcode.Code {
	code, err := fiscalcode.Parse(fmt.Sprintf("RSSM%c%c80A01H%03dU", 'A'+n/1000%26, 'A'+n/26000,
		n%1000))
	if err != nil {
		panic(err)
	}
	return code
}

// sayLocked appends an event to the feed.
func (w *world) sayLocked(e wire.FeedEvent) {
	w.index++
	w.events = append(w.events, placed{w.index, e})
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// sender is whose the messages are.
const sender = wire.InstitutionID("01234567890")

func record(r *Router, code fiscalcode.Code) *wire.Record {
	return &wire.Record{ID: r.NewID(), Service: "01SERVICE", FiscalCode: code, TimeToLive: 3600,
		Content: wire.Encode(&wire.Content{Subject: "a subject of ten", Markdown: "text"})}
}

// Call is Caller's.
func (w *world) Call(ctx context.Context, to link.Peer, m wire.Method, req []byte) ([]byte,
	error) {
	w.mu.Lock()
	hook, state := w.hook, w.down[to.Addr]
	w.calls[m]++
	w.mu.Unlock()
	if hook != nil {
		if answer, err, handled := hook(ctx, to, m, req); handled {
			return answer, err
		}
	}
	switch state {
	case refusing:
		return nil, wire.Errorf(wire.Unavailable, "no connection")
	case silent:
		<-ctx.Done()
		return nil, wire.Errorf(wire.OutcomeUnknown, "no answer")
	}
	if w.delay > 0 {
		select {
		case <-time.After(w.delay):
		case <-ctx.Done():
			return nil, wire.Errorf(wire.OutcomeUnknown, "no answer in time")
		}
	}
	w.mu.Lock()
	answer, err := w.answer(to, m, req)
	w.mu.Unlock()
	if state == forgetful {
		<-ctx.Done()
		return nil, wire.Errorf(wire.OutcomeUnknown, "the answer was lost")
	}
	return answer, err
}

func (w *world) answer(to link.Peer, m wire.Method, req []byte) ([]byte, error) {
	var node wire.Node
	for _, n := range w.m.Nodes {
		if n.Addr == to.Addr {
			node = n
		}
	}
	if node.ID == "" || to.Node != "" && to.Node != node.ID {
		return nil, wire.Errorf(wire.Unavailable, "nobody there")
	}
	switch m {
	case wire.MethodHello:
		return wire.Encode(&wire.Welcome{Version: 1, Node: node.ID, Region: node.Region,
			Key: w.helloKey, Map: w.m}), nil
	case wire.MethodResolve:
		var q wire.Resolve
		w.decode(req, &q)
		w.resolves = append(w.resolves, len(q.Recipients))
		a := wire.Resolved{Index: w.index}
		for _, r := range q.Recipients {
			e, ok := w.directory[r]
			if !ok {
				e = wire.DirectoryEntry{Region: w.m.Anchor(r.Slot())}
			}
			a.Entries = append(a.Entries, e)
		}
		return wire.Encode(&a), nil
	case wire.MethodServiceByKey:
		var q wire.ServiceByKey
		w.decode(req, &q)
		for _, s := range w.services {
			if s.Service.Keys[0] == q.Key {
				s.Index = w.index
				return wire.Encode(&s), nil
			}
		}
		return nil, wire.Errorf(wire.NotFound, "no such key")
	case wire.MethodServiceByID:
		var q wire.ServiceByID
		w.decode(req, &q)
		s, ok := w.services[q.ID]
		if !ok {
			return nil, wire.Errorf(wire.NotFound, "no such service")
		}
		s.Index = w.index
		return wire.Encode(&s), nil
	case wire.MethodCatalogue:
		var q wire.ListCatalogue
		w.decode(req, &q)
		page := wire.CataloguePage{Index: w.index}
		for _, id := range slices.Sorted(maps.Keys(w.services)) {
			switch s := w.services[id]; {
			case id <= q.After:
			case len(page.Services) == 2: // to a page
				page.Next = page.Services[1].ID
			default:
				page.Services = append(page.Services, wire.CatalogueService{ID: id,
					Institution: s.Institution.ID, Version: s.Service.Version})
				page.Institutions = []wire.CatalogueInstitution{{ID: s.Institution.ID}}
			}
		}
		return wire.Encode(&page), nil
	}
	r := w.regions[node.Region]
	switch {
	case w.down[to.Addr] == leaderless:
		return nil, wire.Errorf(wire.NotLeader, "no leader")
	case node.ID != r.leader:
		return nil, &wire.Error{Code: wire.NotLeader, Leader: r.leader}
	case m == wire.MethodSubmit:
		return r.submit(w, req)
	case m == wire.MethodFindMessage:
		return r.find(w, req)
	case m == wire.MethodProbeRegion:
		return nil, nil
	case m == wire.MethodSpool:
		return r.spool.keep(w, r.id, req)
	case m == wire.MethodFindSpooled:
		return r.spool.find(w, req)
	}
	return nil, wire.Errorf(wire.UnknownKind, "method %d", m)
}

func (w *world) decode(b []byte, m codec.Message) {
	if err := wire.Decode(b, m); err != nil {
		w.t.Errorf("request cannot be decoded: %v", err)
	}
}

// submit decides a block as a region does: nothing is applied when a record is not the region's.
func (r *region) submit(w *world, frame []byte) ([]byte, error) {
	b, err := w.coder.Decode(frame)
	if err != nil {
		return nil, err
	}
	if r.blockErr != nil {
		if err := r.blockErr(len(b.Records)); err != nil {
			return nil, err
		}
	}
	out := wire.Outcomes{List: make([]wire.Outcome, len(b.Records))}
	moved := false
	for i := range b.Records {
		rec := &b.Records[i]
		o := r.owned[rec.RecipientUnder(w.hash)]
		if o.State == wire.Owned || o.State != wire.Released && r.anchored {
			continue
		}
		moved = true
		out.List[i] = wire.Outcome{Kind: wire.NotOwner, Region: o.Region, Epoch: o.Epoch}
	}
	if moved {
		return wire.Encode(&out), nil
	}
	var ids []wire.MessageID
	for i := range b.Records {
		rec := &b.Records[i]
		ids = append(ids, rec.ID)
		if rec.IsRedacted() {
			r.digests++
		} else {
			r.wholes++
			r.same(w, rec)
		}
		out.List[i] = r.decide(w, rec)
	}
	r.log = append(r.log, ids)
	return wire.Encode(&out), nil
}

// same checks that every whole copy under one id has the same bytes.
func (r *region) same(w *world, rec *wire.Record) {
	now := wire.Encode(rec)
	if before := r.bytes[rec.ID]; before == nil {
		r.bytes[rec.ID] = now
	} else if !bytes.Equal(before, now) {
		w.t.Errorf("two copies of one record differ")
	}
}

func (r *region) decide(w *world, rec *wire.Record) wire.Outcome {
	if o, ok := r.messages[rec.ID]; ok {
		return o
	}
	if r.outcome != nil {
		if o, ok := r.outcome(rec); ok {
			return o
		}
	}
	o := wire.Outcome{Kind: wire.Decided, ID: rec.ID, Verdict: wire.Verdict{Status: wire.Processed}}
	if to := rec.RecipientUnder(w.hash); !r.active[to] {
		o.Verdict = wire.Verdict{Status: wire.Rejected, Reason: wire.UserNotFound}
	} else if rec.IsRedacted() {
		return wire.Outcome{Kind: wire.NeedContent}
	}
	r.messages[rec.ID] = o
	return o
}

func (r *region) find(w *world, req []byte) ([]byte, error) {
	var q wire.FindMessage
	w.decode(req, &q)
	if o := r.owned[q.Recipient]; o.State == wire.Released || o.State == 0 && !r.anchored {
		return nil, &wire.Error{Code: wire.Moved, Region: o.Region, Epoch: o.Epoch}
	}
	o, ok := r.messages[q.ID]
	if !ok {
		return nil, wire.Errorf(wire.NotFound, "no such message")
	}
	return wire.Encode(&wire.MessageView{ID: q.ID, Verdict: o.Verdict}), nil
}

// Stream is Caller's: the changes feed of one node.
func (w *world) Stream(ctx context.Context, to link.Peer, m wire.Method, req []byte,
	recv func([]byte) error) error {
	var q wire.Feed
	w.decode(req, &q)
	w.set(func() { w.feeds = append(w.feeds, to.Addr) })
	sent, first := q.From, true
	for {
		w.mu.Lock()
		state, changed, contact := w.down[to.Addr], w.changed, w.contact[to.Addr]
		f := wire.FeedFrame{Index: w.index, ContactMillis: uint64(contact.Milliseconds())}
		if first && (q.From == 0 || q.From < w.compacted) {
			f.Reset = true
		} else {
			for _, e := range w.events {
				if e.index > sent {
					f.Events = append(f.Events, e.event)
				}
			}
		}
		w.mu.Unlock()
		switch state {
		case refusing:
			return wire.Errorf(wire.Unavailable, "connection lost")
		case silent:
			<-ctx.Done()
			return ctx.Err()
		}
		if err := recv(wire.Encode(&f)); err != nil {
			return err
		}
		sent, first = f.Index, false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-time.After(time.Second):
		}
	}
}

// applied returns every id that the region decided, sorted.
func (r *region) applied() []wire.MessageID {
	var ids []wire.MessageID
	for id := range r.messages {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b wire.MessageID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}
