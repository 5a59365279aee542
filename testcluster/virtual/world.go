// Package virtual runs a federation in one process and in virtual time: the product's own nodes
// and router, real Raft over real QUIC on a simulated network, Pebble on file systems in memory,
// inside a testing/synctest bubble. A minute of elections and cuts takes a second.
//
// Everything belongs to the bubble that New is called in, and ends with the test's cleanup.
package virtual

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/gateway/route"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/founding"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/node/membership"
	"github.com/staffetta/staffetta/node/operate"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	federationName = "virtual"
	certificateAge = 365 * 24 * time.Hour
	// gatewaysEach is how many gateways the founding map has at home in each region.
	gatewaysEach = 8
	// patience bounds every wait of the harness, in virtual time.
	patience = 2 * time.Minute
)

// World is a federation and its network. Its methods are for one goroutine, the test's.
type World struct {
	// Set at construction.
	t      *testing.T
	net    *network
	ca     *ca.CA
	found  *wire.Map
	key    wire.DirectoryKey
	logger *slog.Logger
	timing func(group string) consensus.Timing
	// version is the logs' that the federation begins with; tweak changes a node's configuration
	// before each start, unless it is nil.
	version uint32
	tweak   func(*node.Config)
	// tweakLink changes a gateway's link before it starts; nil: it does not.
	tweakLink func(gateway string, cfg *link.Config)

	nodes    []*Node
	gateways []*Gateway

	operator             *operator.Client // nil until there is one
	operatorAsks         []string
	operators, addressed int // counted for their addresses
}

// Node is one relay node, running or crashed. Its data survives.
type Node struct {
	ID     wire.NodeID
	Region wire.RegionID

	w      *World
	addr   *net.UDPAddr
	dir    string
	fs     *vfs.MemFS
	stores map[string]*consensus.Stores
	cert   func() (*tls.Certificate, error)
	joined *membership.Joined // nil: a founding node

	// While running.
	Node *node.Node
	host *host
	stop context.CancelFunc
	done chan error
}

// New founds and starts a federation of regions with so many nodes each, the first up to seven
// of them voters, and waits until it serves.
func New(t *testing.T, nodes int, regions ...wire.RegionID) *World {
	t.Helper()
	return NewTimed(t, nil, nodes, regions...)
}

// NewTimed is New with another timing of the groups; nil is the product's.
func NewTimed(t *testing.T, timing func(group string) consensus.Timing, nodes int,
	regions ...wire.RegionID) *World {
	t.Helper()
	return newWorld(t, &World{timing: timing, version: wire.Version}, nodes, regions)
}

// NewAt is New for a federation that begins at a version of the logs, of nodes that are configured
// by tweak besides.
func NewAt(t *testing.T, version uint32, tweak func(*node.Config), nodes int,
	regions ...wire.RegionID) *World {
	t.Helper()
	return newWorld(t, &World{version: version, tweak: tweak}, nodes, regions)
}

func newWorld(t *testing.T, w *World, nodes int, regions []wire.RegionID) *World {
	t.Helper()
	authority, err := ca.New(federationName, certificateAge)
	if err != nil {
		t.Fatal(err)
	}
	w.t, w.net, w.ca, w.key = t, newNetwork(), authority, wire.DirectoryKey{1, 2, 3}
	w.logger = slog.New(onceKeys{t: t, Handler: slog.NewTextHandler(t.Output(),
		&slog.HandlerOptions{Level: slog.LevelWarn})})
	file := founding.File{Federation: federationName, Version: w.version}
	for i, r := range regions {
		file.Regions = append(file.Regions, founding.Region{ID: r, Tag: wire.RegionTag(i + 1)})
	}
	for i := range gatewaysEach * len(regions) {
		file.Gateways = append(file.Gateways, founding.Gateway{Region: regions[i%len(regions)],
			ID: wire.GatewayID(fmt.Sprintf("gateway-%d", i+1))})
	}
	voters := min(7, nodes*len(regions))
	voters -= 1 - voters%2
	for i := range nodes * len(regions) {
		region := regions[i%len(regions)]
		n := &Node{w: w, Region: region,
			ID:   wire.NodeID(fmt.Sprintf("%s-%d", region, i/len(regions)+1)),
			addr: &net.UDPAddr{IP: net.IPv4(10, 0, 0, byte(i+1)).To4(), Port: 7400},
			dir:  t.TempDir(), fs: vfs.NewCrashableMem(), stores: map[string]*consensus.Stores{}}
		n.cert = always(w.issue(link.Identity{Federation: federationName, Role: link.RoleNode,
			Region: region, Name: string(n.ID)}))
		w.nodes = append(w.nodes, n)
		file.Nodes = append(file.Nodes, founding.Node{ID: n.ID, Region: region,
			Addr: n.addr.String(), Voter: i < voters})
	}
	if w.found, err = file.Map(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, n := range w.nodes {
			n.halt()
		}
	})
	for _, n := range w.nodes {
		n.Start()
	}
	w.AwaitReady()
	return w
}

func (w *World) issue(id link.Identity) *tls.Certificate {
	certPEM, keyPEM, err := w.ca.Issue(id.URI(), certificateAge, link.UnitsOf(id)...)
	if err != nil {
		w.t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		w.t.Fatal(err)
	}
	return &cert
}

func always(cert *tls.Certificate) func() (*tls.Certificate, error) {
	return func() (*tls.Certificate, error) { return cert, nil }
}

// Hasher hashes fiscal codes as the federation does.
func (w *World) Hasher() *wire.Hasher { return wire.NewHasher(w.key) }

// Nodes are a region's nodes, or all for "".
func (w *World) Nodes(region wire.RegionID) (list []*Node) {
	for _, n := range w.nodes {
		if region == "" || n.Region == region {
			list = append(list, n)
		}
	}
	return list
}

// config is how the node is started.
func (n *Node) config() node.Config {
	cfg := node.Config{ID: n.ID, Region: n.Region, Founding: n.w.found,
		DirectoryKey: n.w.key, Dir: n.dir, PacketConn: n.host.conn,
		Certificate: n.cert, Authorities: n.w.ca.Authorities, FS: n.fs,
		Disk: operate.DiskLimits{LowBytes: 1}, Timing: n.w.timing,
		Logger: n.w.logger.With("node", n.ID), Stores: func(group string) *consensus.Stores {
			if n.stores[group] == nil {
				n.stores[group] = consensus.NewMemoryStores()
			}
			return n.stores[group]
		}}
	if n.joined != nil {
		cfg.Founding, cfg.Joined, cfg.Founds = n.joined.Map, true, n.joined.Founds
	}
	if n.w.tweak != nil {
		n.w.tweak(&cfg)
	}
	return cfg
}

// Start runs the node on what it has.
func (n *Node) Start() {
	n.w.t.Helper()
	if err := n.Try(); err != nil {
		n.w.t.Fatalf("%s does not start: %v", n.ID, err)
	}
}

// Try is Start for a node that may refuse.
func (n *Node) Try() error {
	n.host = n.w.net.plug(n.addr)
	var err error
	if n.Node, err = node.New(n.config()); err != nil {
		n.host.unplug()
		n.Node = nil
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.stop, n.done = cancel, make(chan error, 1)
	go func() { n.done <- n.Node.Run(ctx) }()
	return nil
}

// halt ends the process, cleanly; it does nothing when there is none.
func (n *Node) halt() error {
	if n.Node == nil {
		return nil
	}
	n.stop()
	err := <-n.done
	n.host.unplug()
	n.Node = nil
	return err
}

// Stop ends the process as SIGTERM does.
func (n *Node) Stop() {
	n.w.t.Helper()
	if err := n.halt(); err != nil {
		n.w.t.Errorf("%s: %v", n.ID, err)
	}
}

// Crash ends the process as a loss of power does: nothing leaves it any more, and of what its
// states had not synced a random part is lost. The Raft log is synced at every append.
func (n *Node) Crash() {
	n.w.t.Helper()
	n.w.net.silence(n.addr.String(), true)
	left := n.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rand.IntN(101),
		RNG: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))})
	n.halt()
	n.fs = left
	n.w.net.silence(n.addr.String(), false)
}

// Wipe forgets everything the node ever stored. It must not run.
func (n *Node) Wipe() {
	n.fs, n.stores, n.dir = vfs.NewCrashableMem(), map[string]*consensus.Stores{}, n.w.t.TempDir()
}

// Snapshot copies everything the node has stored, as of now; back takes its disk back to it. The
// node must not run then.
func (n *Node) Snapshot() (back func()) {
	dir := n.w.t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(n.dir)); err != nil {
		n.w.t.Fatal(err)
	}
	disk := n.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100,
		RNG: rand.New(rand.NewPCG(1, 1))})
	logs := map[string]*consensus.Stores{}
	for group, s := range n.stores {
		logs[group] = s.CopyMemory()
	}
	return func() { n.fs, n.stores, n.dir = disk, logs, dir }
}

// Running reports whether the process runs.
func (n *Node) Running() bool { return n.Node != nil }

// Status is a group's status at the node: "region" or "federation".
func (n *Node) Status(group string) consensus.Status {
	s := n.Node.Status()
	if group == "federation" {
		return s.Groups[1]
	}
	return s.Groups[0]
}

// FirstLogIndex is where the region's log begins; above 1 when a snapshot stands for the rest.
func (n *Node) FirstLogIndex() uint64 {
	return n.stores["region/"+string(n.Region)].FirstIndex()
}

// AwaitReady waits until every running node says that it is ready.
func (w *World) AwaitReady() {
	w.t.Helper()
	w.Await("every node is ready", func() bool {
		for _, n := range w.nodes {
			if n.Running() && !n.Node.Health().Ready {
				return false
			}
		}
		return true
	})
}

// Await waits in virtual time until the condition holds.
func (w *World) Await(what string, holds func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("after %s it is still not so that %s", patience, what)
		}
	}
}

// Leader waits for a region's leader that a majority follows, and returns it.
func (w *World) Leader(region wire.RegionID) (leader *Node) {
	w.t.Helper()
	w.Await("region "+string(region)+" has a leader", func() bool {
		votes := map[wire.NodeID]int{}
		running := w.Nodes(region)
		for _, n := range running {
			if n.Running() {
				votes[n.Status("region").Leader]++
			}
		}
		for _, n := range running {
			if n.Running() && votes[n.ID] > len(running)/2 &&
				n.Status("region").Role == "leader" {
				leader = n
				return true
			}
		}
		return false
	})
	return leader
}

// Isolate cuts the node off from everybody, both ways.
func (n *Node) Isolate() { n.w.net.silence(n.addr.String(), true) }

// Deafen cuts the way from one node to another; the way back stays.
func (w *World) Deafen(from, to *Node) { w.net.cut(from.addr.String(), to.addr.String(), true) }

// Island cuts a region, its nodes and the gateways at home there, off from everybody else.
func (w *World) Island(region wire.RegionID) {
	inside, outside := w.addresses(region)
	for _, a := range inside {
		for _, b := range outside {
			w.net.cut(a, b, true)
			w.net.cut(b, a, true)
		}
	}
}

func (w *World) addresses(region wire.RegionID) (inside, outside []string) {
	add := func(home wire.RegionID, addr string) {
		if home == region {
			inside = append(inside, addr)
		} else {
			outside = append(outside, addr)
		}
	}
	for _, n := range w.nodes {
		add(n.Region, n.addr.String())
	}
	for _, g := range w.gateways {
		add(g.home, g.host.addr.String())
	}
	return inside, outside
}

// Mend undoes every cut.
func (w *World) Mend() { w.net.mend() }

// Gateway is the routing part of a gateway, at home in a region.
type Gateway struct {
	*route.Router
	Link *link.Link

	id   wire.GatewayID
	home wire.RegionID
	host *host
	stop context.CancelFunc
	done chan error
}

// unused is a gateway of the map, at home in a region, that was not started yet; it is put there
// when there is none.
func (w *World) unused(home wire.RegionID) wire.GatewayID {
	w.t.Helper()
	for _, g := range w.Map().Gateways {
		if g.Region == home && !slices.ContainsFunc(w.gateways, func(started *Gateway) bool {
			return started.id == g.ID
		}) {
			return g.ID
		}
	}
	id := wire.GatewayID(fmt.Sprintf("%s-edge-%d", home, len(w.gateways)+1))
	w.MustChange(&wire.MemberChange{PutGateway: &wire.Gateway{ID: id, Region: home}})
	return id
}

// Gateway starts a gateway and waits until it is ready. It ends with the test, or by Stop.
func (w *World) Gateway(home wire.RegionID) *Gateway {
	w.t.Helper()
	g := &Gateway{id: w.unused(home), home: home, done: make(chan error, 2)}
	w.gateways = append(w.gateways, g)
	number := len(w.gateways)
	g.host = w.net.plug(&net.UDPAddr{IP: net.IPv4(10, 0, 1, byte(number)).To4(), Port: 7400})
	cert := w.issue(link.Identity{Federation: federationName, Role: link.RoleGateway,
		Region: home, Name: string(g.id)})
	var nodes []string
	for _, n := range w.Nodes(home) {
		nodes = append(nodes, n.addr.String())
	}
	var err error
	cfg := link.Config{Federation: federationName, PacketConn: g.host.conn,
		Certificate: always(cert), Authorities: w.ca.Authorities, Addr: w.addr}
	if w.tweakLink != nil {
		w.tweakLink(string(g.id), &cfg)
	}
	g.Link, err = link.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	g.Router, err = route.New(route.Config{Caller: g.Link, Nodes: nodes, Region: home,
		Trust:  g.Link.Trust,
		Logger: w.logger.With("gateway", number)})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.stop = cancel
	go func() { g.done <- g.Router.Run(ctx) }()
	go func() { g.done <- g.Link.Run(ctx) }()
	w.t.Cleanup(g.Stop)
	w.Await("the gateway is ready", func() bool { return g.Ready() == nil })
	return g
}

// Operate makes an operator's call to the federation's leader.
func (w *World) Operate(m wire.Method, req codec.Message) error {
	w.t.Helper()
	return w.OperateFor(m, req, nil)
}

// OperateFor is Operate for a call that is answered: resp is filled unless it is nil.
func (w *World) OperateFor(m wire.Method, req, resp codec.Message) error {
	w.t.Helper()
	var voters []wire.NodeID
	for _, n := range w.Map().Nodes {
		if n.Voter {
			voters = append(voters, n.ID)
		}
	}
	return w.operate("federation", voters, m, req, resp)
}

// operate makes an operator's call to the leader of a group.
func (w *World) operate(group string, nodes []wire.NodeID, m wire.Method,
	req, resp codec.Message) error {
	w.t.Helper()
	return w.callAs(link.Identity{Federation: federationName, Role: link.RoleOperator,
		Name: "operator"}, patience, group, nodes, m, req, resp)
}

// callAs makes a call to the leader of a group under an identity's certificate.
func (w *World) callAs(who link.Identity, wait time.Duration, group string, nodes []wire.NodeID,
	m wire.Method, req, resp codec.Message) error {
	w.t.Helper()
	h := w.net.plug(&net.UDPAddr{IP: net.IPv4(10, 0, 2, 1).To4(), Port: 7400})
	defer h.unplug()
	cert := w.issue(who)
	l, err := link.New(link.Config{Federation: federationName, PacketConn: h.conn,
		Certificate: always(cert), Authorities: w.ca.Authorities, Addr: w.addr})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	answer, err := link.NewLeaders(l).Call(ctx, group, nodes, m, wire.Encode(req), true)
	cancel()
	<-done
	if err != nil || resp == nil {
		return err
	}
	return wire.Decode(answer, resp)
}

// Map is the newest map that a running node knows.
func (w *World) Map() *wire.Map {
	newest := w.found
	for _, n := range w.nodes {
		if !n.Running() {
			continue
		}
		if m, ok := n.Node.Federation().Map(); ok && m.Version > newest.Version {
			newest = m
		}
	}
	return newest
}

func (w *World) addr(id wire.NodeID) (string, bool) {
	n, ok := w.Map().Node(id)
	return n.Addr, ok
}

// Stop ends the gateway. It may be called again.
func (g *Gateway) Stop() {
	if g.stop == nil {
		return
	}
	g.stop()
	<-g.done
	<-g.done
	g.host.unplug()
	g.stop = nil
}
