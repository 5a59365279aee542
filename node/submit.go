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
	if err := n.mayPropose(); err != nil {
		return nil, err
	}
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
		return nil, wire.Malformedf("a rewritten block can not be submitted")
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
	applied = true
	outcomes, ok := answer.(*wire.Outcomes)
	if !ok || len(outcomes.List) != len(block.Records) {
		return nil, wire.Errorf(wire.Internal, "block applied with the wrong outcomes")
	}
	return wire.Encode(outcomes), nil
}

// admit returns nil when the block may be proposed, else one outcome per record. An anchor that
// is cut off from the federation, or whose slot was dealt to another region, disowns what it does
// not own by a claim.
func (n *Node) admit(block *wire.Block, now wire.Time) []wire.Outcome {
	outcomes := n.region.Admit(block, now)
	if n.knowsDeals() && !n.slotFit().lost {
		return outcomes
	}
	for i := range block.Records {
		r := block.Records[i].RecipientUnder(n.hasher)
		if n.anchors(r.Slot()) {
			continue
		}
		own, _, err := n.region.Ownership(r)
		if err == nil && own.State != wire.NotOwned && own.State != wire.Claiming {
			continue
		}
		if outcomes == nil {
			outcomes = make([]wire.Outcome, len(block.Records))
		}
		if outcomes[i].Kind == wire.Undecided {
			outcomes[i] = wire.Outcome{Kind: wire.NotOwner, ID: block.Records[i].ID}
		}
	}
	return outcomes
}

// mayPropose refuses early what Propose would refuse late, before work is done for it.
func (n *Node) mayPropose() error {
	if leader, _ := n.regionGroup.Leader(); leader != n.cfg.ID {
		return &wire.Error{Code: wire.NotLeader, Leader: leader}
	}
	if n.disk.refuses() {
		return wire.Errorf(wire.Unavailable, "%s", n.disk)
	}
	return n.serves()
}
