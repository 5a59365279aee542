package spool

import (
	"context"
	"slices"
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// discardSpooled answers MethodDiscardSpooled: blocks that their owner said it cannot read, such
// as those sealed to a key that a restored region has not, leave the spool. Their messages are
// FAILED, which their senders see, and their idempotency keys are free again.
func (s *Spool) discardSpooled(ctx context.Context, _ link.Identity, d *wire.DiscardSpooled) (
	*wire.DiscardedSpooled, error) {
	if !d.DryRun {
		err := s.AwaitApproval(ctx, &wire.RegionOrder{Kind: wire.OrderDiscard, Region: s.RegionID,
			Other: d.Owner})
		if err != nil {
			return nil, err
		}
	}
	answer := new(wire.DiscardedSpooled)
	var commands []wire.Command
	seqs := s.unreadable(d, answer)
	for _, seq := range seqs {
		records, err := s.Region.SpooledRecords(d.Owner, seq)
		if err != nil {
			return nil, err
		}
		if records == 0 {
			s.forgive(seq)
			continue
		}
		answer.Blocks++
		answer.Records += uint64(records)
		done := wire.SpoolDone{Owner: d.Owner, Seq: seq, Outcomes: make([]wire.Outcome, records)}
		for i := range done.Outcomes {
			// What a spool does with a message that is none: FAILED, and the key forgotten.
			done.Outcomes[i].Kind = wire.KeyConflict
		}
		commands = append(commands, wire.Command{Kind: wire.CmdSpoolDone, Body: wire.Encode(&done)})
	}
	if d.DryRun || len(commands) == 0 {
		return answer, nil
	}
	results, err := s.RegionQueue.Submit(ctx, commands)
	if err != nil {
		return nil, err
	}
	for i := range results {
		if results[i].Err != nil {
			return nil, results[i].Err
		}
	}
	for _, seq := range seqs {
		s.forgive(seq)
	}
	s.stats.done.WithLabelValues("discarded").Add(float64(answer.Records))
	s.Log.Warn("spooled blocks were discarded by an operator's order", "owner", d.Owner,
		"blocks", answer.Blocks, "messages", answer.Records)
	return answer, nil
}

// unreadable are the blocks that the owner said it cannot read, in order, as many as one command
// discards. None of them is with the owner, or will be within a minute: what is to be said of a
// block that may be must be the owner's word. Those are counted in answer, with the reasons.
func (s *Spool) unreadable(d *wire.DiscardSpooled, answer *wire.DiscardedSpooled) (seqs []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for seq, b := range s.stuck {
		switch {
		case b.owner != d.Owner || !b.refused:
			continue
		case !time.Now().Add(time.Second).Before(b.until):
			answer.Left++
			continue
		}
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	if over := len(seqs) - wire.CommandsMax; over > 0 {
		answer.Left += uint64(over)
		seqs = seqs[:wire.CommandsMax]
	}
	for _, seq := range seqs {
		b := s.stuck[seq]
		if !d.DryRun {
			b.until = time.Now().Add(refusedFor)
			s.stuck[seq] = b
		}
		if len(answer.Reasons) < wire.DiscardReasonsMax && !slices.Contains(answer.Reasons, b.why) {
			answer.Reasons = append(answer.Reasons, b.why)
		}
	}
	return seqs
}
