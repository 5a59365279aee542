package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

// slotsLook is how often --wait looks at the map.
const slotsLook = time.Second

func newSlotsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "slots",
		Short: "Show and deal the anchor slots, which say who decides about codes that nobody claimed",
	}
	cmd.AddCommand(newSlotsShowCommand(), newSlotsDealCommand(), newSlotsWriteOffCommand())
	return cmd
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

func (r slotsReport) text(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "region\tslots")
	for _, region := range r.Regions {
		fmt.Fprintf(w, "%s\t%d\n", region.Region, region.Slots)
	}
	for _, k := range r.Moving {
		what := "on their way"
		switch {
		case k.Granted:
			what = "taken by force; what the old holder knew is missing until it is back"
		case k.Forced:
			what = fmt.Sprintf("taken by force %s after that", wire.SlotForceWait)
		}
		fmt.Fprintf(w, "%s to %s\t%d\t%s, since %s\n", k.From, k.To, k.Slots, what, k.Since)
	}
	return w.Flush()
}

func newSlotsShowCommand() *cobra.Command {
	var (
		flags  operatorFlags
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show which region holds how many anchor slots, and which are on their way",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withMap(cmd.Context(), &flags,
				func(_ context.Context, _ *operator.Client, m *wire.Map) error {
					r := reportSlots(m)
					return cli.PrintReport(cmd.OutOrStdout(), asJSON, r, r.text)
				})
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// withMap calls f with a client and the federation's map.
func withMap(ctx context.Context, flags *operatorFlags,
	f func(context.Context, *operator.Client, *wire.Map) error) error {
	op, err := flags.client()
	if err != nil {
		return err
	}
	defer op.Close()
	looking, cancel := context.WithTimeout(ctx, adminWait)
	defer cancel()
	m, err := op.Map(looking)
	if err != nil {
		return fmt.Errorf("the federation's map: %w", err)
	}
	return f(ctx, op, m)
}

// dealFlags say which slots go where.
type dealFlags struct {
	even, force, healthy bool
	from, to             string
	count                int
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

func (r dealReport) text(out io.Writer) error {
	if len(r.Plan) == 0 {
		_, err := fmt.Fprintln(out, "nothing to deal")
		return err
	}
	verb := "would go"
	if r.Done {
		verb = "go"
	}
	for _, d := range r.Plan {
		if _, err := fmt.Fprintf(out, "%d slots %s to %s\n", len(d.Slots), verb, d.To); err != nil {
			return err
		}
	}
	return nil
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
	var (
		flags                operatorFlags
		deal                 dealFlags
		asJSON, dryRun, wait bool
	)
	cmd := &cobra.Command{
		Use:   "deal --even | --from REGION [--force] | --to REGION [--count N]",
		Short: "Deal anchor slots to other regions",
		Long: `Deal anchor slots to other regions: evenly over all that have nodes, away from one, or
to one. As few as can be change hands. The new holder takes over what the old one knows; until it
has, a moment for each slot, codes of that slot that nobody claimed are answered 503.

--force takes the slots of a region that is lost, without it, after two minutes. Verdicts and
idempotency keys of codes that nobody claimed, which only the lost region knew, are missing until it
is back; see "slots show" and "slots write-off". A region that answers is not lost: it keeps them,
unless --even-if-healthy. A region that does not answer is given nothing.`,
		Example: `  staffetta admin slots deal --dir DIR --even --dry-run
  staffetta admin slots deal --dir DIR --from sicilia --force`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withMap(cmd.Context(), &flags,
				func(ctx context.Context, op *operator.Client, m *wire.Map) error {
					answers := op.Answering(ctx, m)
					for _, region := range m.Regions {
						if !answers[region.ID] {
							fmt.Fprintf(cmd.ErrOrStderr(), "region %s does not answer: it is given nothing\n",
								region.ID)
						}
					}
					plan, err := deal.plan(m, answers)
					if err != nil {
						return err
					}
					r := dealReport{Done: !dryRun, Forced: deal.force, Plan: plan}
					if dryRun {
						ctx = operator.Rehearse(ctx)
					}
					force := operator.Force{Take: deal.force, Healthy: deal.healthy}
					if err := dealAll(ctx, cmd.ErrOrStderr(), op, r, force, wait && !dryRun); err != nil {
						return err
					}
					return cli.PrintReport(cmd.OutOrStdout(), asJSON, r, r.text)
				})
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&deal.even, "even", false, "evenly over all regions that have nodes")
	cmd.Flags().StringVar(&deal.from, "from", "", "all slots of this region, to the others")
	cmd.Flags().StringVar(&deal.to, "to", "", "an even share to this region")
	cmd.Flags().IntVar(&deal.count, "count", 0, "with --to: at most so many slots")
	cmd.Flags().BoolVar(&deal.force, "force", false, "with --from: the region is lost")
	registerHealthy(cmd, &deal.healthy)
	cmd.Flags().BoolVar(&wait, "wait", false, "return when the slots have arrived")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be done")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// registerHealthy adds the flag that has a command for lost regions done to one that answers.
func registerHealthy(cmd *cobra.Command, healthy *bool) {
	cmd.Flags().BoolVar(healthy, "even-if-healthy", false, "though the region answers, which is "+
		"refused otherwise")
}

func dealAll(ctx context.Context, progress io.Writer, op *operator.Client, r dealReport,
	force operator.Force, wait bool) error {
	if r.Forced {
		fmt.Fprintf(progress, "the slots are taken over after %s\n", wire.SlotForceWait)
	}
	err := operator.Each(r.Plan, func(d operator.SlotDeal) error {
		if err := op.DealSlots(ctx, d, force); err != nil {
			return fmt.Errorf("deal slots to %s: %w", d.To, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for wait {
		m, err := op.Map(ctx)
		if err != nil {
			return err
		}
		left := r.left(m)
		if left == 0 {
			return nil
		}
		fmt.Fprintf(progress, "%d slots are on their way\n", left)
		select {
		case <-time.After(slotsLook):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func newSlotsWriteOffCommand() *cobra.Command {
	var (
		flags          operatorFlags
		from           string
		asJSON, dryRun bool
		healthy        bool
	)
	cmd := &cobra.Command{
		Use:   "write-off --from REGION",
		Short: "Give up what a lost region knew about slots that were taken from it by force",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withMap(cmd.Context(), &flags,
				func(ctx context.Context, op *operator.Client, m *wire.Map) error {
					if _, ok := m.RegionByID(wire.RegionID(from)); !ok {
						return fmt.Errorf("--from: no region %q on the map", from)
					}
					if dryRun {
						ctx = operator.Rehearse(ctx)
					}
					n, err := op.WriteOffSlots(ctx, m, wire.RegionID(from), healthy)
					if err != nil {
						return err
					}
					report := struct {
						Done  bool `json:"done"`
						Slots int  `json:"slots"`
					}{!dryRun, n}
					return cli.PrintReport(cmd.OutOrStdout(), asJSON, report, func(out io.Writer) error {
						verb := map[bool]string{false: "given", true: "would be given"}[dryRun]
						_, err := fmt.Fprintf(out, "what %s knew about %d slots %s up\n", from, n, verb)
						return err
					})
				})
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&from, "from", "", "the lost region")
	registerHealthy(cmd, &healthy)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be done")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.MarkFlagRequired("from")
	return cmd
}
