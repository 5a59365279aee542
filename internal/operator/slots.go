package operator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
	"golang.org/x/sync/errgroup"
)

// SlotDeal is a part of a plan: slots that go to one region.
type SlotDeal struct {
	To    wire.RegionID `json:"to"`
	Slots []wire.Slot   `json:"slots"`
}

// PlanSlots deals the anchor slots evenly over the regions given, moving as few as can be: those of
// other regions, and what regions have too much of. Slots on their way stay out of it, but those to
// a region that is lost. Regions without nodes can hold none.
func PlanSlots(m *wire.Map, over []wire.RegionID, lost wire.RegionID) ([]SlotDeal, error) {
	if len(over) == 0 {
		return nil, fmt.Errorf("no region to deal slots to")
	}
	has := map[wire.RegionID][]wire.Slot{}
	for s := range wire.Slot(wire.Slots) {
		has[m.Anchor(s)] = append(has[m.Anchor(s)], s)
	}
	over = slices.Clone(over)
	slices.SortFunc(over, func(a, b wire.RegionID) int { // who has most keeps the odd ones
		return len(has[b]) - len(has[a])
	})
	share := map[wire.RegionID]int{}
	for i, r := range over {
		if !slices.ContainsFunc(m.Nodes, func(n wire.Node) bool { return n.Region == r }) {
			return nil, fmt.Errorf("region %q has no nodes, or is not on the map", r)
		}
		share[r] = wire.Slots / len(over)
		if i < wire.Slots%len(over) {
			share[r]++
		}
	}
	var free []wire.Slot
	for _, r := range m.Regions {
		surplus := len(has[r.ID]) - share[r.ID]
		for _, s := range slices.Backward(has[r.ID]) {
			if _, moving := m.SlotDeal(s); surplus > 0 && (!moving || r.ID == lost) {
				free = append(free, s)
				surplus--
			}
		}
	}
	var plan []SlotDeal
	for _, r := range over {
		if need := min(share[r]-len(has[r]), len(free)); need > 0 {
			plan = append(plan, SlotDeal{To: r, Slots: free[:need:need]})
			free = free[need:]
		}
	}
	return plan, nil
}

// Force says how far to go with a region that is lost.
type Force struct {
	Take    bool // without it
	Healthy bool // though it answers
}

// DealSlots gives slots to a region; see wire.DealSlots.
func (c *Client) DealSlots(ctx context.Context, d SlotDeal, f Force) error {
	return c.call(ctx, wire.MethodDealSlots, &wire.DealSlots{Slots: d.Slots, To: d.To,
		Force: f.Take, Healthy: f.Healthy})
}

// Answering are the regions whose leaders answer now.
func (c *Client) Answering(ctx context.Context, m *wire.Map) map[wire.RegionID]bool {
	ctx, cancel := context.WithTimeout(ctx, answeringWait)
	defer cancel()
	answers := make([]bool, len(m.Regions))
	var g errgroup.Group
	g.SetLimit(nodesAtOnce)
	for i := range m.Regions {
		g.Go(func() error {
			_, err := c.Members(ctx, link.RegionGroup(m.Regions[i].ID))
			answers[i] = err == nil
			return nil
		})
	}
	g.Wait() // nothing fails
	got := map[wire.RegionID]bool{}
	for i := range m.Regions {
		got[m.Regions[i].ID] = answers[i]
	}
	return got
}

// answeringWait is how long a region has to answer before a plan does without it.
const answeringWait = 4 * time.Second

// WriteOffSlots ends the wait for what a lost region knew about slots that were taken from it by
// force, and returns how many.
func (c *Client) WriteOffSlots(ctx context.Context, m *wire.Map, from wire.RegionID,
	healthy bool) (int, error) {
	lost, ok := m.RegionByID(from)
	if !ok {
		return 0, fmt.Errorf("no region %q on the map", from)
	}
	by := map[wire.RegionID]*wire.SettleSlots{}
	n := 0
	for _, d := range m.SlotDeals {
		if d.From != lost.Tag || !d.Granted {
			continue
		}
		to := m.Anchor(d.Slot)
		if by[to] == nil {
			by[to] = &wire.SettleSlots{Region: to, Healthy: healthy}
		}
		by[to].Slots = append(by[to].Slots, d.Slot)
		by[to].Epochs = append(by[to].Epochs, m.SlotEpoch(d.Slot))
		n++
	}
	err := Each(slices.Collect(maps.Values(by)), func(s *wire.SettleSlots) error {
		return c.call(ctx, wire.MethodSettleSlots, s)
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}
