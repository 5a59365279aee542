package membership

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
	"golang.org/x/time/rate"
)

// seedKept is how long a copy of a state waits for a node that was fetching it to come back. It
// keeps the disk space of files alive that the state has replaced meanwhile.
const seedKept = 10 * time.Minute

// seedFrameMin is the least content of a frame, however slow a copy is to be.
const seedFrameMin = 4 << 10

// seeds hands copies of this node's states to nodes that join, one at a time of each group.
type seeds struct {
	*seat.Seat

	mu sync.Mutex
	// Guarded by mu.
	open   map[string]*seed // by group
	closed bool
}

// seed is a copy that is being fetched, or waits for who was fetching it.
type seed struct {
	head wire.SeedFrame
	to   string // the node that fetches it

	// Owned by who made busy true; guarded by seeds.mu while it is false.
	busy   bool
	stream io.ReadCloser
	at     uint64 // of the stream, how far it was read
	expiry *time.Timer
}

// serve answers MethodSeed: a node of the map fetches the state of a group that it is to be a
// replica of. A broken fetch goes on where it was, as long as the copy is kept.
func (s *seeds) serve(ctx context.Context, from link.Identity, q *wire.Seed,
	send func([]byte) error) error {
	if node, there := s.Map().Node(from.Node()); !there || node.Region != from.Region {
		return wire.Errorf(wire.NotReady, "node %s is not on this replica's map", from.Name)
	}
	group, state := s.Group(q.Group), consensus.StateMachine(s.Federation)
	if group == s.RegionGroup {
		state = s.Region
	}
	if group == nil || group == s.RegionGroup && from.Region != s.RegionID {
		return wire.Errorf(wire.Forbidden, "group %.70q is not for %s", q.Group, from)
	}
	if group.IsLeader() && !q.Leader {
		return wire.Errorf(wire.Conflict, "this node leads the group: ask one that follows")
	}
	if err := group.Ready(); err != nil {
		return wire.Errorf(wire.NotReady, "the replica is not ready: %s", err)
	}
	d, err := s.take(q, from.Name, state)
	if err != nil {
		return err
	}
	defer s.put(q.Group, d)
	if err := d.seek(q.Offset); err != nil {
		return err
	}
	if err := send(wire.Encode(&d.head)); err != nil {
		return err
	}
	return d.send(ctx, q.Rate, send)
}

// take lends the copy that q asks for, or makes one.
func (s *seeds) take(q *wire.Seed, to string, state consensus.StateMachine) (*seed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.open[q.Group]
	switch {
	case s.closed:
		return nil, wire.Errorf(wire.NotReady, "the node is stopping")
	case d != nil && d.busy:
		return nil, wire.Errorf(wire.Overloaded, "node %s is fetching a copy", d.to)
	case q.ID != 0 && (d == nil || d.head.ID != q.ID || d.to != to):
		return nil, wire.Errorf(wire.NotFound, "the copy is not kept any more")
	case q.ID == 0:
		if d != nil {
			s.drop(q.Group, d)
		}
		stream, size, at, err := state.Checkpoint()
		if err != nil {
			return nil, err
		}
		d = &seed{to: to, stream: stream, head: wire.SeedFrame{ID: 1 + rand.Uint64N(1<<62),
			Size: uint64(size), Index: at.Index, Term: at.Term, Configuration: at.Configuration,
			ConfigurationIndex: at.ConfigurationIndex}}
		d.expiry = time.AfterFunc(seedKept, func() { s.expire(q.Group, d) })
		s.open[q.Group] = d
		s.Log.Info("a node fetches a copy of the state", "to", to, "group", q.Group, "bytes",
			size, "index", at.Index)
	}
	d.expiry.Stop()
	d.busy = true
	return d, nil
}

// put gives a copy back. One that was read to its end waits, too: its last bytes may be lost.
func (s *seeds) put(group string, d *seed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.busy = false
	if s.closed {
		s.drop(group, d)
		return
	}
	d.expiry.Reset(seedKept)
}

func (s *seeds) expire(group string, d *seed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !d.busy && s.open[group] == d {
		s.drop(group, d)
	}
}

// drop closes a copy that nobody uses. Called with mu.
func (s *seeds) drop(group string, d *seed) {
	d.expiry.Stop()
	delete(s.open, group)
	if err := d.stream.Close(); err != nil {
		s.Log.Warn("a copy of the state was not removed", "group", group, "reason", err)
	}
}

// close drops what is kept; what is in use goes when it is given back.
func (s *seeds) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for group, d := range s.open {
		if !d.busy {
			s.drop(group, d)
		}
	}
}

// seek moves the stream to offset.
func (d *seed) seek(offset uint64) error {
	if offset > d.head.Size {
		return wire.Malformedf("byte %d of a copy of %d bytes", offset, d.head.Size)
	}
	if offset < d.at {
		again, ok := d.stream.(store.Rewinder)
		if !ok {
			return wire.Errorf(wire.NotFound, "the copy cannot be read again")
		}
		if err := again.Rewind(); err != nil {
			return err
		}
		d.at = 0
	}
	n, err := io.CopyN(io.Discard, d.stream, int64(offset-d.at))
	d.at += uint64(n)
	return err
}

// send sends the rest of the stream, at most limit bytes a second; 0: as fast as it goes.
func (d *seed) send(ctx context.Context, limit uint64, send func([]byte) error) error {
	pace, size := rate.NewLimiter(rate.Inf, 0), uint64(wire.SeedFrameBytes)
	if limit > 0 { // four frames a second, as long as that makes some
		size = min(size, max(limit/4, seedFrameMin))
		pace = rate.NewLimiter(rate.Limit(min(limit, 1<<40)), int(size))
	}
	buf := make([]byte, size)
	for d.at < d.head.Size {
		n, err := io.ReadFull(d.stream, buf[:min(uint64(len(buf)), d.head.Size-d.at)])
		d.at += uint64(n)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		if err := pace.WaitN(ctx, n); err != nil {
			return wire.Errorf(wire.Unavailable, "the caller is gone")
		}
		if err := send(wire.Encode(&wire.SeedFrame{ID: d.head.ID, Content: buf[:n]})); err != nil {
			return err
		}
	}
	return nil
}
