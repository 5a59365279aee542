package consensus

import (
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
)

// connsMax bounds the streams of one group: a handful per peer, and as many again while old ones
// end.
const connsMax = 4096

// streams is the library's stream layer over our transport. It knows every stream, so that none
// outlives the group, nor the library's goroutine that serves it.
type streams struct {
	Transport

	mu     sync.Mutex
	conns  map[*stream]struct{} // guarded by mu
	closed bool                 // guarded by mu
	// served counts the accepted streams that the library has not closed.
	served sync.WaitGroup
}

// stream is a net.Conn that the library closes when it is done with it.
type stream struct {
	net.Conn
	of       *streams
	accepted bool
	once     sync.Once
	err      error
}

func newStreams(t Transport) *streams {
	return &streams{Transport: t, conns: map[*stream]struct{}{}}
}

// Accept answers an authenticated stream of a peer.
func (s *streams) Accept() (net.Conn, error) {
	for {
		conn, err := s.Transport.Accept()
		if err != nil {
			return nil, err
		}
		if tracked, ok := s.track(conn, true); ok {
			return tracked, nil
		}
		conn.Close()
	}
}

// Dial opens a stream to the node whose name is the address.
func (s *streams) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	conn, err := s.Transport.Dial(wire.NodeID(to), timeout)
	if err != nil {
		return nil, err
	}
	tracked, ok := s.track(newParkable(conn, timeout, func(timeout time.Duration) (net.Conn, error) {
		return s.Transport.Dial(wire.NodeID(to), timeout)
	}), false)
	if !ok {
		conn.Close()
		return nil, net.ErrClosed
	}
	return tracked, nil
}

func (s *streams) track(conn net.Conn, accepted bool) (net.Conn, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= connsMax {
		return nil, false
	}
	c := &stream{Conn: conn, of: s, accepted: accepted}
	s.conns[c] = struct{}{}
	if accepted {
		s.served.Add(1)
	}
	return c, true
}

// Close is the library's: it will not touch the stream again.
func (c *stream) Close() error {
	c.once.Do(func() {
		c.of.mu.Lock()
		delete(c.of.conns, c)
		c.of.mu.Unlock()
		c.err = c.Conn.Close()
		if c.accepted {
			c.of.served.Done()
		}
	})
	return c.err
}

// park closes the dialled streams that have lain unused for long, until they are used again.
func (s *streams) park(idle time.Duration) {
	s.mu.Lock()
	conns := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	before := time.Now().Add(-idle)
	for _, c := range conns {
		if p, ok := c.Conn.(*parkable); ok {
			p.park(before)
		}
	}
}

// Close ends the listener and every stream. The library notices, and closes them too.
func (s *streams) Close() error {
	s.mu.Lock()
	conns := slices.Collect(maps.Keys(s.conns))
	s.closed = true
	s.mu.Unlock()
	err := s.Transport.Close()
	for _, c := range conns {
		c.Conn.Close()
	}
	return err
}

// transport is the library's own transport, with the parts replaced that are wrong.
type transport struct {
	*raft.NetworkTransport
	self   raft.ServerAddress
	guards guards
	peers  *peers
}

func newTransport(c *Config, layer *streams, p *peers) *transport {
	inFlight := c.hooks.maxRPCsInFlight
	if inFlight == 0 {
		// No pipelining: one message per follower at a time. See docs/design/002-consensus.md.
		inFlight = 1
	}
	return &transport{
		NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Logger: newHclog(c.Logger), Stream: layer, MaxPool: 3, MaxRPCsInFlight: inFlight,
			Timeout: c.Timing.RPC, MsgpackUseNewTimeFormat: true}),
		self: raft.ServerAddress(c.Self), guards: c.guards, peers: p,
	}
}

// LocalAddr is the node's name.
func (t *transport) LocalAddr() raft.ServerAddress { return t.self }

// SetHeartbeatHandler does nothing, so that heartbeats take the same way as everything else. Given
// a handler, the library changes its term and role in the middle of whatever its main loop does:
// an old leader can then write an entry under a term that it does not lead (hashicorp/raft#695).
func (t *transport) SetHeartbeatHandler(handle func(raft.RPC)) {
	if !t.guards.on(guardHeartbeat) {
		t.NetworkTransport.SetHeartbeatHandler(handle)
	}
}

// AppendEntriesPipeline answers a pipeline that cannot block for ever.
func (t *transport) AppendEntriesPipeline(id raft.ServerID, to raft.ServerAddress,
) (raft.AppendPipeline, error) {
	p, err := t.NetworkTransport.AppendEntriesPipeline(id, to)
	if err != nil || !t.guards.on(guardPipeline) {
		return p, err
	}
	return newDrained(p), nil
}

// AppendEntries sends entries or a heartbeat, and learns from the answer.
func (t *transport) AppendEntries(id raft.ServerID, to raft.ServerAddress,
	req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	number, sent := t.peers.sent.Add(1), t.peers.uptime()
	err := t.NetworkTransport.AppendEntries(id, to, req, resp)
	if err == nil {
		t.peers.answered(wire.NodeID(id), req, resp, number, sent)
	}
	return err
}

// InstallSnapshot sends a snapshot, and learns from the answer.
func (t *transport) InstallSnapshot(id raft.ServerID, to raft.ServerAddress,
	req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	err := t.NetworkTransport.InstallSnapshot(id, to, req, resp, data)
	if err == nil && resp.Success {
		t.peers.installed(wire.NodeID(id), req)
	}
	return err
}

// EncodePeer names this node in what it sends, with its clock: every answer of a follower tells
// the leader what time it is there.
func (t *transport) EncodePeer(id raft.ServerID, addr raft.ServerAddress) []byte {
	if addr != t.self {
		return t.NetworkTransport.EncodePeer(id, addr)
	}
	return encodeClock(addr, t.peers.wall())
}

// DecodePeer is the name alone.
func (t *transport) DecodePeer(b []byte) raft.ServerAddress {
	addr, _, _ := decodeClock(b)
	return addr
}

// withoutPreVote hides that the transport can carry pre-votes.
type withoutPreVote struct{ raft.Transport }

func (t withoutPreVote) Close() error { return t.Transport.(raft.WithClose).Close() }
