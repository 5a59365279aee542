package consensus

import (
	"cmp"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// Follower is what a leader knows of another member.
type Follower struct {
	Member
	Match uint64 // the follower's log agrees with the leader's up to here, at least
	// Contact is how long ago it answered; -1: not since this node leads.
	Contact time.Duration
	// Skew is how far its clock is off this node's, at least; 0 when within the error.
	Skew    time.Duration
	Stalled bool // it answers, and does not move
}

// Followers answers the other members in order of their names, as their leader knows them; none
// on another replica.
func (g *Group) Followers() []Follower {
	members, err := g.Members()
	if err != nil || !g.IsLeader() {
		return nil
	}
	return g.peers.followers(members, g.raft.CurrentTerm())
}

func (p *peers) followers(members []Member, term uint64) []Follower {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []Follower
	for _, m := range members {
		if m.Node == p.self {
			continue
		}
		follower := Follower{Member: m, Contact: -1}
		if f := p.of[m.Node]; f != nil && p.term == term {
			follower.Match, follower.Stalled = f.match, f.stalled
			if !f.clock.at.IsZero() {
				follower.Skew = f.clock.apart(p.wall(), p.uptime())
			}
			if !f.contact.IsZero() {
				follower.Contact = p.now().Sub(f.contact)
			}
		}
		list = append(list, follower)
	}
	slices.SortFunc(list, func(a, b Follower) int { return cmp.Compare(a.Node, b.Node) })
	return list
}

// EntryTerm answers the term of an entry; false when the log has it no more, or not yet.
func (g *Group) EntryTerm(index uint64) (term uint64, ok bool) {
	var entry raft.Log
	if err := g.stores.log.GetLog(index, &entry); err != nil || entry.Index != index {
		return 0, false
	}
	return entry.Term, true
}
