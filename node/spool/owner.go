package spool

import (
	"context"
	"slices"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// takeRelayed answers MethodRelay: another region's leader brings what it kept for this one while
// it was away. The records are checked like those of a submission, but for the age of their ids,
// packed into blocks anew, many small ones into few, and proposed in order. On return every
// record with an outcome is fsynced on a majority.
func (s *Spool) takeRelayed(ctx context.Context, from link.Identity, m *wire.Relay) (
	*wire.Relayed, error) {
	if len(m.Blocks) == 0 || len(m.Blocks) > wire.RelayBlocksMax {
		return nil, wire.Malformedf("relay of %d blocks, 1-%d allowed", len(m.Blocks),
			wire.RelayBlocksMax)
	}
	r := relaying{Spool: s, home: from.Region, blocks: make([]relayedBlock, len(m.Blocks))}
	for i := range m.Blocks {
		r.blocks[i].open(s, from.Region, &m.Blocks[i])
	}
	if err := r.propose(ctx); err != nil {
		return nil, err
	}
	answer := wire.Relayed{Blocks: make([]wire.RelayedBlock, len(m.Blocks))}
	for i := range r.blocks {
		answer.Blocks[i] = r.answer(&r.blocks[i])
	}
	return &answer, nil
}

// relaying is the work on one relay.
type relaying struct {
	*Spool
	home   wire.RegionID
	blocks []relayedBlock
	// Of the block being packed: which record stands at which place.
	builder wire.Builder
	places  []place
}

type place struct{ block, record int }

// relayedBlock is one block of a relay.
type relayedBlock struct {
	err      *wire.Error // it cannot be read
	records  []wire.Record
	outcomes []wire.Outcome
}

// open opens a block and checks its records.
func (b *relayedBlock) open(s *Spool, home wire.RegionID, sealed *wire.SealedBlock) {
	if sealed.Home != home || sealed.Owner != s.RegionID {
		b.err = wire.Malformedf("a block from region %s for %s, relayed by %s to %s", sealed.Home,
			sealed.Owner, home, s.RegionID)
		return
	}
	key, err := s.private(sealed.KeyID)
	if err != nil {
		b.err = wire.AsError(err)
		return
	}
	frame, err := key.Open(s.Founding.Federation, sealed)
	if err != nil {
		b.err = wire.AsError(err)
		return
	}
	block, err := s.Coder.Decode(frame)
	if err != nil {
		b.err = wire.AsError(err)
		return
	}
	for i := range block.Records {
		rec := &block.Records[i]
		if err := rec.Validate(); err != nil {
			b.err = wire.AsError(err)
			return
		}
		if rec.IsRedacted() || block.Erased {
			b.err = wire.Malformedf("record %d of a spooled block is not whole", i)
			return
		}
	}
	b.records = block.Records
	b.outcomes = make([]wire.Outcome, len(block.Records))
}

// propose has every record decided that this region may own, in order.
func (r *relaying) propose(ctx context.Context) error {
	for i := range r.blocks {
		b := &r.blocks[i]
		for j := range b.records {
			if o := r.Region.AdmitRelayed(&b.records[j]); o.Kind != wire.Undecided {
				b.outcomes[j] = o
				continue
			}
			if r.codes.IsForeign(&b.records[j]) {
				b.outcomes[j] = wire.Outcome{Kind: wire.NotOwner, ID: b.records[j].ID}
				continue
			}
			if !r.builder.Add(&b.records[j]) {
				if err := r.flush(ctx); err != nil {
					return err
				}
				if !r.builder.Add(&b.records[j]) {
					return wire.Errorf(wire.Internal, "a relayed record fits no block")
				}
			}
			r.places = append(r.places, place{i, j})
		}
	}
	return r.flush(ctx)
}

// flush proposes the block that was packed.
func (r *relaying) flush(ctx context.Context) error {
	if len(r.places) == 0 {
		return nil
	}
	frame := r.builder.Seal(r.Coder)
	entry, err := r.RegionLog.Stamp(ctx, wire.BlockEntry, frame)
	if err != nil {
		return err
	}
	answer, err := r.RegionGroup.Propose(ctx, entry)
	if err != nil {
		return err
	}
	outcomes, ok := answer.(*wire.Outcomes)
	if !ok || len(outcomes.List) != len(r.places) {
		return wire.Errorf(wire.Internal, "block applied with the wrong outcomes")
	}
	for i, p := range r.places {
		b := &r.blocks[p.block]
		if b.outcomes[p.record] = outcomes.List[i]; r.codes.IsForeign(&b.records[p.record]) {
			b.outcomes[p.record] = wire.Outcome{Kind: wire.NotOwner, ID: b.records[p.record].ID}
		}
	}
	r.places = r.places[:0]
	return nil
}

// answer is what became of a block. Records of codes that have left go on to who has them now,
// sealed to its key; those whose owner is not known yet, or has no key, are undecided.
func (r *relaying) answer(b *relayedBlock) (a wire.RelayedBlock) {
	if b.err != nil {
		return wire.RelayedBlock{Err: b.err}
	}
	a.Outcomes = b.outcomes
	moved := make(map[wire.RegionID][]uint8)
	var owners []wire.RegionID
	for i := range a.Outcomes {
		o := &a.Outcomes[i]
		if o.Kind == wire.Broken { // it ends as FAILED, as no try will decide it
			*o = wire.Outcome{Kind: wire.KeyConflict}
		}
		if o.Kind == wire.Decided || o.Kind == wire.KeyConflict {
			continue
		}
		next := wire.RegionID("")
		if o.Kind == wire.NotOwner {
			next = r.codes.NextOwner(o, &b.records[i])
		}
		if next == "" {
			*o = wire.Outcome{}
			continue
		}
		o.Region = next
		if moved[next] == nil {
			owners = append(owners, next)
		}
		moved[next] = append(moved[next], uint8(i))
	}
	slices.Sort(owners)
	for _, owner := range owners {
		sealed, err := r.reseal(b, owner, moved[owner])
		if err != nil {
			r.Log.Warn("records of a code that moved cannot be sealed", "owner", owner,
				"reason", err.Error())
			for _, p := range moved[owner] {
				a.Outcomes[p] = wire.Outcome{}
			}
			continue
		}
		a.Resealed = append(a.Resealed, wire.Resealed{Sealed: *sealed, Positions: moved[owner]})
	}
	return a
}

// reseal makes a block of some records for their new owner.
func (r *relaying) reseal(b *relayedBlock, owner wire.RegionID, positions []uint8) (
	*wire.SealedBlock, error) {
	to, ok := r.Map().RegionByID(owner)
	if !ok || len(to.Keys) == 0 {
		return nil, wire.Errorf(wire.NotReady, "the map has no key of region %s", owner)
	}
	var builder wire.Builder
	for _, p := range positions {
		if !builder.Add(&b.records[p]) {
			return nil, wire.Errorf(wire.Internal, "some records of a block fit no block")
		}
	}
	return wire.Seal(r.Founding.Federation, r.home, owner, to.Keys[len(to.Keys)-1],
		builder.Seal(r.Coder))
}
