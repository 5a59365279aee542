package admin

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

func newSlotsCommand() *cobra.Command {
	return group("slots",
		"Show and reassign anchor slots, which say which region decides about unclaimed codes",
		newSlotsShowCommand(), newSlotsDealCommand(), newSlotsWriteOffCommand())
}

// slotsReport is what `slots show` says.
type slotsReport struct {
	Regions []regionSlots `json:"regions"`
	Moving  []movingSlots `json:"moving"`
}

type regionSlots struct {
	Region wire.RegionID `json:"region"`
	Slots  int           `json:"slots"`
}

// movingSlots are slots on their way from one region to another.
type movingSlots struct {
	From    wire.RegionID `json:"from"`
	To      wire.RegionID `json:"to"`
	Slots   int           `json:"slots"`
	Forced  bool          `json:"forced"`
	Granted bool          `json:"granted_without_records"`
	Since   string        `json:"since"`
}

func reportSlots(m *wire.Map) slotsReport {
	var r slotsReport
	count := map[wire.RegionID]int{}
	for s := range wire.Slot(wire.Slots) {
		count[m.Anchor(s)]++
	}
	for _, region := range m.Regions {
		r.Regions = append(r.Regions, regionSlots{Region: region.ID, Slots: count[region.ID]})
	}
	for _, d := range m.SlotDeals {
		from, _ := m.RegionByTag(d.From)
		k := movingSlots{From: from.ID, To: m.Anchor(d.Slot), Slots: 1, Forced: d.Forced,
			Granted: d.Granted, Since: d.At.String()}
		i := slices.IndexFunc(r.Moving, func(o movingSlots) bool {
			o.Slots = 1
			return o == k
		})
		if i < 0 {
			r.Moving = append(r.Moving, k)
			continue
		}
		r.Moving[i].Slots++
	}
	return r
}

func (r slotsReport) text(p *page) {
	p.row("region", "slots")
	for _, region := range r.Regions {
		p.row(region.Region, region.Slots)
	}
	for _, k := range r.Moving {
		what := "on their way"
		switch {
		case k.Granted:
			what = "taken by force; what the old holder knew is missing until it is back"
		case k.Forced:
			what = fmt.Sprintf("taken by force %s after that", wire.SlotForceWait)
		}
		p.row(fmt.Sprintf("%s to %s", k.From, k.To), k.Slots, fmt.Sprintf("%s, since %s", what, k.Since))
	}
}

func newSlotsShowCommand() *cobra.Command {
	return command{
		use:   "show",
		short: "Show how many anchor slots each region holds, and which are in transfer",
		ask: withMap(func(c *invocation, m *wire.Map) (report, error) {
			return reportSlots(m), nil
		}),
	}.build()
}

// dealFlags say which slots go where.
type dealFlags struct {
	even, force, healthy, wait bool
	from, to                   string
	count                      int
}

// plan works out what to deal. Regions that do not answer are given nothing.
func (f *dealFlags) plan(m *wire.Map, answers map[wire.RegionID]bool) ([]operator.SlotDeal, error) {
	given := 0
	for _, b := range []bool{f.even, f.from != "", f.to != ""} {
		if b {
			given++
		}
	}
	if given != 1 || f.count < 0 || f.count > 0 && f.to == "" {
		return nil, errors.New("give one of --even, --from REGION, and --to REGION with --count N")
	}
	var others []wire.RegionID
	for _, r := range m.Regions {
		if answers[r.ID] && r.ID != wire.RegionID(f.from) && r.ID != wire.RegionID(f.to) {
			others = append(others, r.ID)
		}
	}
	switch {
	case f.even:
		return operator.PlanSlots(m, others, "")
	case f.from != "":
		if _, ok := m.RegionByID(wire.RegionID(f.from)); !ok {
			return nil, fmt.Errorf("--from: no region %q on the map", f.from)
		}
		lost := wire.RegionID("")
		if f.force {
			lost = wire.RegionID(f.from)
		}
		plan, err := operator.PlanSlots(m, others, lost)
		return forced(m, f, plan), err
	}
	if _, ok := m.RegionByID(wire.RegionID(f.to)); ok && !answers[wire.RegionID(f.to)] {
		return nil, fmt.Errorf("--to: region %s does not answer: it is given nothing", f.to)
	}
	all, err := operator.PlanSlots(m, append(others, wire.RegionID(f.to)), "")
	for _, d := range all {
		if d.To == wire.RegionID(f.to) {
			if f.count > 0 && f.count < len(d.Slots) {
				d.Slots = d.Slots[:f.count]
			}
			return []operator.SlotDeal{d}, err
		}
	}
	return nil, err
}

// forced adds, with --force, the slots that are on their way from the lost region already.
func forced(m *wire.Map, f *dealFlags, plan []operator.SlotDeal) []operator.SlotDeal {
	if !f.force {
		return plan
	}
	for _, d := range m.SlotDeals {
		if from, _ := m.RegionByTag(d.From); string(from.ID) != f.from || d.Forced {
			continue
		}
		to := m.Anchor(d.Slot)
		i := slices.IndexFunc(plan, func(p operator.SlotDeal) bool { return p.To == to })
		if i < 0 {
			plan = append(plan, operator.SlotDeal{To: to})
			i = len(plan) - 1
		}
		plan[i].Slots = append(plan[i].Slots, d.Slot)
	}
	return plan
}

// dealReport is what `slots deal` says.
type dealReport struct {
	Done   bool                `json:"done"`
	Forced bool                `json:"forced"`
	Plan   []operator.SlotDeal `json:"plan"`
}

func (r dealReport) text(p *page) {
	if len(r.Plan) == 0 {
		p.printf("nothing to deal\n")
	}
	for _, d := range r.Plan {
		p.printf("%d slots %s to %s\n", len(d.Slots), either(r.Done, "go", "would go"), d.To)
	}
}

// left counts the slots that have not arrived by the map, which may be older than the deal.
func (r dealReport) left(m *wire.Map) (n int) {
	for _, d := range r.Plan {
		for _, s := range d.Slots {
			if deal, moving := m.SlotDeal(s); m.Anchor(s) != d.To || moving && !deal.Granted {
				n++
			}
		}
	}
	return n
}

func newSlotsDealCommand() *cobra.Command {
	var deal dealFlags
	return command{
		use:   "deal --even | --from REGION [--force] | --to REGION [--count N]",
		short: "Reassign anchor slots to other regions",
		long: `Reassign anchor slots to other regions: evenly over all that have nodes, away from one, or
to one. As few as can be change hands. The new holder takes over what the old one knows; until it
has, a moment for each slot, codes of that slot that nobody claimed are answered 503.

--force takes the slots of a region that is lost, without it, after two minutes. Verdicts and
idempotency keys of codes that nobody claimed, which only the lost region knew, are missing until it
is back; see "slots show" and "slots write-off". A region that answers is not lost: it keeps them,
unless --even-if-healthy. A region that does not answer is given nothing.`,
		example: `  staffetta admin slots deal --dir DIR --even --dry-run
  staffetta admin slots deal --dir DIR --from sicilia --force`,
		dry: dryDo,
		flags: func(f *flagSet) {
			f.BoolVar(&deal.even, "even", false, "evenly over all regions that have nodes")
			f.StringVar(&deal.from, "from", "", "all slots of this region, to the others")
			f.StringVar(&deal.to, "to", "", "an even share to this region")
			f.IntVar(&deal.count, "count", 0, "with --to: the most slots to reassign")
			f.BoolVar(&deal.force, "force", false, "with --from: the region is lost")
			f.healthy(&deal.healthy)
			f.BoolVar(&deal.wait, "wait", false, "return when the slots have arrived")
		},
		bound: within(unbounded),
		ask: withMap(func(c *invocation, m *wire.Map) (report, error) {
			answers := c.op.Answering(c.ctx, m)
			for _, region := range m.Regions {
				if !answers[region.ID] {
					c.tell("region %s does not answer: it is given nothing\n", region.ID)
				}
			}
			plan, err := deal.plan(m, answers)
			if err != nil {
				return nil, err
			}
			r := dealReport{Done: !c.dry, Forced: deal.force, Plan: plan}
			return r, deal.carryOut(c, r)
		}),
	}.build()
}

// healthy adds the flag that has a command for lost regions done to one that answers.
func (f *flagSet) healthy(healthy *bool) {
	f.BoolVar(healthy, "even-if-healthy", false, "though the region answers, which is "+
		"refused otherwise")
}

func (f *dealFlags) carryOut(c *invocation, r dealReport) error {
	force := operator.Force{Take: f.force, Healthy: f.healthy}
	err := operator.Each(r.Plan, func(d operator.SlotDeal) error {
		if err := c.op.DealSlots(c.ctx, d, force); err != nil {
			return fmt.Errorf("to %s: %w", d.To, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if r.Forced {
		c.tell("the slots are taken over after %s\n", wire.SlotForceWait)
	}
	if !f.wait || c.dry {
		return nil
	}
	return await(c, func() (string, bool, error) {
		m, err := c.op.Map(c.ctx)
		if err != nil {
			return "", false, err
		}
		if left := r.left(m); left > 0 {
			return fmt.Sprintf("%d slots are on their way", left), false, nil
		}
		return "", true, nil
	})
}

// writtenOff is what `slots write-off` says.
type writtenOff struct {
	Done  bool `json:"done"`
	Slots int  `json:"slots"`
	from  string
}

func (w writtenOff) text(p *page) {
	if w.Slots == 0 {
		p.printf("nothing to do: no slot waits for what %s knew\n", w.from)
		return
	}
	p.printf("what %s knew about %d slots %s up\n", w.from, w.Slots,
		either(w.Done, "given", "would be given"))
}

func newSlotsWriteOffCommand() *cobra.Command {
	var (
		from    string
		healthy bool
	)
	return command{
		use:   "write-off --from REGION",
		short: "Write off what a lost region knew about slots that were taken from it by force",
		dry:   dryDo,
		flags: func(f *flagSet) {
			f.need(&from, "from", "the lost region")
			f.healthy(&healthy)
		},
		bound: within(unbounded),
		ask: func(c *invocation) (report, error) {
			m, r, err := c.onMap("from", from)
			if err != nil {
				return nil, err
			}
			n, err := c.op.WriteOffSlots(c.ctx, m, r.ID, healthy)
			return writtenOff{!c.dry, n, from}, err
		},
	}.build()
}
