// Package operator makes an operator's calls to a federation, over the link, under an operator's
// certificate. What changes something the federation's leader answers, which the client finds; what
// only shows something any node does, or all of them. What they say is judged here, too.
package operator

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// Config says who the operator is and where to begin.
type Config struct {
	Credentials *link.Credentials
	// Nodes are addresses of relay nodes, host:port; one that answers is enough.
	Nodes []string
	// Founding is the map that a federation is founded by, for who looks after it before it has one
	// of its own. Optional.
	Founding *wire.Map
	// PacketConn is the UDP socket, closed by Close; default: a fresh one.
	PacketConn net.PacketConn
	Logger     *slog.Logger // default: discard
}

// Client is an operator at work. Its methods may be called concurrently.
type Client struct {
	link    *link.Link
	leaders *link.Leaders
	nodes   []string
	// founding is nil for who was given none.
	founding *wire.Map
	view     atomic.Pointer[wire.Map] // nil until the first answer
	stop     context.CancelFunc
	done     chan error
	conn     net.PacketConn
}

// New opens a socket; it calls nobody yet.
func New(cfg Config) (*Client, error) {
	for _, addr := range cfg.Nodes {
		if err := link.CheckAddr(addr); err != nil {
			return nil, fmt.Errorf("address of a node: %w", err)
		}
	}
	conn, err := cfg.PacketConn, error(nil)
	if conn == nil {
		conn, err = net.ListenPacket("udp", ":0")
	}
	if err != nil {
		return nil, fmt.Errorf("operator: %w", err)
	}
	c := &Client{nodes: cfg.Nodes, founding: cfg.Founding, conn: conn, done: make(chan error, 1)}
	c.link, err = link.New(link.Config{PacketConn: conn, Addr: c.addr, Logger: cfg.Logger,
		Federation:  cfg.Credentials.Identity.Federation,
		Certificate: cfg.Credentials.Certificate, Authorities: cfg.Credentials.Authorities})
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("operator: %w", err)
	}
	c.leaders = link.NewLeaders(c.link)
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	go func() { c.done <- c.link.Run(ctx) }()
	return c, nil
}

// Close ends every call under way.
func (c *Client) Close() error {
	c.stop()
	err := <-c.done
	c.conn.Close()
	return err
}

func (c *Client) addr(id wire.NodeID) (string, bool) {
	m := c.view.Load()
	if m == nil {
		return "", false
	}
	n, ok := m.Node(id)
	return n.Addr, ok
}

// Map asks the nodes that the operator named for the federation's map; the first answer counts.
func (c *Client) Map(ctx context.Context) (*wire.Map, error) {
	m := new(wire.Map)
	if err := c.read(ctx, wire.MethodGetMap, nil, m); err != nil {
		return nil, err
	}
	c.view.Store(m)
	c.link.Trust(&m.Trust)
	return m, nil
}

// call calls the federation's leader. Every operator's call may be repeated.
func (c *Client) call(ctx context.Context, m wire.Method, req codec.Message) error {
	view := c.view.Load()
	if view == nil {
		var err error
		if view, err = c.Map(ctx); err != nil {
			return err
		}
	}
	return c.askVoters(ctx, view, m, req, nil)
}

// askVoters calls the leader of a federation that view knows, and decodes the answer into resp
// unless that is nil: then the call changes something.
func (c *Client) askVoters(ctx context.Context, view *wire.Map, m wire.Method,
	req, resp codec.Message) error {
	dry := false
	if resp == nil {
		m, req, dry = rehearsed(ctx, m, req)
	}
	answer, err := c.callUntil(ctx, VotersOf(view), m, encode(req))
	if err != nil || resp == nil {
		return unrehearsed(dry, err)
	}
	return wire.Decode(answer, resp)
}

// encode is a request's bytes; of none there are none.
func encode(req codec.Message) []byte {
	if req == nil {
		return nil
	}
	return wire.Encode(req)
}

// callUntil calls the federation's leader, one of voters, until ctx ends, or for wire.OperatorWait
// when it never does, or until it is plain that nobody can lead. What was not carried out by then
// is withdrawn: no leader that gets it later does it.
func (c *Client) callUntil(ctx context.Context, voters []wire.NodeID, m wire.Method, req []byte) (
	[]byte, error) {
	ctx, req, cancel := withdrawn(ctx, req)
	defer cancel()
	answer, err := c.callFederation(ctx, voters, m, req)
	if ctx.Err() != nil && errors.Is(err, wire.OutcomeUnknown) {
		err = wire.Errorf(wire.OutcomeUnknown, "no answer, and withdrawn now: it was done before, "+
			"which `staffetta admin audit` shows, or never will be")
	}
	return answer, err
}

// withdrawn gives a request the deadline of ctx, which is wire.OperatorWait when it has none.
func withdrawn(ctx context.Context, req []byte) (context.Context, []byte, context.CancelFunc) {
	cancel := func() {}
	if _, ok := ctx.Deadline(); !ok {
		ctx, cancel = context.WithTimeout(ctx, wire.OperatorWait)
	}
	end, _ := ctx.Deadline()
	return ctx, wire.WithDeadline(req, wire.TimeOf(end)), cancel
}

// callRegion is callUntil for the leader of a region.
func (c *Client) callRegion(ctx context.Context, m *wire.Map, region wire.RegionID,
	method wire.Method, req []byte) ([]byte, error) {
	ctx, req, cancel := withdrawn(ctx, req)
	defer cancel()
	return c.leaders.Call(ctx, link.RegionGroup(region), nodesOf(m, region), method, req, true)
}

// callFederation calls the federation's leader, one of voters, as long as there can be one.
func (c *Client) callFederation(ctx context.Context, voters []wire.NodeID, m wire.Method,
	req []byte) ([]byte, error) {
	return c.whileLed(ctx, voters, func(ctx context.Context) ([]byte, error) {
		return c.leaders.Call(ctx, link.FederationGroup, voters, m, req, true)
	})
}

// PutInstitution creates or replaces an institution.
func (c *Client) PutInstitution(ctx context.Context, i wire.Institution) error {
	return c.call(ctx, wire.MethodPutInstitution, &i)
}

// PutService creates or replaces a service. Zero key hashes keep the keys it has.
func (c *Client) PutService(ctx context.Context, s wire.ServiceSpec) error {
	return c.call(ctx, wire.MethodPutService, &s)
}

// PutRemoteContent creates or replaces a configuration of remote content. Keys that are empty stay.
func (c *Client) PutRemoteContent(ctx context.Context, s wire.RemoteContentSpec) error {
	return c.call(ctx, wire.MethodPutRemoteContent, &s)
}

// RemoveRemoteContent removes a configuration of remote content.
func (c *Client) RemoveRemoteContent(ctx context.Context, id wire.RemoteContentID) error {
	return c.call(ctx, wire.MethodRemoveRemoteContent, &wire.RemoteContentRef{ID: id})
}

// RevokeKey makes a key worthless. On return every gateway whose node reaches the federation's
// leader refuses it within a second.
func (c *Client) RevokeKey(ctx context.Context, service wire.ServiceID, name wire.KeyName) error {
	return c.call(ctx, wire.MethodSetKey, &wire.SetKey{Service: service, Name: name})
}

// RotateKey replaces a key by key, of which only the hash leaves this process.
func (c *Client) RotateKey(ctx context.Context, service wire.ServiceID, name wire.KeyName,
	key string) error {
	return c.call(ctx, wire.MethodSetKey,
		&wire.SetKey{Service: service, Name: name, Hash: wire.HashKey(key)})
}

// NewKey makes a subscription key: 128 random bits in hexadecimal.
func NewKey() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
