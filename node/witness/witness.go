package witness

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node/datadir"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	witnessFile = "witness"
	// sightingsMax bounds the nodes that are known: those of the map, and those that left it.
	sightingsMax = 4096
	// attestPeriod is how often a node tells its peers what more it has on its disk, if it has;
	// attestWait bounds one telling.
	attestPeriod = time.Second
	attestWait   = time.Second
	// sightingPeriod is how often what others told is written down. Another directory's id is
	// written at once.
	sightingPeriod = 5 * time.Second
	// attestLate is how late a telling may arrive that was overtaken by the next one. An earlier
	// one that comes later still is of a process that was taken back, memory and all.
	attestLate = 10 * time.Second
)

// ErrForgot says that the node's data directory is not the one that its peers know, or an earlier
// state of it.
var ErrForgot = errors.New("this data directory has forgotten what the node had acknowledged")

// Witness keeps this node's groups from taking part with directories that have forgotten: before
// two nodes speak Raft to each other, each has told the other whose directory it has and how far
// that is, and each compares this with what it was told before. Its methods may be called
// concurrently.
type Witness struct {
	*seat.Seat
	// Set at construction.
	disk wire.DiskID
	boot uint64
	// forgot holds why this node has to end.
	forgot chan error
	// greeted is closed once everybody was told of the directory who answered in time: no stream
	// of Raft passes before.
	greeted chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	seq     uint64
	known   map[wire.NodeID]*sighting
	met     map[wire.NodeID]bool // since this process began
	meeting map[wire.NodeID]bool // under way, for who came here
	doubt   map[wire.RegionID]bool
	dirty   bool
}

// sighting is the last that a node told, and when.
type sighting struct {
	last wire.Attestation
	at   time.Time // zero when read from the disk
}

// New reads whose directory this is, and what is known of the others'.
func New(at *seat.Seat) (*Witness, error) {
	disk, err := at.Dir.DiskID()
	if err != nil {
		return nil, err
	}
	return open(at, disk)
}

func open(at *seat.Seat, disk wire.DiskID) (*Witness, error) {
	w := &Witness{Seat: at, disk: disk, boot: rand.Uint64(), forgot: make(chan error, 1),
		greeted: make(chan struct{}),
		known:   map[wire.NodeID]*sighting{}, met: map[wire.NodeID]bool{},
		meeting: map[wire.NodeID]bool{}, doubt: map[wire.RegionID]bool{}}
	b, err := w.Dir.Read(witnessFile)
	switch {
	case errors.Is(err, os.ErrNotExist) && !w.Dir.Marked():
		return w, w.write()
	case err != nil:
		return nil, store.FileFault(w.Dir.Sub(witnessFile), err)
	}
	b, sound := datadir.Unsealed(b)
	var all wire.Sightings
	if !sound || wire.Decode(b, &all) != nil {
		return nil, store.FileFault(w.Dir.Sub(witnessFile), nil)
	}
	for _, s := range all.List {
		w.known[s.Node] = &sighting{last: s.Last}
	}
	return w, nil
}

// attestation is what this node says about itself. The groups must be open.
func (w *Witness) attestation() *wire.Attestation {
	w.mu.Lock()
	w.seq++
	seq := w.seq
	w.mu.Unlock()
	a := &wire.Attestation{Disk: w.disk, Boot: w.boot, Seq: seq,
		Incarnation: w.Region.Incarnation()}
	for _, name := range []string{seat.FederationGroup, seat.RegionGroup(w.RegionID)} {
		h := w.Group(name).Held()
		a.Groups = append(a.Groups, wire.HeldBy{Group: w.Incarnated(name), Term: h.Term,
			Vote: h.Vote, Cuts: h.Cuts, Last: h.Last})
	}
	return a
}

// heldOf is what an attestation says of a group.
func heldOf(a *wire.Attestation, group string) (consensus.Held, bool) {
	i := slices.IndexFunc(a.Groups, func(h wire.HeldBy) bool { return h.Group == group })
	if i < 0 {
		return consensus.Held{}, false
	}
	h := a.Groups[i]
	return consensus.Held{Term: h.Term, Vote: h.Vote, Cuts: h.Cuts, Last: h.Last}, true
}

// judge compares what a node says with what is known of it. It answers why the node is refused, or
// nothing, and then the node's directory is known here, durably. Who may vote with this node was
// introduced.
func (w *Witness) judge(from wire.NodeID, a *wire.Attestation) (refusal string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if planted() {
		return "", nil
	}
	k := w.known[from]
	if k == nil && len(w.known) >= sightingsMax {
		return "", wire.Errorf(wire.Overloaded, "%d nodes are known already", len(w.known))
	}
	if k == nil || a.Incarnation > k.last.Incarnation {
		// Seen for the first time; or restored from a backup, on a directory that is given up to.
		w.known[from] = &sighting{last: *a, at: time.Now()}
		return "", w.write()
	}
	if a.Incarnation < k.last.Incarnation { // it ends by itself, see watchIncarnations
		return "", wire.Errorf(wire.Conflict, "%s is of incarnation %d of its region, and was of %d",
			from, a.Incarnation, k.last.Incarnation)
	}
	if k.last.Disk == (wire.DiskID{}) {
		return fmt.Sprintf("others know two data directories of %s, and one of them has forgotten",
			from), nil
	}
	if a.Disk != k.last.Disk {
		return fmt.Sprintf("%s has another data directory than it had: %x, and before %x", from,
			a.Disk[:4], k.last.Disk[:4]), nil
	}
	if a.Boot == k.last.Boot && a.Seq <= k.last.Seq && time.Since(k.at) < attestLate {
		return "", nil // overtaken
	}
	if group, now, before := wentBack(a, &k.last); group != "" {
		return fmt.Sprintf("%s has gone back in time: of group %s its disk holds %s, and held %s",
			from, group, describe(now), describe(before)), nil
	}
	k.last, k.at, w.dirty = *a, time.Now(), true
	return "", nil
}

func describe(h consensus.Held) string {
	return fmt.Sprintf("entry %d at term %d", h.Last, h.Term)
}

// write makes what is known durable; mu must be held.
func (w *Witness) write() error {
	var all wire.Sightings
	for id, k := range w.known {
		all.List = append(all.List, wire.Sighting{Node: id, Last: k.last})
	}
	err := datadir.WriteSynced(w.Dir.Path, witnessFile, datadir.Sealed(wire.Encode(&all)))
	w.dirty = err != nil
	return err
}

// Calls are those by which nodes tell each other whose directory they have.
func (w *Witness) Calls() []seat.Call {
	nodes := seat.Only(link.RoleNode)
	return []seat.Call{
		seat.Answers(w.Seat, wire.MethodAttest, nodes, seat.AnyNode, w.attest),
		seat.Answers(w.Seat, wire.MethodRecall, nodes, seat.AnyNode, w.sightings), // of the same region
	}
}

// attest answers MethodAttest.
func (w *Witness) attest(ctx context.Context, from link.Identity, a *wire.Attestation) (
	*wire.Attested, error) {
	if len(a.Groups) > wire.AttestGroupsMax {
		return nil, wire.Errorf(wire.TooLarge, "%d groups, %d allowed", len(a.Groups),
			wire.AttestGroupsMax)
	}
	answer := wire.Attested{}
	if a.Refusal != "" {
		w.refused(from.Region, a.Refusal)
	}
	err := w.introduce(ctx, from.Node())
	if err != nil {
		return nil, err
	}
	if answer.Refusal, err = w.judge(from.Node(), a); err != nil {
		return nil, err
	}
	if answer.Refusal == "" && a.Refusal == "" {
		w.meet(from.Node())
	} else if answer.Refusal != "" {
		w.refuse(from.Node(), answer.Refusal)
	}
	answer.Own = *w.attestation()
	return &answer, nil
}

// tell attests this node to another one and judges the answer: nil when the two may speak.
func (w *Witness) tell(ctx context.Context, to wire.NodeID, refusal string) error {
	a := w.attestation()
	a.Refusal = refusal
	ctx, cancel := context.WithTimeout(ctx, attestWait)
	defer cancel()
	var answer wire.Attested
	err := w.CallNode(ctx, to, wire.MethodAttest, a, &answer)
	if errors.Is(err, wire.UnknownKind) {
		w.meet(to) // a program of before; it knows no better
		return nil
	}
	if err != nil {
		return err
	}
	region := w.regionOf(to)
	if answer.Refusal != "" {
		w.refused(region, answer.Refusal)
		return fmt.Errorf("%w: %s", ErrForgot, answer.Refusal)
	}
	if err := w.introduce(ctx, to); err != nil {
		return err
	}
	why, err := w.judge(to, &answer.Own)
	if err != nil {
		return err
	}
	if why == "" {
		w.meet(to)
		return nil
	}
	w.refuse(to, why)
	if refusal == "" { // it is told once
		return w.tell(ctx, to, why)
	}
	return errors.New(why)
}

func (w *Witness) meet(id wire.NodeID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.met[id] = true
}

// refuse ends what two nodes have to do with each other, and says so.
func (w *Witness) refuse(id wire.NodeID, why string) {
	w.mu.Lock()
	delete(w.met, id)
	w.mu.Unlock()
	w.Log.Error("a node is refused, since it has forgotten what it had acknowledged",
		"member", id, "reason", why)
}

// refused ends this node when one of its own region refuses it, or nodes of two other regions. One
// region alone cannot end another's nodes: it makes this one wait for all of its own.
func (w *Witness) refused(by wire.RegionID, why string) {
	w.mu.Lock()
	w.doubt[by] = true
	enough := w.doubt[w.RegionID] || len(w.doubt) > 1
	w.mu.Unlock()
	if !enough {
		w.Log.Error("another region says that this node has forgotten what it had acknowledged: "+
			"it takes part again when all nodes of its own region were asked", "region", by,
			"reason", why)
		return
	}
	select {
	case w.forgot <- fmt.Errorf("%w: %s. If its disk is not mounted, mount it; else replace the "+
		"node under another name: staffetta admin node replace %s NEW-NAME --addr HOST:PORT "+
		"--out FILE --ca-cert FILE --ca-key FILE", ErrForgot, why, w.ID):
	default:
	}
}

// knows reports whether two nodes may speak. While another region doubts this node, that needs
// everybody of its own: one of them who is away may know better.
func (w *Witness) knows(id wire.NodeID) bool {
	if !w.hasGreeted() {
		return false
	}
	own := w.NodesOf(w.RegionID)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, other := range own {
		if len(w.doubt) > 0 && other != w.ID && !w.met[other] {
			return false
		}
	}
	return w.met[id]
}

func (w *Witness) hasGreeted() bool {
	select {
	case <-w.greeted:
		return true
	default:
		return false
	}
}

// approach lets a node that came here be met, beside who accepts.
func (w *Witness) approach(id wire.NodeID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.meeting[id] {
		return
	}
	w.meeting[id] = true
	go func() {
		w.tell(context.Background(), id, "") // its next stream finds out
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.meeting, id)
	}()
}

// regionOf is a node's region, empty when it is not on the map.
func (w *Witness) regionOf(id wire.NodeID) wire.RegionID {
	node, _ := w.Map().Node(id)
	return node.Region
}

// witnesses are who is told about this node's directory: the others of its region, who take part
// with it, and the federation's voters, who remember while these are away.
func (w *Witness) witnesses() (ids []wire.NodeID) {
	for _, node := range w.Map().Nodes {
		if node.ID != w.ID && (node.Region == w.RegionID || node.Voter) {
			ids = append(ids, node.ID)
		}
	}
	return ids
}

// Run tells peers about this node's directory: at the start before anything else, and
// whenever there is more on it. It ends with ErrForgot when they know better.
func (w *Witness) Run(ctx context.Context) error {
	tick := time.NewTicker(attestPeriod)
	defer tick.Stop()
	var told []wire.HeldBy
	var written time.Time
	for {
		if held := w.attestation().Groups; !slices.Equal(held, told) {
			var all sync.WaitGroup
			var recalled error
			if told == nil { // who is away now may come when nobody is left who knows it
				all.Go(func() { recalled = w.recall(ctx) })
			}
			for _, id := range w.witnesses() {
				all.Go(func() { w.tell(ctx, id, "") }) // who is away hears the next one
			}
			all.Wait()
			if recalled != nil {
				return recalled
			}
			if told == nil && ctx.Err() == nil && len(w.forgot) == 0 {
				close(w.greeted)
			}
			told = held
		}
		if time.Since(written) >= sightingPeriod {
			if err := w.keep(); err != nil {
				return err
			}
			written = time.Now()
		}
		select {
		case err := <-w.forgot:
			return err
		case <-tick.C:
		case <-ctx.Done():
			return w.keep()
		}
	}
}

// keep writes down what others told, if that is news.
func (w *Witness) keep() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.dirty {
		return nil
	}
	return w.write()
}

// Between is a group's transport between nodes that have met.
func (w *Witness) Between(all consensus.Transport) consensus.Transport { return metLayer{all, w} }

// metLayer is what Between makes.
type metLayer struct {
	consensus.Transport
	w *Witness
}

// Accept answers the next stream of a node that was met. Another one is met first; it tries again.
func (l metLayer) Accept() (net.Conn, error) {
	for {
		c, err := l.Transport.Accept()
		if err != nil {
			return nil, err
		}
		id := wire.NodeID(c.RemoteAddr().String())
		if l.w.knows(id) {
			return c, nil
		}
		c.Close()
		if l.w.hasGreeted() {
			l.w.approach(id)
		}
	}
}

// Dial opens a stream to a node that was met, or is met now.
func (l metLayer) Dial(to wire.NodeID, timeout time.Duration) (net.Conn, error) {
	if !l.w.hasGreeted() {
		return nil, wire.Errorf(wire.NotReady, "the node is not known to its peers yet")
	}
	if !l.w.knows(to) {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := l.w.tell(ctx, to, ""); err != nil {
			return nil, err
		}
		if !l.w.knows(to) {
			return nil, wire.Errorf(wire.NotReady, "another region says that this node has forgotten, "+
				"and not all of its own are there to ask")
		}
	}
	return l.Transport.Dial(to, timeout)
}
