package consensus

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
)

// What the library keeps in the stable store, and what we do.
var (
	keyTerm     = []byte("CurrentTerm")
	keyVoteTerm = []byte("LastVoteTerm")
	keyIdentity = []byte("staffetta/identity")
)

// reconciler compares what a replica's parts say about it before the library sees any of them.
type reconciler struct {
	config *Config
	log    raft.LogStore // the store itself: errors come back here
	stable raft.StableStore
	mark   *mark
	pos    wire.Position // durable

	first, last uint64
	term        uint64
}

// run leaves log, votes and state in agreement, or says why it cannot. An entry that may have
// been acknowledged is never deleted.
func (r *reconciler) run() error {
	if err := r.identity(); err != nil {
		return err
	}
	if err := r.load(); err != nil {
		return err
	}
	if err := r.marked(); err != nil {
		return err
	}
	if err := r.bootstrap(); err != nil {
		return err
	}
	if err := r.seeded(); err != nil {
		return err
	}
	if r.pos.Installed {
		if err := r.afterInstall(); err != nil {
			return err
		}
	}
	if err := r.compare(); err != nil {
		return err
	}
	return r.remark()
}

func (r *reconciler) load() (err error) {
	if r.first, err = r.log.FirstIndex(); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if r.last, err = r.log.LastIndex(); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if r.term, err = r.uint64(keyTerm); err != nil {
		return fmt.Errorf("read term: %w", err)
	}
	return nil
}

func (r *reconciler) uint64(key []byte) (uint64, error) {
	v, err := r.stable.GetUint64(key)
	if absent(err) {
		return 0, nil
	}
	return v, err
}

// identity refuses the directory of another node or group: its votes are not ours.
func (r *reconciler) identity() error {
	want := []byte(r.config.incarnated() + "\n" + string(r.config.Self))
	got, err := r.stable.Get(keyIdentity)
	if err != nil && !absent(err) {
		return fmt.Errorf("read identity: %w", err)
	}
	if len(got) == 0 {
		return r.stable.Set(keyIdentity, want)
	}
	if !bytes.Equal(got, want) && r.config.guards.on(guardIdentity) {
		group, node, _ := bytes.Cut(got, []byte("\n"))
		return fmt.Errorf("%w: the log is that of node %s in group %s", ErrForeign, node, group)
	}
	return nil
}

// marked refuses a log, or votes, that end before what the mark says was on disk: the log stores
// themselves take such damage for the end. What the state has durably is needed no more.
func (r *reconciler) marked() error {
	has, err := r.uint64(keyMark)
	if err != nil {
		return fmt.Errorf("read mark: %w", err)
	}
	m := r.mark.now()
	if !r.config.guards.on(guardShortLog) {
		return r.mark.make()
	}
	if has > 0 && !r.mark.found {
		return corrupt("%s, which knows where the log ends, is missing", r.mark.path)
	}
	if err := r.mark.make(); err != nil {
		return fmt.Errorf("make mark: %w", err)
	}
	voted, err := r.uint64(keyVoteTerm)
	if err != nil {
		return fmt.Errorf("read vote: %w", err)
	}
	if r.last == 0 && r.term == 0 && m.Term > 0 {
		return corrupt("entry %d of term %d was on disk, and there is none: the log is lost", m.Last,
			m.Term)
	}
	if r.term < m.Term || voted < m.Vote {
		return corrupt("the votes are of term %d, and on disk was term %d: votes are lost",
			min(r.term, voted), max(m.Term, m.Vote))
	}
	if r.term > m.Term || m.Last <= r.pos.Index {
		// A program that knows no mark was here since, and may have cut the log; or there is
		// nothing to miss.
		return nil
	}
	if r.last < m.Last {
		return corrupt("the log ends at entry %d, and entry %d was on disk: the end of the log is "+
			"lost", r.last, m.Last)
	}
	var entry raft.Log
	if err := r.log.GetLog(m.Last, &entry); err != nil {
		return corrupt("entry %d: %v", m.Last, err)
	}
	if m.LastTerm > 0 && entry.Term != m.LastTerm {
		return corrupt("entry %d is of term %d, and on disk was one of term %d", m.Last,
			entry.Term, m.LastTerm)
	}
	return nil
}

// remark makes the mark say what is found, now that it is known to be right.
func (r *reconciler) remark() error {
	voted, err := r.uint64(keyVoteTerm)
	if err != nil {
		return fmt.Errorf("read vote: %w", err)
	}
	var last raft.Log
	if r.last > 0 {
		if err := r.log.GetLog(r.last, &last); err != nil {
			return corrupt("entry %d: %v", r.last, err)
		}
	}
	r.mark.found = true
	err = r.mark.voted(func(h *Held) {
		*h = Held{Term: r.term, Vote: voted, Cuts: h.Cuts, Last: r.last, LastTerm: last.Term}
	})
	if has, err2 := r.uint64(keyMark); err != nil || err2 != nil || has > 0 {
		return errors.Join(err, err2)
	}
	return r.stable.SetUint64(keyMark, 1)
}

// bootstrap writes the first entry of a founding member. A crash after the term and before the
// entry leaves a term that nobody voted in; the library would call that an existing state.
func (r *reconciler) bootstrap() error {
	voted, err := r.uint64(keyVoteTerm)
	if err != nil {
		return fmt.Errorf("read vote: %w", err)
	}
	fresh := r.last == 0 && r.pos.Index == 0 && voted == 0 && r.term <= 1
	if !r.config.guards.on(guardHalfBootstrap) {
		fresh = fresh && r.term == 0
	}
	if !fresh || !names(r.config.Bootstrap, r.config.Self) {
		return nil
	}
	if err := r.stable.SetUint64(keyTerm, 1); err != nil {
		return fmt.Errorf("found group: %w", err)
	}
	entry := &raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration,
		Data: raft.EncodeConfiguration(toConfiguration(r.config.Bootstrap))}
	if err := r.log.StoreLog(entry); err != nil {
		return fmt.Errorf("found group: %w", err)
	}
	return r.load()
}

func names(members []Member, node wire.NodeID) bool {
	for _, m := range members {
		if m.Node == node {
			return true
		}
	}
	return false
}

// afterInstall deals with the log beside a state that came from a snapshot and has durably
// applied nothing since. The log is one of these:
//
//   - what was appended after the snapshot, which may be acknowledged: it begins right behind it;
//   - the old log, longer than the snapshot and in agreement with it: its tail may be
//     acknowledged;
//   - the old log, shorter or in contradiction: the crash came before the library wiped it. What
//     contradicts a committed entry was never committed.
func (r *reconciler) afterInstall() error {
	if r.last == 0 || !r.config.guards.on(guardInstalledLog) {
		return nil
	}
	if r.first == r.pos.Index+1 && r.config.guards.on(guardInstalledTail) {
		return nil
	}
	var at raft.Log
	err := r.log.GetLog(r.pos.Index, &at)
	if err == nil && at.Term == r.pos.Term {
		return nil
	}
	if err != nil && !errors.Is(err, raft.ErrLogNotFound) {
		return corrupt("entry %d: %v", r.pos.Index, err)
	}
	r.config.Logger.Warn("log wiped after snapshot", "first", r.first, "last", r.last,
		"snapshot", r.pos.Index)
	if err := r.mark.cut(0); err != nil {
		return fmt.Errorf("wipe log: %w", err)
	}
	if err := r.log.DeleteRange(r.first, r.last); err != nil {
		return fmt.Errorf("wipe log: %w", err)
	}
	return r.load()
}

// compare refuses contradictions and reads every entry that will be applied again.
func (r *reconciler) compare() error {
	g, a := r.config.guards, r.pos.Index
	if r.last > 0 && r.first > a+1 && g.on(guardLostState) {
		return corrupt("the state ends at entry %d and the log begins at %d: state is lost", a,
			r.first)
	}
	if a > r.last && !r.pos.Installed && g.on(guardLostLog) {
		return corrupt("the state ends at entry %d and the log at %d: log is lost", a, r.last)
	}
	if r.term < r.pos.Term && g.on(guardLostTerm) {
		return corrupt("the state is of term %d and the votes of %d: votes are lost", r.pos.Term,
			r.term)
	}
	term := r.pos.Term
	if a >= r.first && a <= r.last && a > 0 {
		var at raft.Log
		if err := r.log.GetLog(a, &at); err != nil {
			return corrupt("entry %d: %v", a, err)
		}
		if at.Term != r.pos.Term && g.on(guardForeignLog) {
			return corrupt("entry %d is of term %d in the state and of %d in the log", a,
				r.pos.Term, at.Term)
		}
	}
	for i := max(r.first, a+1); i <= r.last && r.last > 0; i++ {
		var entry raft.Log
		if err := r.log.GetLog(i, &entry); err != nil {
			return corrupt("entry %d: %v", i, err)
		}
		if g.on(guardChecksum) {
			if err := checkLog(i, &entry); err != nil {
				return err
			}
		}
		if entry.Term < term && g.on(guardForeignLog) {
			return corrupt("entry %d is of term %d after one of term %d", i, entry.Term, term)
		}
		term = entry.Term
	}
	if r.term < term && g.on(guardLostTerm) {
		return corrupt("the log is of term %d and the votes of %d: votes are lost", term, r.term)
	}
	return nil
}

// toConfiguration gives every member its name as address: the transport finds the way.
func toConfiguration(members []Member) raft.Configuration {
	var c raft.Configuration
	for _, m := range members {
		s := raft.Server{ID: raft.ServerID(m.Node), Address: raft.ServerAddress(m.Node),
			Suffrage: raft.Nonvoter}
		if m.Voter {
			s.Suffrage = raft.Voter
		}
		c.Servers = append(c.Servers, s)
	}
	return c
}

func toMembers(c raft.Configuration) []Member {
	members := make([]Member, 0, len(c.Servers))
	for _, s := range c.Servers {
		members = append(members, Member{wire.NodeID(s.ID), s.Suffrage == raft.Voter})
	}
	return members
}
