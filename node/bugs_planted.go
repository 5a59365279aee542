//go:build planted

package node

import (
	"bytes"
	"context"
	"time"

	"github.com/staffetta/staffetta/internal/planted"
	"github.com/staffetta/staffetta/wire"
)

// plantedAck answers a block whose records will be delivered, and logs it later.
func (c *citizens) plantedAck(entry []byte, b *wire.Block) []byte {
	if !planted.Is(planted.AckBeforeFsync) {
		return nil
	}
	out := wire.Outcomes{List: make([]wire.Outcome, len(b.Records))}
	for i := range b.Records {
		rec := &b.Records[i]
		p, err := c.Region.SenderProfile(wire.SenderProfileQuery{
			Recipient: rec.RecipientUnder(c.Hasher), Service: rec.Service})
		if rec.IsRedacted() || !rec.Idempotency.IsZero() || err != nil || !p.Allowed {
			return nil
		}
		out.List[i] = wire.Outcome{Kind: wire.Decided, ID: rec.ID,
			Verdict: wire.Verdict{Status: wire.Processed}}
	}
	entry = bytes.Clone(entry)
	time.AfterFunc(30*time.Millisecond, func() {
		c.RegionGroup.Propose(context.Background(), entry)
	})
	return wire.Encode(&out)
}
