package node

import (
	"context"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// submit answers MethodSubmit: one block for this region, from a gateway. On return without an
// error and with decided outcomes, the block is fsynced on a majority and applied here.
//
// The frame is checked whole before it may reach the log, since whatever is in the log must be
// applied by every replica: bounds and checksum first, then every record's form. A block that
// holds a record which this region does not own, or whose id is out of time, is not proposed;
// the outcomes name those records and leave the others undecided.
func (n *Node) submit(ctx context.Context, _ link.Identity, frame []byte) ([]byte, error) {
	block := n.blocks.Get().(*wire.Block)
	applied := false
	defer func() {
		if applied { // else Apply may still come to it
			n.blocks.Put(block)
		}
	}()
	if err := n.coder.DecodeInto(block, frame); err != nil {
		return nil, err
	}
	if block.Erased {
		return nil, wire.Malformedf("a rewritten block cannot be submitted")
	}
	for i := range block.Records {
		if err := block.Records[i].Validate(); err != nil {
			return nil, err
		}
	}
	now, err := n.regionTime(ctx)
	if err != nil {
		return nil, err
	}
	if outcomes := n.admit(block, now); outcomes != nil {
		return wire.Encode(&wire.Outcomes{List: outcomes}), nil
	}
	entry, err := n.regionLog.stamp(ctx, wire.BlockEntry, frame)
	if err != nil {
		return nil, err
	}
	if answer := n.plantedAck(entry, block); answer != nil {
		return answer, nil
	}
	defer n.region.Expect(entry, block)()
	answer, err := n.regionGroup.Propose(ctx, entry)
	if err != nil {
		return nil, err
	}
	outcomes, ok := answer.(*wire.Outcomes)
	if !ok || len(outcomes.List) != len(block.Records) {
		return nil, wire.Errorf(wire.Internal, "block applied with the wrong outcomes")
	}
	applied = true
	return wire.Encode(&wire.Outcomes{List: n.disown(block.Records, outcomes.List)}), nil
}

// admit returns nil when the block may be proposed, else one outcome per record. An anchor that
// is cut off from the federation, or whose slot was dealt to another region, disowns what it does
// not own by a claim.
func (n *Node) admit(block *wire.Block, now wire.Time) []wire.Outcome {
	return n.disown(block.Records, n.region.Admit(block, now))
}

// disown makes NotOwner of what is not this region's to say about a record of a code that nobody
// claimed: before it is logged, and again once it was, since the whole region may have been stopped
// or suspended in between while its slots went to another one. What was decided then is told to
// nobody; who asks the new anchor gets the one verdict that counts.
func (n *Node) disown(records []wire.Record, outcomes []wire.Outcome) []wire.Outcome {
	if n.knowsDeals() && !n.slotFit().lost {
		return outcomes
	}
	for i := range records {
		if !n.disowns(&records[i]) {
			continue
		}
		if outcomes == nil {
			outcomes = make([]wire.Outcome, len(records))
		}
		if k := outcomes[i].Kind; k != wire.NotOwner && k != wire.OutOfTime {
			outcomes[i] = wire.Outcome{Kind: wire.NotOwner, ID: records[i].ID}
		}
	}
	return outcomes
}

// disowns reports whether a record is of a code that nobody claimed, and of which this region may
// not decide, or not now.
func (n *Node) disowns(rec *wire.Record) bool {
	r := rec.RecipientUnder(n.hasher)
	if n.anchors(r.Slot()) {
		return false
	}
	own, _, err := n.region.Ownership(r)
	return err != nil || own.State == wire.NotOwned || own.State == wire.Claiming
}

// mayPropose refuses early what Propose would refuse late, before work is done for it. Whether the
// region serves comes first: of one that does not, no node is to be looked for that leads.
func (n *Node) mayPropose() error {
	if err := n.serves(); err != nil {
		return err
	}
	if leader, _ := n.regionGroup.Leader(); leader != n.cfg.ID {
		return &wire.Error{Code: wire.NotLeader, Leader: leader}
	}
	if n.disk.refuses() {
		return wire.Errorf(wire.Unavailable, "%s", n.disk)
	}
	return nil
}
