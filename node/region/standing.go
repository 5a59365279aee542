package region

import (
	"sync"

	"github.com/staffetta/staffetta/internal/cache"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// What one entry of a cache costs, keys, values and the map's own room, measured roughly.
const (
	preferenceBytes = 160
	recentBytes     = 24
)

// standing is what a verdict needs to know of a citizen, apart from preferences.
type standing struct {
	State       wire.OwnershipState
	Mode        wire.Mode
	HasProfile  bool
	Active      bool
	Preferences bool // some preference exists under Version
	Blocks      bool // LEGACY: the profile blocks the inbox for some service
	Version     int64
}

// Fields declares the part of an ownerRow; State is the ownership's.
func (s *standing) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &s.Mode)
	codec.Bool(c, 2, &s.HasProfile)
	codec.Bool(c, 3, &s.Active)
	codec.Bool(c, 4, &s.Preferences)
	codec.Bool(c, 5, &s.Blocks)
	codec.Int(c, 6, &s.Version)
}

// choiceKey names a preference.
type choiceKey struct {
	recipient wire.Recipient
	version   int64
	service   wire.ServiceID
}

// standings caches standings and preferences, absent ones too. Whatever it holds equals the
// state as of the last change: Apply fills it with what it reads and writes. Others only peek.
type standings struct {
	mu       sync.Mutex
	citizens standingTable
	choices  *cache.Generations[choiceKey, wire.Tri]
	// turn counts warmings and clearings; changed are those whose standing was written since the
	// warming under way began, nil when there is none.
	turn    uint64
	changed map[wire.Recipient]struct{}
}

func newStandings(citizens, choices int64) *standings {
	s := &standings{citizens: newStandingTable(citizens),
		choices: cache.New[choiceKey](int(choices), cache.Each[wire.Tri](preferenceBytes))}
	s.clear()
	return s
}

func (s *standings) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.citizens.clear()
	s.choices.Clear()
	s.turn++
	s.changed = nil
}

func (s *standings) citizen(r wire.Recipient) (standing, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.citizens.get(r)
}

// peek is citizen for readers beside Apply; it changes nothing.
func (s *standings) peek(r wire.Recipient) (standing, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.citizens.peek(r)
}

func (s *standings) putCitizen(r wire.Recipient, st standing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.citizens.put(r, st)
}

// change is putCitizen for a standing that is being written.
func (s *standings) change(r wire.Recipient, st standing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.citizens.put(r, st)
	if s.changed != nil && len(s.changed) <= warmChangesMax {
		s.changed[r] = struct{}{}
	}
}

func (s *standings) choice(k choiceKey) (wire.Tri, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.choices.Get(k)
}

func (s *standings) putChoice(k choiceKey, t wire.Tri) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.choices.Put(k, t)
}

// citizen returns the standing of r as the change sees it.
func (s *State) citizen(c *change, r wire.Recipient) (standing, error) {
	if st, ok := s.standings.citizen(r); ok {
		return st, nil
	}
	row, err := c.owner(r)
	if err == nil {
		s.standings.putCitizen(r, row.Standing)
	}
	return row.Standing, err
}

// remember caches what the row of r, which is being written, says from now on.
func (s *State) remember(r wire.Recipient, own wire.Ownership, st standing) {
	st.State = own.State
	s.standings.change(r, st)
}

// choice returns what the citizen explicitly chose for the inbox of a service.
func (s *State) choice(c *change, r wire.Recipient, version int64, service wire.ServiceID) (
	wire.Tri, error) {
	k := choiceKey{recipient: r, version: version, service: service}
	if t, ok := s.standings.choice(k); ok {
		return t, nil
	}
	var p wire.Preference
	ok, err := c.getRow(preferenceKey(r, version, service), &p)
	if err != nil {
		return wire.Unset, err
	}
	t := wire.Unset
	if ok {
		t = wire.TriOf(p.Inbox)
	}
	s.standings.putChoice(k, t)
	return t, nil
}
