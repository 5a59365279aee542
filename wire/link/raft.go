package link

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/staffetta/staffetta/wire"
)

// FederationGroup is the name of the federation's Raft group; RegionGroup that of a region's.
const FederationGroup = "federation"

// RegionGroup names the Raft group of a region.
func RegionGroup(r wire.RegionID) string { return "region/" + string(r) }

// Incarnated is the name under which the streams of a group travel that was restored from a backup
// so many times: replicas of two incarnations do not hear each other.
func Incarnated(group string, incarnation uint32) string {
	if incarnation == 0 {
		return group
	}
	return group + "#" + strconv.FormatUint(uint64(incarnation), 10)
}

// raftDialDefault bounds a Dial that has no bound of its own.
const raftDialDefault = 10 * time.Second

// RaftLayer carries the streams of one Raft group. It is a net.Listener for those that other
// nodes open, and dials others. Closing it ends neither the streams nor the connections.
type RaftLayer struct {
	// Set at construction.
	link   *Link
	group  string
	queue  chan net.Conn
	closed chan struct{}

	mu   sync.Mutex // held to put into queue, and to close
	done bool
}

// Raft returns the layer of a group, whose streams are refused until then. There is one per
// group: the same one is returned until it is closed.
func (l *Link) Raft(group string) *RaftLayer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.groups[group]; r != nil {
		return r
	}
	r := &RaftLayer{link: l, group: group, queue: make(chan net.Conn, raftAcceptMax),
		closed: make(chan struct{})}
	l.groups[group] = r
	return r
}

// Accept waits for the next stream. Its error is net.ErrClosed, when the layer or link ended.
func (r *RaftLayer) Accept() (net.Conn, error) {
	select {
	case c := <-r.queue:
		return c, nil
	case <-r.closed:
	case <-r.link.stopping:
	}
	return nil, net.ErrClosed
}

// Dial opens a stream to a node's replica of the group. It returns when the stream's header is
// on its way: a refusal shows at the first Read.
func (r *RaftLayer) Dial(to wire.NodeID, timeout time.Duration) (net.Conn, error) {
	if timeout <= 0 {
		timeout = raftDialDefault
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	c, s, failure := r.link.open(ctx, Peer{Node: to}, protoRaft, true)
	if failure != nil {
		return nil, failure
	}
	s.SetPriority(urgencyRaft, true)
	h := header{purpose: purposeRaft, federation: r.link.cfg.Federation, group: r.group}
	s.SetWriteDeadline(time.Now().Add(timeout))
	// At once, since the peer learns of a stream only by its first bytes.
	if _, err := s.Write(h.append(nil)); err != nil {
		abort(s, abortGone)
		c.release()
		return nil, errLost(c, err)
	}
	s.SetWriteDeadline(time.Time{})
	return r.link.newConn(s, c.id, outbound, c), nil
}

// Addr is this node's name.
func (r *RaftLayer) Addr() net.Addr { return nodeAddr(r.link.self.Name) }

// Close ends Accept and refuses further streams of the group.
func (r *RaftLayer) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return nil
	}
	r.done = true
	close(r.closed)
	r.link.mu.Lock()
	if r.link.groups[r.group] == r {
		delete(r.link.groups, r.group)
	}
	r.link.mu.Unlock()
	for {
		select {
		case c := <-r.queue:
			c.Close()
		default:
			return nil
		}
	}
}

// deliver queues a stream for Accept; false when nobody takes it.
func (r *RaftLayer) deliver(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return false
	}
	select {
	case r.queue <- c:
		return true
	default:
		return false
	}
}

// authoriseGroup decides whose streams a group takes: a region's, those of its own nodes; the
// federation's, those of any node.
func authoriseGroup(from Identity, group string) *wire.Error {
	group, _, _ = strings.Cut(group, "#") // the incarnation: a layer takes its own only
	region, isRegion := strings.CutPrefix(group, "region/")
	if from.Role == RoleNode && (group == FederationGroup ||
		isRegion && wire.RegionID(region) == from.Region) {
		return nil
	}
	return wire.Errorf(wire.Forbidden, "group %.70q is not for %s", group, from)
}

// acceptRaft hands a raft stream to its group.
func (l *Link) acceptRaft(c *inConn, s *quic.Stream, group string) {
	s.SetReadDeadline(time.Time{})
	s.SetPriority(urgencyRaft, true)
	l.mu.Lock()
	r := l.groups[group]
	l.mu.Unlock()
	if r == nil {
		if ours := l.otherIncarnation(group); ours != "" && l.refusalLogs.Allow() {
			l.log.Warn("a peer's replica is of another incarnation of the group: one of the two "+
				"was restored from a backup, and the other takes no part any more",
				"peer", c.key.id.String(), "theirs", group, "ours", ours)
		}
		abort(s, abortRefused)
		return
	}
	conn := l.newConn(s, c.key.id, inbound, nil)
	if !r.deliver(conn) {
		conn.refuse(abortFull)
	}
}

// otherIncarnation is the group here that differs from one by its incarnation only; empty: none.
func (l *Link) otherIncarnation(group string) string {
	base, _, _ := strings.Cut(group, "#")
	l.mu.Lock()
	defer l.mu.Unlock()
	for ours := range l.groups {
		if name, _, _ := strings.Cut(ours, "#"); name == base && ours != group {
			return ours
		}
	}
	return ""
}

// nodeAddr is a node's name as an address.
type nodeAddr wire.NodeID

// Network is the name of the network whose addresses are nodes' names.
func (nodeAddr) Network() string { return "staffetta" }

// String is the node's name.
func (a nodeAddr) String() string { return string(a) }

// String names the layer, for logs.
func (r *RaftLayer) String() string { return fmt.Sprintf("raft layer of %s", r.group) }
