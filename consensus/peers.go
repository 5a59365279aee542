package consensus

import (
	"bytes"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
)

// contactFresh is how recent an answer must be for its sender to count as there.
const contactFresh = 2 * time.Second

// peers is what this node learns of the others while it leads. The library shows none of it.
type peers struct {
	// Set at construction.
	self wire.NodeID
	now  func() time.Time // to measure durations
	wall func() time.Time // to compare clocks

	// off: this node's clock is not its majority's, see wire.ClockSkewMax.
	off atomic.Bool
	// sent counts the messages sent to followers.
	sent atomic.Uint64
	// news holds a token when a follower agreed since it was last looked at.
	news chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	term   uint64
	of     map[wire.NodeID]*peer
	voters []wire.NodeID
}

// peer is one follower in the present term.
type peer struct {
	match   uint64    // the follower's log agrees up to here
	moved   time.Time // when match last grew
	contact time.Time
	agreed  uint64        // the last message that it agreed to, by its number
	skew    time.Duration // of its clock against ours, at least; 0 when within the error
	stalled bool
}

func newPeers(self wire.NodeID, now, wall func() time.Time) *peers {
	return &peers{self: self, now: now, wall: wall, of: map[wire.NodeID]*peer{},
		news: make(chan struct{}, 1)}
}

// members says who votes.
func (p *peers) members(all []Member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.voters = nil
	for _, m := range all {
		if m.Voter {
			p.voters = append(p.voters, m.Node)
		}
	}
	p.judgeClock()
}

// get must be called with mu held.
func (p *peers) get(id wire.NodeID, term uint64) *peer {
	if term > p.term {
		p.term = term
		clear(p.of)
		p.judgeClock()
	}
	f := p.of[id]
	if f == nil {
		f = &peer{moved: p.now()}
		p.of[id] = f
	}
	return f
}

// answered notes a follower's answer to entries or a heartbeat, the message with number.
func (p *peers) answered(id wire.NodeID, req *raft.AppendEntriesRequest,
	resp *raft.AppendEntriesResponse, number uint64, sent time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if req.Term < p.term {
		return
	}
	f, now := p.get(id, req.Term), p.now()
	f.contact = now
	if _, at, ok := decodeClock(resp.Addr); ok {
		f.skew = skew(at, sent, p.wall())
		p.judgeClock()
	}
	if resp.Success && resp.Term <= req.Term && number > f.agreed {
		f.agreed = number
		select {
		case p.news <- struct{}{}:
		default:
		}
	}
	match := req.PrevLogEntry
	if n := len(req.Entries); n > 0 {
		match = req.Entries[n-1].Index
	}
	if resp.Success && match > f.match {
		f.match, f.moved = match, now
	}
}

// installed notes a snapshot that a follower installed.
func (p *peers) installed(id wire.NodeID, req *raft.InstallSnapshotRequest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, now := p.get(id, req.Term), p.now()
	f.contact = now
	if req.LastLogIndex > f.match {
		f.match, f.moved = req.LastLogIndex, now
	}
}

// wanted answers the first entry that a follower which is there needs: the last one that it has,
// which what follows is appended to. 0: none is known.
func (p *peers) wanted() (index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.of {
		if f.match > 0 && p.now().Sub(f.contact) < contactFresh && (index == 0 || f.match < index) {
			index = f.match
		}
	}
	return index
}

// confirmed reports whether a majority agreed, in term, to messages sent after the first since.
func (p *peers) confirmed(term, since uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	agree := 0
	for _, v := range p.voters {
		f := p.of[v]
		if v == p.self || p.term == term && f != nil && f.agreed > since {
			agree++
		}
	}
	return agree >= len(p.voters)/2+1
}

// lag answers how far behind last a follower is, and whether it is there.
func (p *peers) lag(id wire.NodeID, term, last uint64) (entries uint64, there bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.of[id]
	if f == nil || p.term != term {
		return last, false
	}
	return last - min(last, f.match), p.now().Sub(f.contact) < contactFresh
}

// stalled answers the followers that answer, and have stood still for longer than limit while
// the leader went on; changed are those of which that is news.
func (p *peers) stalled(term, last uint64, limit time.Duration) (all, changed []wire.NodeID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.term != term {
		return nil, nil
	}
	now := p.now()
	for id, f := range p.of {
		was := f.stalled
		f.stalled = last > f.match && now.Sub(f.moved) > limit &&
			now.Sub(f.contact) < contactFresh
		if f.stalled {
			all = append(all, id)
		}
		if f.stalled && !was {
			changed = append(changed, id)
		}
	}
	return all, changed
}

// standing are the followers that stood still when stalled last looked, in order of their names.
func (p *peers) standing(term uint64) (all []wire.NodeID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, f := range p.of {
		if p.term == term && f.stalled {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return all
}

// judgeClock compares this node's clock with those of the voters: it is off when so many are
// further away than allowed that the rest, with itself, is no majority. Who was not heard of
// agrees. It must be called with mu held.
func (p *peers) judgeClock() {
	agree := 0
	for _, v := range p.voters {
		f := p.of[v]
		if v == p.self || f == nil || f.skew.Abs() <= wire.ClockSkewMax {
			agree++
		}
	}
	p.off.Store(len(p.voters) > 0 && agree < len(p.voters)/2+1)
}

// skew is the least by which a clock that showed at, some time between sent and got, is off.
func skew(at, sent, got time.Time) time.Duration {
	switch {
	case at.Before(sent):
		return at.Sub(sent)
	case at.After(got):
		return at.Sub(got)
	}
	return 0
}

// A node's name in the library's messages is followed by its clock: "lazio-1@1795363200000".
func encodeClock(addr raft.ServerAddress, now time.Time) []byte {
	b := append([]byte(addr), '@')
	return strconv.AppendInt(b, now.UnixMilli(), 10)
}

func decodeClock(b []byte) (addr raft.ServerAddress, at time.Time, ok bool) {
	name, ms, found := bytes.Cut(b, []byte("@"))
	addr = raft.ServerAddress(name)
	if !found {
		return addr, time.Time{}, false
	}
	n, err := strconv.ParseInt(string(ms), 10, 64)
	return addr, time.UnixMilli(n), err == nil
}
