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
func (c *citizens) submit(ctx context.Context, _ link.Identity, frame []byte) ([]byte, error) {
	block := c.blocks.Get().(*wire.Block)
	applied := false
	defer func() {
		if applied { // else Apply may still come to it
			c.blocks.Put(block)
		}
	}()
	if err := c.Coder.DecodeInto(block, frame); err != nil {
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
	now, err := c.RegionTime(ctx)
	if err != nil {
		return nil, err
	}
	if outcomes := c.admit(block, now); outcomes != nil {
		return wire.Encode(&wire.Outcomes{List: outcomes}), nil
	}
	entry, err := c.RegionLog.Stamp(ctx, wire.BlockEntry, frame)
	if err != nil {
		return nil, err
	}
	if answer := c.plantedAck(entry, block); answer != nil {
		return answer, nil
	}
	defer c.Region.Expect(entry, block)()
	answer, err := c.RegionGroup.Propose(ctx, entry)
	if err != nil {
		return nil, err
	}
	outcomes, ok := answer.(*wire.Outcomes)
	if !ok || len(outcomes.List) != len(block.Records) {
		return nil, wire.Errorf(wire.Internal, "block applied with the wrong outcomes")
	}
	applied = true
	return wire.Encode(&wire.Outcomes{List: c.owners.RefuseForeign(block.Records, outcomes.List)}), nil
}

// admit returns nil when the block may be proposed, else one outcome per record. An anchor that
// is cut off from the federation, or whose slot was dealt to another region, disowns what it does
// not own by a claim.
func (c *citizens) admit(block *wire.Block, now wire.Time) []wire.Outcome {
	return c.owners.RefuseForeign(block.Records, c.Region.Admit(block, now))
}
