package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
	"golang.org/x/sync/errgroup"
)

const (
	// nodeWait bounds one call of one node. A node that is there answers in milliseconds.
	nodeWait = 3 * time.Second
	// nodesAtOnce bounds the calls under way.
	nodesAtOnce = 64
	// searchWait bounds the search for an id in one region: thousands of blocks are read.
	searchWait = 30 * time.Second
	// followWait is how long a replica that follows may not have applied what its leader
	// acknowledged: it hears of it with the next heartbeat.
	followWait = 2 * time.Second
	// hedgePause is how long a node may think before another one is asked the same, too.
	hedgePause = 300 * time.Millisecond
)

// anyone asks the nodes at the addresses that the operator gave, one after the other begun a
// moment later, and returns the first answer. Errors come together, each cause once.
func (c *Client) anyone(ctx context.Context, m wire.Method, req codec.Message) ([]byte, error) {
	if len(c.nodes) == 0 {
		return nil, wire.Errorf(wire.Unavailable, "no node's address is known")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body := encode(req)
	type result struct {
		addr   string
		answer []byte
		err    error
	}
	results := make(chan result, len(c.nodes))
	ask := func(addr string) {
		one, cancel := context.WithTimeout(ctx, nodeWait)
		defer cancel()
		answer, err := c.link.Call(one, link.Peer{Addr: addr}, m, body)
		results <- result{addr, answer, err}
	}
	var errs causes
	for begun := 0; ; {
		var next <-chan time.Time
		if begun < len(c.nodes) {
			go ask(c.nodes[begun])
			begun++
			next = time.After(hedgePause)
		}
		select {
		case r := <-results:
			if r.err == nil || decided(r.err) {
				return r.answer, r.err
			}
			if errs.add(r.addr, r.err); errs.count == len(c.nodes) {
				return nil, errs.err()
			}
		case <-next:
		case <-ctx.Done():
			return nil, wire.Errorf(wire.Unavailable, "no node answered in time")
		}
	}
}

// causes are errors of several nodes, those that differ in nothing but the address together.
type causes struct {
	count int
	list  []cause
}

type cause struct {
	text  string // without the address
	addrs []string
	err   error // of the first
}

func (c *causes) add(addr string, err error) {
	c.count++
	text := strings.ReplaceAll(err.Error(), addr, "")
	i := slices.IndexFunc(c.list, func(o cause) bool { return o.text == text })
	if i < 0 {
		c.list = append(c.list, cause{text: text, err: err})
		i = len(c.list) - 1
	}
	c.list[i].addrs = append(c.list[i].addrs, addr)
}

func (c *causes) err() error {
	var errs []error
	for _, one := range c.list {
		if len(one.addrs) == 1 {
			errs = append(errs, one.err)
			continue
		}
		slices.Sort(one.addrs)
		errs = append(errs, fmt.Errorf("%s: %w", strings.Join(one.addrs, ", "), one.err))
	}
	return errors.Join(errs...)
}

// decided reports whether an error is an answer, which another node would give as well.
func decided(err error) bool {
	switch wire.AsError(err).Code {
	case wire.Malformed, wire.TooLarge, wire.Forbidden, wire.NotFound, wire.Conflict:
		return true
	}
	return false
}

// read asks any node and decodes its answer.
func (c *Client) read(ctx context.Context, m wire.Method, req, to codec.Message) error {
	answer, err := c.anyone(ctx, m, req)
	if err != nil {
		return err
	}
	return wire.Decode(answer, to)
}

// Audit returns a page of what operators did.
func (c *Client) Audit(ctx context.Context, q wire.ListAudit) (*wire.AuditPage, error) {
	page := new(wire.AuditPage)
	return page, c.read(ctx, wire.MethodListAudit, &q, page)
}

// Reads returns a page of what operators read of a region's citizens, from the region's log.
func (c *Client) Reads(ctx context.Context, region wire.RegionID, q wire.ListAudit) (
	page *wire.AuditPage, err error) {
	m, err := c.Map(ctx)
	if err != nil {
		return nil, err
	}
	nodes := nodesOf(m, region)
	if len(nodes) == 0 {
		return nil, wire.Errorf(wire.NotFound, "region %q has no nodes, or is not on the map", region)
	}
	for _, n := range nodes {
		page = new(wire.AuditPage)
		if err = c.one(ctx, n, wire.MethodListReads, &q, page); err == nil {
			return page, nil
		}
	}
	return nil, err
}

// Institutions returns a page of the institutions.
func (c *Client) Institutions(ctx context.Context, q wire.ListRegistry) (*wire.InstitutionPage,
	error) {
	page := new(wire.InstitutionPage)
	return page, c.read(ctx, wire.MethodListInstitutions, &q, page)
}

// Institution returns one institution, or NotFound.
func (c *Client) Institution(ctx context.Context, id wire.InstitutionID) (*wire.Institution,
	error) {
	page, err := c.Institutions(ctx, wire.ListRegistry{Institution: id, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(page.List) == 0 {
		return nil, wire.Errorf(wire.NotFound, "no institution %q", string(id))
	}
	return &page.List[0], nil
}

// RemoteContents returns a page of the configurations of remote content, without keys.
func (c *Client) RemoteContents(ctx context.Context, q wire.ListRegistry) (*wire.RemoteContentPage,
	error) {
	page := new(wire.RemoteContentPage)
	return page, c.read(ctx, wire.MethodListRemoteContents, &q, page)
}

// Services returns a page of the services, without their authorized recipients.
func (c *Client) Services(ctx context.Context, q wire.ListRegistry) (*wire.ServicePage, error) {
	page := new(wire.ServicePage)
	return page, c.read(ctx, wire.MethodListServices, &q, page)
}

// Service returns one service with its institution, or NotFound.
func (c *Client) Service(ctx context.Context, id wire.ServiceID) (*wire.ServiceAccess, error) {
	access := new(wire.ServiceAccess)
	return access, c.read(ctx, wire.MethodServiceByID, &wire.ServiceByID{ID: id}, access)
}

// NodeView is a node as the operator sees it.
type NodeView struct {
	Node   wire.NodeID   `json:"node"`
	Region wire.RegionID `json:"region"`
	Addr   string        `json:"addr"`
	Voter  bool          `json:"federation_voter"`
	// Status is what the node says; nil when nobody could ask it.
	Status *wire.NodeStatus `json:"status,omitempty"`
	// Via is the node that asked it, when the operator could not; Problem why.
	Via     wire.NodeID `json:"via,omitempty"`
	Problem string      `json:"problem,omitempty"`
	// HeardMillis is how long ago another node heard it, which its leaders know; -1: nobody says.
	HeardMillis int64 `json:"heard_ms"`
}

// Statuses asks every node of the map at once, and through another one those that do not answer.
// A node without an answer is no error. Where nobody has a map, the founding file's is used.
func (c *Client) Statuses(ctx context.Context) (*wire.Map, []NodeView, error) {
	m, err := c.Map(ctx)
	if err != nil && c.founding != nil {
		m, err = c.founding, nil // what is broken is not needed to find out what is broken
		c.view.Store(m)
	}
	if err != nil {
		return nil, nil, err
	}
	views := make([]NodeView, len(m.Nodes))
	for i, n := range m.Nodes {
		views[i] = newView(&n)
	}
	c.ask(ctx, views)
	return m, views, nil
}

// newView is the view of a node that was not asked yet.
func newView(n *wire.Node) NodeView {
	return NodeView{Node: n.ID, Region: n.Region, Addr: n.Addr, Voter: n.Voter, HeardMillis: -1}
}

// ask asks nodes at once, and through the others those that do not answer.
func (c *Client) ask(ctx context.Context, views []NodeView) {
	c.each(views, func(v *NodeView) {
		status := new(wire.NodeStatus)
		if err := c.one(ctx, v.Node, wire.MethodStatus, &wire.StatusQuery{}, status); err != nil {
			v.Problem = err.Error()
			return
		}
		v.Status = status
	})
	vias := reached(views)
	c.each(views, func(v *NodeView) {
		if v.Status != nil {
			return
		}
		if via := vias(v.Region); via != "" {
			status := new(wire.NodeStatus)
			q := &wire.StatusQuery{Of: v.Node}
			if c.one(ctx, via, wire.MethodStatus, q, status) == nil {
				v.Status, v.Via = status, via
			}
		}
	})
	noteHeard(views)
}

// each calls f for every view, some at once.
func (c *Client) each(views []NodeView, f func(*NodeView)) {
	var g errgroup.Group
	g.SetLimit(nodesAtOnce)
	for i := range views {
		g.Go(func() error { f(&views[i]); return nil })
	}
	g.Wait() // nothing fails: problems are in the views
}

// one calls one node of the map.
func (c *Client) one(ctx context.Context, node wire.NodeID, m wire.Method,
	req, to codec.Message) error {
	return c.within(ctx, nodeWait, node, m, req, to)
}

func (c *Client) within(ctx context.Context, wait time.Duration, node wire.NodeID, m wire.Method,
	req, to codec.Message) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	answer, err := c.link.Call(ctx, link.Peer{Node: node}, m, encode(req))
	if err != nil {
		return err
	}
	return wire.Decode(answer, to)
}

// reached says through whom to ask for a node of a region: one of the region, or any.
func reached(views []NodeView) func(wire.RegionID) wire.NodeID {
	byRegion, first := map[wire.RegionID]wire.NodeID{}, wire.NodeID("")
	for i := range views {
		v := &views[i]
		if v.Status == nil {
			continue
		}
		if first == "" {
			first = v.Node
		}
		if byRegion[v.Region] == "" {
			byRegion[v.Region] = v.Node
		}
	}
	return func(region wire.RegionID) wire.NodeID {
		if n := byRegion[region]; n != "" {
			return n
		}
		return first
	}
}

// noteHeard takes from the leaders how long ago they heard each member.
func noteHeard(views []NodeView) {
	heard := map[wire.NodeID]int64{}
	for i := range views {
		if views[i].Status == nil {
			continue
		}
		for _, g := range views[i].Status.Groups {
			for _, f := range g.Followers {
				if at, ok := heard[f.Node]; f.ContactMillis >= 0 &&
					(!ok || f.ContactMillis < at) {
					heard[f.Node] = f.ContactMillis
				}
			}
		}
	}
	for i := range views {
		if ms, ok := heard[views[i].Node]; ok {
			views[i].HeardMillis = ms
		}
	}
}
