package region

import (
	"time"

	"github.com/staffetta/staffetta/wire"
)

// Admit is the leader's check before it proposes a block, at its clock's now. Nil: propose it.
// Otherwise the block must not be proposed, and each record has an outcome: NotOwner or
// OutOfTime for those that are in the way, Undecided for the others. Apply decides ownership
// again, in log order; times of ids are checked here only, so that a retry of a decided id is
// answered however late it comes.
func (s *State) Admit(b *wire.Block, now wire.Time) []wire.Outcome {
	var out []wire.Outcome
	for i := range b.Records {
		o := s.admit(&b.Records[i], now)
		if o.Kind == wire.Undecided {
			continue
		}
		if out == nil {
			out = make([]wire.Outcome, len(b.Records))
		}
		out[i] = o
	}
	return out
}

func (s *State) admit(rec *wire.Record, now wire.Time) (o wire.Outcome) {
	r := rec.RecipientUnder(s.cfg.Hasher)
	st, ok := s.standings.peek(r)
	if !ok || st.State == wire.Released {
		own, _, err := s.Ownership(r)
		if err != nil {
			return o // let apply say what is wrong with the database
		}
		st.State = own.State
		if own.State == wire.Released && !plantedStale() {
			return wire.Outcome{Kind: wire.NotOwner, Region: own.Region, Epoch: own.Epoch}
		}
	}
	if !s.decides(st, r) {
		return wire.Outcome{Kind: wire.NotOwner}
	}
	if apart(rec.ID.Time(), now) <= wire.SkewMax {
		return o
	}
	if _, known, err := lookUp(r, rec.ID, s.getWide); known || err != nil {
		return o
	}
	return wire.Outcome{Kind: wire.OutOfTime}
}

// apart is the distance between two instants, capped at a day.
func apart(a, b wire.Time) time.Duration {
	if a < b {
		a, b = b, a
	}
	return min(a-b, wire.Time((24 * time.Hour).Milliseconds())).Sub(0)
}

// getWide reads a committed row of a message.
func (s *State) getWide(key *wideKey) (value []byte, ok bool, err error) { return s.db.Get(key[:]) }
