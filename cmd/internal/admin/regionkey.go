package admin

import (
	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/wire"
)

func newRegionKeyCommand() *cobra.Command {
	return group("region-key",
		"Show and rotate the key to which messages for a region that is away are sealed",
		newRegionKeyShowCommand(), newRegionKeyRotateCommand())
}

func reportRegionKey(region string, k *wire.RegionKeyInfo) regionKeyReport {
	return regionKeyReport{Region: wire.RegionID(region), Key: k.ID, Made: k.At,
		Published: k.Published}
}

// regionKeyReport is what both commands say.
type regionKeyReport struct {
	Region    wire.RegionID `json:"region"`
	Key       uint32        `json:"key"`     // the newest one's number; 0: none yet
	Made      wire.Time     `json:"made_ms"` // since the Unix epoch
	Published bool          `json:"published"`
	// Rotated: this command had the key made, or with --dry-run would have.
	Rotated bool `json:"rotated"`
}

func (r regionKeyReport) text(p *page) {
	if r.Key == 0 {
		p.printf("region %s has no key yet: its leader makes one\n", r.Region)
		return
	}
	p.printf("region %s: key %d, made %s, %s\n", r.Region, r.Key, r.Made,
		either(r.Published, "is on the map", "is not on the map yet"))
}

func newRegionKeyShowCommand() *cobra.Command {
	var region string
	return command{
		use:   "show --region REGION",
		short: "Show a region's newest key: its number, its age, whether the map has it",
		flags: func(f *flagSet) {
			f.need(&region, "region", "the region")
		},
		ask: func(c *invocation) (report, error) {
			info, err := c.op.RegionKey(c.ctx, wire.RegionID(region))
			if err != nil {
				return nil, err
			}
			return reportRegionKey(region, info), nil
		},
	}.build()
}

func newRegionKeyRotateCommand() *cobra.Command {
	var (
		region string
		after  uint32
	)
	return command{
		use:   "rotate --region REGION [--after KEY]",
		short: "Create a new key of a region, and put it on the map",
		long: `Create a new key of a region, and put it on the map. What was sealed to older keys still
opens: the region keeps them. With --after a new one is made only when there is none newer than
that, so that the same command again changes nothing; without it each run makes one.`,
		dry: dryDo,
		flags: func(f *flagSet) {
			f.need(&region, "region", "the region")
			f.Uint32Var(&after, "after", 0, "number of the key that is to be replaced; "+
				"default: the newest")
		},
		ask: func(c *invocation) (report, error) {
			before, err := c.op.RegionKey(c.ctx, wire.RegionID(region))
			if err != nil {
				return nil, err
			}
			if !c.given.Changed("after") {
				after = before.ID
			}
			info, err := c.op.RotateRegionKey(c.ctx, wire.RegionID(region), after)
			if err != nil {
				return nil, err
			}
			r := rotatedKey{reportRegionKey(region, info), c.dry}
			r.Rotated = before.ID <= after
			return r, nil
		},
	}.build()
}

// rotatedKey is what `region-key rotate` says.
type rotatedKey struct {
	regionKeyReport
	dry bool
}

func (r rotatedKey) text(p *page) {
	if r.dry && r.Rotated {
		p.printf("a new key would be made, in place of:\n")
	} else if !r.Rotated {
		p.printf("nothing to do:\n")
	}
	r.regionKeyReport.text(p)
}
