package transfer

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node/federation"
	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/wire"
)

// The explorer's world: the real states of three regions and of their federation, without Raft and
// without a network. Every step is one that an honest leader takes, and the next one may be another
// leader's, or come much later: a leader that dies between two steps is the ordinary case.

const (
	// exploredCodes share a slot, and are what happens to them one history; exploredPlots are the
	// histories of a world, which share its regions, their restores and their time.
	exploredCodes = 2
	exploredPlots = 48
)

var exploredKey = wire.DirectoryKey{9, 8, 7}

// explored is a world.
type explored struct {
	t      testing.TB
	seed   uint64
	rng    *rand.Rand
	now    wire.Time
	hasher *wire.Hasher
	coder  *wire.Coder

	federation *federation.State
	regions    []*exploredRegion
	plots      []*exploredPlot
	restores   int // how often a region was restored
	broken     int // findings
	// told is what some region said of a message, since the last restore.
	told map[wire.FindMessage]wire.Verdict
}

// exploredRegion is one region.
type exploredRegion struct {
	w     *explored
	id    wire.RegionID
	tag   wire.RegionTag
	cfg   region.Config
	state *region.State
	away  bool          // without power, or cut off from everything
	copy  *exploredCopy // the newest backup
	mint  uint64

	key     *wire.PrivateRegionKey
	private *wire.RegionPrivateKey
}

// exploredCopy is a backup.
type exploredCopy struct {
	plan  store.Plan
	files map[string][]byte
}

// exploredPlot is one history: the codes of a slot, and what was sent to them.
type exploredPlot struct {
	slot  wire.Slot
	codes []fiscalcode.Code
	late  int // one in so many first logins comes about
	sent  []wire.Record
	// tried are those that a gateway brought to a region that might have decided them.
	tried map[wire.MessageID]bool
	// kept are those that a gateway brought to a spool. It asks there until it has an answer, or
	// nobody waits for one: past the spool they go to nobody.
	kept  map[wire.MessageID]bool
	trace []string
}

func newExplored(t testing.TB, seed uint64) *explored {
	coder, err := wire.NewCoder(1)
	if err != nil {
		t.Fatal(err)
	}
	w := &explored{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 77)), coder: coder,
		now:    wire.TimeOf(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)),
		hasher: wire.NewHasher(exploredKey),
		told:   make(map[wire.FindMessage]wire.Verdict)}
	w.found([]wire.RegionID{"lazio", "sicilia", "umbria"})
	for i, codes := range exploredPool(w.hasher) {
		w.plots = append(w.plots, &exploredPlot{slot: w.recipient(codes[0]).Slot(), codes: codes,
			late: 1 << (2 * (i % 4)), tried: make(map[wire.MessageID]bool),
			kept: make(map[wire.MessageID]bool)})
	}
	return w
}

// exploredPool is groups of codes that share a slot.
var exploredPool = func() func(*wire.Hasher) [][]fiscalcode.Code {
	var once sync.Once
	var pool [][]fiscalcode.Code
	return func(h *wire.Hasher) [][]fiscalcode.Code {
		once.Do(func() {
			slots := map[wire.Slot][]fiscalcode.Code{}
			for i := 0; len(pool) < exploredPlots; i++ {
				code := exploredCode(i)
				s := h.Recipient(code).Slot()
				if slots[s] = append(slots[s], code); len(slots[s]) == exploredCodes {
					pool = append(pool, slots[s])
				}
			}
		})
		return pool
	}
}()

func exploredCode(i int) fiscalcode.Code {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	letter := func(i int) byte { return 'A' + sum[i]%26 }
	digit := func(i int) byte { return '0' + sum[i]%10 }
	b := []byte{letter(0), letter(1), letter(2), letter(3), letter(4), letter(5),
		digit(6), digit(7), "ABCDEHLMPRST"[sum[8]%12], '0' + sum[9]%3, '1' + sum[10]%8, letter(11),
		digit(12), digit(13), digit(14)}
	return fiscalcode.Code(append(b, fiscalcode.CheckCharacter(string(b))))
}

func (w *explored) recipient(code fiscalcode.Code) wire.Recipient {
	return w.hasher.Recipient(
		code)
}

// found founds the federation and its regions, at the newest version of the logs.
func (w *explored) found(names []wire.RegionID) {
	m := &wire.Map{Federation: "test", Version: 1, SlotOwners: make([]wire.RegionTag, wire.Slots)}
	for i, name := range names {
		r := &exploredRegion{w: w, id: name, tag: wire.RegionTag(i + 1), mint: uint64(i) << 32}
		w.regions = append(w.regions, r)
		m.Regions = append(m.Regions, wire.Region{ID: name, Tag: r.tag})
		m.Nodes = append(m.Nodes, wire.Node{ID: wire.NodeID(name + "-1"), Region: name,
			Voter: true, Addr: fmt.Sprintf("127.0.0.1:%d", 7000+i)})
	}
	for s := range m.SlotOwners {
		m.SlotOwners[s] = wire.RegionTag(s%len(names) + 1)
	}
	f, err := federation.Open(federation.Config{Hasher: w.hasher, Store: store.Config{Dir: "fed",
		FS: vfs.NewMem(), MemTableBytes: 256 << 10, Identity: store.Identity{Federation: "test"}}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.federation = f
	w.tell(wire.CmdFound, m, nil)
	w.tell(wire.CmdFinalise, &wire.RaiseVersion{Version: wire.Version}, nil)
	for i, r := range w.regions {
		// Regions forget at different times.
		r.cfg = region.Config{Region: r.id, Hasher: w.hasher, Coder: w.coder,
			CacheBytes: 1 << 20, CitizenCacheBytes: 1 << 20,
			RejectionRetention: []time.Duration{3, 7, 30}[(i+int(w.seed))%3] * time.Hour,
			KeepMoved:          2 * time.Hour, EraseAfter: time.Hour}
		r.open(vfs.NewMem(), 0)
		r.must(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: wire.Version}, nil)
		grant := &wire.GrantSlots{SlotEpoch: wire.SlotEpochFounding}
		for s := range wire.Slot(wire.Slots) {
			if m.SlotOwners[s] == r.tag {
				grant.Slots = append(grant.Slots, s)
			}
		}
		r.must(wire.CmdGrantSlots, grant, nil)
		if r.key, err = wire.NewRegionKey(1); err != nil {
			w.t.Fatal(err)
		}
		if r.private, err = r.key.Open(); err != nil {
			w.t.Fatal(err)
		}
		r.must(wire.CmdRegionKey, r.key, nil)
	}
}

func (r *exploredRegion) open(fs vfs.FS, incarnation uint32) {
	r.cfg.Store = r.store(fs, incarnation)
	s, err := region.Open(r.cfg)
	if err != nil {
		r.w.t.Fatal(err)
	}
	r.state = s
}

func (r *exploredRegion) store(fs vfs.FS, incarnation uint32) store.Config {
	return store.Config{Dir: "state", FS: fs, MemTableBytes: 1 << 20,
		Identity: store.Identity{Federation: "test", Incarnation: incarnation}}
}

func (w *explored) close() {
	for _, r := range w.regions {
		r.state.Close()
	}
	w.federation.Close()
	w.coder.Close()
}

// chance is true one time in n.
func (w *explored) chance(n int) bool { return w.rng.IntN(n) == 0 }

func (w *explored) region(id wire.RegionID) *exploredRegion {
	for _, r := range w.regions {
		if r.id == id {
			return r
		}
	}
	return nil
}

func (w *explored) someRegion() *exploredRegion { return w.regions[w.rng.IntN(len(w.regions))] }

// finding notes that an honest step was refused, or ended badly.
func (w *explored) finding(p *exploredPlot, format string, args ...any) {
	if w.broken++; w.broken > 2 {
		return
	}
	trace := ""
	for _, line := range p.trace {
		trace += "\n\t" + line
	}
	w.t.Errorf("world %d: %s%s", w.seed, fmt.Sprintf(format, args...), trace)
}

func (p *exploredPlot) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if n := len(p.trace); n == 0 || p.trace[n-1] != line {
		p.trace = append(p.trace, line)
	}
}

// noteAll puts a line into every history.
func (w *explored) noteAll(format string, args ...any) {
	for _, p := range w.plots {
		p.note(format, args...)
	}
}

// honest reports whether an error is one that honest regions may give each other: wait, or somebody
// else came first. A step that is called malformed would be refused for ever.
func honest(err *wire.Error) bool {
	switch err.Code {
	case wire.Malformed, wire.TooLarge, wire.Internal, wire.UnknownKind, wire.Forbidden:
		return false
	}
	return true
}

// entry applies one entry to the region's log.
func (r *exploredRegion) entry(kind wire.EntryKind, body []byte) any {
	at := r.state.Position()
	results, err := r.state.Apply([]wire.LogEntry{{Index: at.Index + 1, Term: max(at.Term, 1),
		Data: wire.EncodeEntry(kind, r.w.now, body)}})
	if err != nil {
		for _, p := range r.w.plots[:1] {
			p.note("%s stopped", r.id)
		}
		r.w.t.Fatalf("world %d: region %s stopped: %v", r.w.seed, r.id, err)
	}
	return results[0]
}

// do logs one command.
func (r *exploredRegion) do(kind wire.CommandKind, m, answer codec.Message) *wire.Error {
	list := wire.Commands{List: []wire.Command{{Kind: kind, Body: wire.Encode(m)}}}
	result := r.entry(wire.CommandsEntry, wire.Encode(&list)).(*wire.Results).List[0]
	if result.Err == nil && answer != nil {
		if err := wire.Decode(result.Body, answer); err != nil {
			r.w.t.Fatal(err)
		}
	}
	return result.Err
}

func (r *exploredRegion) must(kind wire.CommandKind, m, answer codec.Message) {
	if err := r.do(kind, m, answer); err != nil {
		r.w.t.Fatalf("world %d: %s: command %d: %v", r.w.seed, r.id, kind, err)
	}
}

// step is do of a step that honest regions take: one that is refused for good is a finding.
func (r *exploredRegion) step(p *exploredPlot, what string, kind wire.CommandKind,
	m, answer codec.Message) *wire.Error {
	err := r.do(kind, m, answer)
	switch {
	case err == nil:
		p.note("%s: %s", r.id, what)
	case !honest(err):
		p.note("%s: %s: %v", r.id, what, err)
		r.w.finding(p, "%s refuses %s: %v", r.id, what, err)
	default:
		p.note("%s: %s: %v", r.id, what, err)
	}
	return err
}

// tell logs one command in the federation's log.
func (w *explored) tell(kind wire.CommandKind, m, answer codec.Message) *wire.Error {
	list := wire.Commands{List: []wire.Command{{Kind: kind, Body: wire.Encode(m)}}}
	at := w.federation.Position()
	results, err := w.federation.Apply([]wire.LogEntry{{Index: at.Index + 1, Term: 1,
		Data: wire.EncodeEntry(wire.CommandsEntry, w.now, wire.Encode(&list))}})
	if err != nil {
		w.t.Fatalf("world %d: the federation stopped: %v", w.seed, err)
	}
	result := results[0].(*wire.Results).List[0]
	if result.Err == nil && answer != nil {
		if err := wire.Decode(result.Body, answer); err != nil {
			w.t.Fatal(err)
		}
	}
	return result.Err
}

func (w *explored) currentMap() *wire.Map {
	m, _ := w.federation.Map()
	return m
}

func (w *explored) directory(r wire.Recipient) wire.DirectoryEntry {
	e, err := w.federation.Directory(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// serves is what Seat.CheckServes says.
func (r *exploredRegion) serves() bool {
	on, _ := r.w.currentMap().RegionByID(r.id)
	return !r.away && on.Incarnation == r.state.Incarnation() && r.state.Reconciled()
}

// anchors is what Transfer.Anchors says.
func (r *exploredRegion) anchors(s wire.Slot) bool {
	m := r.w.currentMap()
	epoch, held := r.state.SlotAt(s)
	return held && m.Anchor(s) == r.id && m.SlotEpoch(s) <= epoch
}

// backUp makes a copy.
func (r *exploredRegion) backUp() {
	c, err := r.state.Store().Copy()
	if err != nil {
		r.w.t.Fatal(err)
	}
	defer c.Close()
	b := &exploredCopy{files: map[string][]byte{}, plan: store.Plan{Digest: c.Digest,
		Origin: store.Origin{Index: c.Position.Index, Term: c.Position.Term, Taken: r.w.now}}}
	for _, f := range c.Files {
		content := make([]byte, f.Size)
		if err := c.ReadAt(f.Name, content, 0); err != nil {
			r.w.t.Fatal(err)
		}
		b.files[f.Name] = content
	}
	b.plan.Files = func(write func(string, int64, io.Reader) error) error {
		for name, content := range b.files {
			if err := write(name, int64(len(content)), bytes.NewReader(content)); err != nil {
				return err
			}
		}
		return nil
	}
	r.copy = b
}

// restore puts the copy in the region's place.
func (r *exploredRegion) restore() {
	on, _ := r.w.currentMap().RegionByID(r.id)
	fs, next := vfs.NewMem(), on.Incarnation+1
	r.cfg.Store = r.store(fs, next)
	identity := r.cfg.Store.Identity
	identity.Group, identity.Key, identity.Format = r.state.Store().Identity().Group,
		r.state.Store().Identity().Key, r.state.Store().Identity().Format
	cfg := r.cfg.Store
	cfg.Identity = identity
	if err := store.Build(cfg, r.copy.plan); err != nil {
		r.w.t.Fatal(err)
	}
	r.state.Close()
	r.open(fs, next)
	r.w.restores++
	clear(r.w.told) // what came after the copy is forgotten
	if err := r.w.tell(wire.CmdFenceRegion, &wire.FenceRegion{Region: r.id,
		Incarnation: next}, nil); err != nil {
		r.w.t.Fatal(err)
	}
}
