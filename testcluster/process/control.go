package process

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"syscall"

	"github.com/staffetta/staffetta/internal/founding"
	"github.com/staffetta/staffetta/internal/localfile"
)

// Endpoint is where a process's link is.
type Endpoint struct {
	ID, Region string
	Gateway    bool
	// Public is the address that the map has; a gateway, which nobody calls, has none.
	Public string
	// Socket is the address that the process's datagrams come from, and that those to a node are
	// to be brought to. It is Public unless the federation is Config.Indirect.
	Socket string
}

// Endpoints are those of all processes. With Config.Indirect they must be carried before Run.
func (f *Federation) Endpoints() (list []Endpoint) {
	f.members.Lock()
	defer f.members.Unlock()
	for _, n := range f.nodes {
		list = append(list, Endpoint{ID: n.id, Region: n.file.Region, Public: n.file.Addr,
			Socket: n.socket})
	}
	for _, g := range f.gateways {
		list = append(list, Endpoint{ID: g.id, Region: g.region, Gateway: true, Socket: g.socket})
	}
	return list
}

// Signal sends a signal to a process; SIGKILL, SIGSTOP and SIGCONT are what it is for.
func (f *Federation) Signal(id string, s syscall.Signal) error {
	c, err := f.child(id)
	if err != nil {
		return err
	}
	if err := c.signal(s); err != nil {
		return fmt.Errorf("signal %s: %w", s, err)
	}
	return nil
}

// Hold keeps a process from being started again after its end, until Release. It does not end it.
func (f *Federation) Hold(id string) error {
	c, err := f.child(id)
	if err == nil {
		c.hold()
	}
	return err
}

// Release ends Hold. Nothing happens to a process that is not held.
func (f *Federation) Release(id string) error {
	c, err := f.child(id)
	if err == nil {
		c.release()
	}
	return err
}

func (f *Federation) child(id string) (*child, error) {
	f.members.Lock()
	defer f.members.Unlock()
	for _, n := range f.nodes {
		if n.id == id {
			return n.child, nil
		}
	}
	for _, g := range f.gateways {
		if g.id == id {
			return g.child, nil
		}
	}
	return nil, fmt.Errorf("the federation has no process %s", id)
}

// NewNode chooses addresses for a node that is to join a region, which Add then starts.
func (f *Federation) NewNode(id, region string) (Endpoint, error) {
	e := Endpoint{ID: id, Region: region}
	ports, err := f.ports.UDP(2)
	if err != nil {
		return e, err
	}
	addr := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	e.Public, e.Socket = addr(ports[0]), addr(ports[1])
	if !f.cfg.Indirect {
		e.Socket = e.Public
	}
	return e, nil
}

// Add starts a node that joins by the token in a file, and keeps it running as it does the others.
// Gateways of its region know its address when they are started again.
func (f *Federation) Add(e Endpoint, token string) (localfile.Node, error) {
	admins, err := f.ports.TCP(1)
	if err != nil {
		return localfile.Node{}, err
	}
	admin := admins[0]
	n := node{child: f.newChild(e.ID, append([]string{"node", "--join", token},
		f.nodeFlags(e.ID, e.Socket, admin)...)...), socket: e.Socket,
		file: localfile.Node{ID: e.ID, Region: e.Region, Addr: e.Public, Admin: "http://" + admin,
			Dir: f.cfg.path("nodes", e.ID), Log: f.cfg.path("logs", e.ID+".log")}}
	for _, g := range f.gateways {
		if g.region == e.Region {
			g.more("--node", e.Public)
		}
	}
	f.members.Lock()
	defer f.members.Unlock()
	if f.begin == nil {
		return localfile.Node{}, errors.New("the federation does not run")
	}
	f.nodes = append(f.nodes, n)
	return n.file, f.begin(n.child)
}

// Retire forgets a node that was removed from the federation: it is not started again. One that
// runs goes on until it ends by itself.
func (f *Federation) Retire(id string) error {
	c, err := f.child(id)
	if err != nil {
		return err
	}
	c.retire()
	f.members.Lock()
	defer f.members.Unlock()
	f.nodes = slices.DeleteFunc(f.nodes, func(n node) bool { return n.id == id })
	return nil
}

// sockets chooses the addresses of the links' sockets, the nodes' first.
func (c *Config) sockets(free *Ports, nodes []founding.Node, gateways int) (
	addrs []string, err error) {
	if !c.Indirect {
		for _, n := range nodes {
			addrs = append(addrs, n.Addr)
		}
		for range gateways {
			addrs = append(addrs, ":0")
		}
		return addrs, nil
	}
	// Those of the map are free now, too.
	taken := map[string]bool{}
	for _, n := range nodes {
		taken[n.Addr] = true
	}
	ports, err := free.UDP(2*len(nodes) + gateways)
	for _, p := range ports {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(p))
		if !taken[addr] {
			addrs = append(addrs, addr)
		}
	}
	return addrs, err
}
