package consensus

import (
	"slices"
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
	self   wire.NodeID
	now    func() time.Time     // to measure durations
	uptime func() time.Duration // the same, and goes on while the machine is suspended
	wall   func() time.Time     // shown to others, and compared with theirs

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
	agreed  uint64 // the last message that it agreed to, by its number
	clock   reading
	stalled bool
}

func newPeers(self wire.NodeID, now func() time.Time, uptime func() time.Duration,
	wall func() time.Time) *peers {
	return &peers{self: self, now: now, uptime: uptime, wall: wall,
		of: map[wire.NodeID]*peer{}, news: make(chan struct{}, 1)}
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
}

// get must be called with mu held.
func (p *peers) get(id wire.NodeID, term uint64) *peer {
	if term > p.term {
		p.term = term
		clear(p.of)
	}
	f := p.of[id]
	if f == nil {
		f = &peer{moved: p.now()}
		p.of[id] = f
	}
	return f
}

// answered notes a follower's answer to entries or a heartbeat, the message with number that was
// sent at an uptime.
func (p *peers) answered(id wire.NodeID, req *raft.AppendEntriesRequest,
	resp *raft.AppendEntriesResponse, number uint64, sent time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if req.Term < p.term {
		return
	}
	f, now := p.get(id, req.Term), p.now()
	f.contact = now
	if _, at, ok := decodeClock(resp.Addr); ok && (f.clock.at.IsZero() || sent >= f.clock.sent) {
		f.clock = reading{at: at, sent: sent, got: p.uptime()}
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
