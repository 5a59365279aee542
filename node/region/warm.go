package region

import (
	"context"

	"github.com/staffetta/staffetta/wire"
)

const (
	// warmRows standings are read at once, and then offered to the cache.
	warmRows = 1024
	// warmSeenMax bounds the different rows that are remembered.
	warmSeenMax = 1024
	// warmChangesMax bounds what changes meanwhile; beyond it warming is given up.
	warmChangesMax = 1 << 20
)

// warming is a reader of all standings, begun when the state was opened or installed.
type warming struct {
	stop context.CancelFunc
	done chan struct{} // closed when it has ended
}

// warm begins to read the standings of all citizens into the cache, in the order of their rows,
// which costs far less than reading each when its first message comes. What a crash left to be
// applied again need not wait for the disk then.
func (s *State) warm() {
	ctx, cancel := context.WithCancel(context.Background())
	s.warming = warming{stop: cancel, done: make(chan struct{})}
	go func(done chan struct{}, turn uint64) {
		defer close(done)
		s.readStandings(ctx, turn)
		s.standings.warmed(turn)
	}(s.warming.done, s.standings.beginWarming())
}

// endWarming returns when nothing is read any more.
func (s *State) endWarming() {
	if s.warming.stop != nil {
		s.warming.stop()
		<-s.warming.done
	}
}

// readStandings offers the cache what it reads, until it has everything, the cache wants no more,
// or ctx ends. A row that cannot be read is left to whoever needs it.
func (s *State) readStandings(ctx context.Context, turn uint64) {
	lower := []byte{ownerPrefix}
	upper := after(lower)
	list := make([]offer, 0, warmRows)
	seen := map[string]standing{} // by row: citizens differ in little
	for ctx.Err() == nil {
		list = list[:0]
		err := s.db.Iterate(lower, upper, false, func(k, v []byte) (bool, error) {
			st, ok := seen[string(v)]
			if !ok {
				var row ownerRow
				if err := decodeRow(k, v, &row); err != nil {
					return false, err
				}
				if st = row.Standing; len(seen) < warmSeenMax {
					seen[string(v)] = st
				}
			}
			if len(k) != 1+len(wire.Recipient{}) {
				return false, errDamaged(k)
			}
			list = append(list, offer{wire.Recipient(k[1:]), st})
			return len(list) < warmRows, nil
		})
		if err != nil || len(list) == 0 || !s.standings.offer(turn, list) {
			return
		}
		last := list[len(list)-1].recipient
		lower = append(recipientKey(ownerPrefix, last), 0)
	}
}

// offer is a standing as of a moment ago.
type offer struct {
	recipient wire.Recipient
	standing  standing
}

// beginWarming notes from now on whose standing changes, until the turn ends.
func (s *standings) beginWarming() (turn uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn++
	s.changed = map[wire.Recipient]struct{}{}
	return s.turn
}

// warmed ends the turn.
func (s *standings) warmed(turn uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turn == turn {
		s.changed = nil
	}
}

// offer takes in standings that were read after the turn began, but for those that changed since;
// false when there is no room for more, or the turn is over.
func (s *standings) offer(turn uint64, list []offer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turn != turn || s.changed == nil || len(s.changed) > warmChangesMax ||
		s.citizens.full() {
		return false
	}
	for i := range list {
		o := &list[i]
		if _, changed := s.changed[o.recipient]; changed {
			continue
		}
		if _, there := s.citizens.peek(o.recipient); !there {
			s.citizens.put(o.recipient, o.standing)
		}
	}
	return true
}
