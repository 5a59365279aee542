package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/staffetta/staffetta/internal/localfile"
	"golang.org/x/sync/errgroup"
)

// Federation is a federation of processes. Its methods may be called concurrently.
type Federation struct {
	// Set by New.
	cfg         Config
	layout      *layout
	lock        *os.File // of the directory, held until Run ends
	provisioned *provisioned
	people      []person
	gateways    []gateway
	provider    *provider // nil: none
	ports       Ports     // held until Run ends
	ready       chan struct{}

	// Guarded by members; nodes that were retired are not among them.
	members sync.Mutex
	nodes   []node
	begin   func(*child) error // starts a child beside the others; nil: nothing runs

	events sync.Mutex // serialises lines of events

	// Guarded by mu.
	mu       sync.Mutex
	serviced bool // ready: local.json exists and follows changes
}

type node struct {
	*child
	socket string // address of its link's socket
	file   localfile.Node
}

type gateway struct {
	*child
	socket, region string
	file           localfile.Gateway
}

// Fresh reports whether the directory was made by New, and not by one before.
func (f *Federation) Fresh() bool { return f.layout.fresh }

// New prepares the directory and locks it; nothing runs before Run, which unlocks it.
func New(cfg Config) (_ *Federation, err error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, err
	}
	if cfg.HTTP != "" { // known before anything is made for it, and kept until all are chosen
		given, err := net.Listen("tcp", cfg.HTTP)
		if err != nil {
			return nil, fmt.Errorf("the gateway's address: %w", err)
		}
		defer given.Close()
		cfg.HTTP = given.Addr().String() // port 0 is a number now
	}
	f := &Federation{cfg: cfg, ready: make(chan struct{})}
	if f.lock, err = lockDir(cfg.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.ports.Close()
			f.lock.Close()
		}
	}()
	if f.layout, err = f.cfg.prepare(&f.ports); err != nil {
		return nil, err
	}
	f.followLayout()
	if f.provisioned, err = f.cfg.readProvisioned(); err != nil {
		return nil, err
	}
	f.people = f.cfg.people()
	if err := f.cfg.writePeople(f.people); err != nil {
		return nil, err
	}
	if err := f.removeLocal(); err != nil { // of a run that was killed
		return nil, err
	}
	return f, f.children()
}

// followLayout makes an earlier run's regions, nodes and gateways hold.
func (f *Federation) followLayout() {
	l := f.layout.founding
	f.cfg.Regions = nil
	for _, r := range l.Regions {
		f.cfg.Regions = append(f.cfg.Regions, string(r.ID))
	}
	f.cfg.Nodes, f.cfg.Gateways = len(l.Nodes)/len(l.Regions), len(l.Gateways)
}

// newChild describes a process.
func (f *Federation) newChild(id string, args ...string) *child {
	c := &f.cfg
	return &child{id: id, binary: c.Binary, logPath: c.path("logs", id+".log"),
		restart: c.Restart, env: c.Env, event: f.event, changed: f.writeLocal,
		ended: func(err error) { c.Ended(id, err) },
		args:  append(args, "--log-level", c.LogLevel)}
}

// nodeFlags are those that every node has.
func (f *Federation) nodeFlags(id, socket, admin string) []string {
	c := &f.cfg
	return append([]string{"--listen", socket, "--admin", admin, "--dir", c.path("nodes", id),
		"--log-store", c.LogStore, "--disk-low", "256MiB", "--disk-critical", "64MiB",
		"--ballast", "0"}, moreFlags(id, c.NodeFlags)...)
}

// children describes the processes.
func (f *Federation) children() error {
	c := &f.cfg
	child := func(id string, args ...string) *child {
		return f.newChild(id, append(args, c.pki(id)...)...)
	}
	nodes, gateways := f.layout.founding.Nodes, f.layout.founding.Gateways
	addrs, err := f.ports.TCP(len(nodes) + 2*len(gateways) + 1)
	if err != nil {
		return err
	}
	next := func() (addr string) {
		addr, addrs = addrs[0], addrs[1:]
		return addr
	}
	sockets, err := c.sockets(&f.ports, nodes, len(gateways))
	if err != nil {
		return err
	}
	homes := map[string][]string{}
	for i, n := range nodes {
		admin := next()
		id, region := string(n.ID), string(n.Region)
		homes[region] = append(homes[region], n.Addr)
		f.nodes = append(f.nodes, node{
			child: child(id, append([]string{"node", "--id", id, "--region", region,
				"--founding", c.path(FoundingFile), "--directory-key", c.path(DirectoryKeyFile)},
				f.nodeFlags(id, sockets[i], admin)...)...),
			socket: sockets[i],
			file: localfile.Node{ID: id, Region: region, Addr: n.Addr, Admin: "http://" + admin,
				Dir: c.path("nodes", id), Log: c.path("logs", id+".log")}})
	}
	var providers []string
	for i, g := range gateways {
		admin, addr := next(), next()
		if i == 0 && c.HTTP != "" {
			addr = c.HTTP
		}
		if i == 0 {
			if providers, err = f.makeProvider(next(), addr); err != nil {
				return err
			}
		}
		socket := sockets[len(nodes)+i]
		args := []string{"gateway", "--http", addr, "--admin", admin, "--link", socket,
			"--test-login", c.path(testLoginFile), "--accept-unserved",
			"--remote-allow", "127.0.0.0/8"}
		args = append(args, providers...)
		for _, home := range homes[string(g.Region)] {
			args = append(args, "--node", home)
		}
		args = append(args, moreFlags(string(g.ID), c.GatewayFlags)...)
		f.gateways = append(f.gateways, gateway{child: child(string(g.ID), args...),
			socket: socket, region: string(g.Region),
			file: localfile.Gateway{ID: string(g.ID), URL: "http://" + addr,
				Admin: "http://" + admin}})
	}
	return nil
}

// Ready is closed when the federation serves and local.json says how to reach it.
func (f *Federation) Ready() <-chan struct{} { return f.ready }

// Dir is the federation's directory, absolute.
func (f *Federation) Dir() string { return f.cfg.Dir }

// File is what local.json says now.
func (f *Federation) File() *localfile.File {
	file := &localfile.File{Services: f.services(),
		Citizens: f.cfg.localCitizens(f.people)}
	f.members.Lock()
	defer f.members.Unlock()
	for _, n := range f.nodes {
		n.file.PID = n.PID()
		file.Nodes = append(file.Nodes, n.file)
	}
	for _, g := range f.gateways {
		g.file.PID = g.PID()
		file.Gateways = append(file.Gateways, g.file)
	}
	if f.provider != nil {
		p := f.provider.file
		p.PID = f.provider.PID()
		file.Provider = &p
	}
	return file
}

// Run starts everything and keeps it running until ctx ends (nil), or says what cannot go on.
// It returns after every child has ended: gateways first, so that nodes answer to the last.
func (f *Federation) Run(ctx context.Context) error {
	nodes, stopNodes := context.WithCancel(context.WithoutCancel(ctx))
	defer stopNodes()
	below, belowCtx := errgroup.WithContext(nodes)
	above, aboveCtx := errgroup.WithContext(ctx)
	f.members.Lock()
	for _, n := range f.nodes {
		below.Go(func() error { return n.run(belowCtx) })
	}
	f.begin = func(c *child) error {
		if belowCtx.Err() != nil {
			return errors.New("the federation is stopping")
		}
		below.Go(func() error { return c.run(belowCtx) })
		return nil
	}
	f.members.Unlock()
	above.Go(func() error { return f.start(aboveCtx, above) })
	above.Go(func() error {
		select {
		case <-belowCtx.Done():
			return context.Cause(belowCtx)
		case <-aboveCtx.Done():
			return nil
		}
	})
	err := above.Wait()
	f.members.Lock() // nothing begins any more
	f.begin = nil
	f.members.Unlock()
	stopNodes()
	defer f.ports.Close()
	return errors.Join(err, below.Wait(), f.removeLocal(), f.lock.Close())
}

// start brings the federation up in order: nodes, services, gateways, citizens.
func (f *Federation) start(ctx context.Context, gateways *errgroup.Group) error {
	wait, cancel := context.WithTimeout(ctx, f.cfg.ReadyWait)
	defer cancel()
	for _, g := range f.gateways {
		gateways.Go(func() error { return g.run(ctx) })
	}
	if f.provider != nil {
		gateways.Go(func() error { return f.provider.run(ctx) })
	}
	err := f.startIn(wait)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (f *Federation) startIn(ctx context.Context) error {
	for _, n := range f.File().Nodes {
		if err := f.awaitHealth(ctx, n.ID, n.Admin); err != nil {
			return err
		}
	}
	if !f.provisioned.Done {
		if err := f.cfg.provision(ctx, f.provisioned, f.people); err != nil {
			return err
		}
	}
	for _, g := range f.gateways {
		if err := f.awaitHealth(ctx, g.id, g.file.Admin); err != nil {
			return err
		}
	}
	if !f.provisioned.Done {
		if err := f.cfg.activate(ctx, f.gateways[0].file.URL, f.people); err != nil {
			return err
		}
		f.provisioned.Done = true
		if err := f.cfg.writeProvisioned(f.provisioned); err != nil {
			return err
		}
	}
	f.mu.Lock()
	f.serviced = true
	f.mu.Unlock()
	f.writeLocal()
	close(f.ready)
	return nil
}

// awaitHealth waits until a process says that it is ready.
func (f *Federation) awaitHealth(ctx context.Context, id, admin string) error {
	client := &http.Client{Timeout: 2 * time.Second}
	defer client.CloseIdleConnections()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/health", nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready; see %s", id, f.cfg.path("logs", id+".log"))
		}
	}
}

// writeLocal brings local.json up to date, once the federation is ready.
func (f *Federation) writeLocal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.serviced {
		return
	}
	if err := localfile.Write(f.cfg.path(localfile.Name), f.File()); err != nil {
		f.event("local.json cannot be written: %v", err)
	}
}

// removeLocal removes local.json, since nothing runs any more.
func (f *Federation) removeLocal() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.serviced = false
	if err := os.Remove(f.cfg.path(localfile.Name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (f *Federation) event(format string, args ...any) {
	f.events.Lock()
	defer f.events.Unlock()
	fmt.Fprintf(f.cfg.Events, format+"\n", args...)
}
