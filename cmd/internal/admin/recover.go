package admin

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/wire"
)

// fetchWait bounds `restore moved`: some thousands of citizens.
const fetchWait = time.Hour

func newSpoolCommand() *cobra.Command {
	return group("spool", "Discard spooled messages that their region cannot read",
		newSpoolDiscardCommand())
}

// discardReport is what `spool discard` says.
type discardReport struct {
	Home     wire.RegionID `json:"home"`
	Owner    wire.RegionID `json:"owner"`
	Blocks   uint64        `json:"blocks"`
	Messages uint64        `json:"messages"`
	Left     uint64        `json:"left"` // blocks that may be with the owner once more
	Reasons  []string      `json:"reasons"`
	Done     bool          `json:"done"`
}

func (r *discardReport) text(p *page) {
	p.printf("spool of region %s: %d messages in %d blocks for region %s %s\n", r.Home, r.Messages,
		r.Blocks, r.Owner, either(r.Done, "discarded", "would be discarded"))
	if len(r.Reasons) > 0 {
		p.printf("region %s said: %s\n", r.Owner, strings.Join(r.Reasons, "; "))
	}
	if r.Left > 0 {
		p.printf("%d more blocks are being tried once more: run this again in a moment\n", r.Left)
	}
}

func (r *discardReport) Failure() error {
	if r.Left > 0 && r.Done {
		return fmt.Errorf("%d blocks for region %s are not discarded", r.Left, r.Owner)
	}
	return nil
}

func newSpoolDiscardCommand() *cobra.Command {
	var home, owner string
	return command{
		use:   "discard --home REGION --owner REGION",
		short: "Discard the blocks that their owner says it cannot read",
		long: `Discard the blocks that wait in one region's spool and that their owner says it cannot
read, such as those sealed to a key that it lost with its disks. Their messages end as FAILED, which
their senders see, and their idempotency keys are free: an institution may send again. What the
owner reads, or was not asked for yet, stays. There is no way back: if a newer backup of the owner
has the key, restore that.`,
		example: `  staffetta admin spool discard --dir DIR --home lazio --owner sicilia --dry-run`,
		dry:     "only say what would be discarded, and why",
		flags: func(f *flagSet) {
			f.need(&home, "home", "the region in whose spool the blocks wait")
			f.need(&owner, "owner", "the region that cannot read them")
		},
		ask: func(c *invocation) (report, error) {
			d, err := c.op.DiscardSpooled(c.ctx, wire.RegionID(home), wire.RegionID(owner))
			if err != nil {
				return nil, err
			}
			return &discardReport{Home: wire.RegionID(home), Owner: wire.RegionID(owner),
				Blocks: d.Blocks, Messages: d.Records, Left: d.Left, Reasons: d.Reasons,
				Done: !c.dry}, nil
		},
	}.build()
}

// movedReport is what `restore moved` says.
type movedReport struct {
	Region   wire.RegionID `json:"region"`
	From     wire.RegionID `json:"from"`
	Citizens uint64        `json:"citizens"`
	Failed   uint64        `json:"failed"`
	Reason   string        `json:"reason,omitempty"`
	Done     bool          `json:"done"`
}

func (r *movedReport) text(p *page) {
	p.printf("region %s: what region %s still has of %d citizens %s\n", r.Region, r.From, r.Citizens,
		either(r.Done, "was fetched", "would be fetched"))
	if r.Failed > 0 {
		p.printf("not of %d others: %s; run this again\n", r.Failed, r.Reason)
	}
}

func (r *movedReport) Failure() error {
	if r.Failed > 0 {
		return fmt.Errorf("%d citizens of region %s are not fetched", r.Failed, r.From)
	}
	return nil
}

func newRestoreMovedCommand() *cobra.Command {
	var region, from string
	return command{
		use:   "moved --region R --from R",
		short: "Fetch what a restored region's citizens still have in the regions that they moved from",
		long: `A region that was restored from a copy owns citizens who moved there after the copy was
made, and has nothing of them. The region that they came from keeps what it handed over for a time,
see --keep-moved of its nodes. Fetch it: messages, verdicts and idempotency keys, and the profile
with its preferences of those who have not logged in again since. What the restored region has
decided since stays. Nobody's messages are doubled; the same command again changes nothing.`,
		example: `  staffetta admin restore moved --dir DIR --region lazio --from sicilia`,
		dry:     "only count the citizens",
		flags: func(f *flagSet) {
			f.need(&region, "region", "the region that was restored")
			f.need(&from, "from", "the region that citizens came from")
		},
		bound: within(fetchWait),
		ask: func(c *invocation) (report, error) {
			sum, err := c.op.FetchMoved(c.ctx, wire.RegionID(region), wire.RegionID(from),
				func(at wire.FetchedMoved) {
					if at.More {
						c.tell("%d citizens\n", at.Citizens)
					}
				})
			if err != nil {
				return nil, fmt.Errorf("after %d citizens: %w", sum.Citizens, err)
			}
			return &movedReport{Region: wire.RegionID(region), From: wire.RegionID(from),
				Citizens: sum.Citizens, Failed: sum.Failed, Reason: sum.Reason, Done: !c.dry}, nil
		},
	}.build()
}
