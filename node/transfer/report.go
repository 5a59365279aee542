package transfer

import (
	"context"
	"time"

	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// reportPeriod is how often a leader looks whether its region has to report.
const reportPeriod = 2 * time.Second

// ReportOwnership tells a restored federation what this region's log says, once, on its leader.
func (t *Transfer) ReportOwnership(ctx context.Context) error {
	tick := time.NewTicker(reportPeriod)
	defer tick.Stop()
	for {
		if err := t.report(ctx); err != nil && ctx.Err() == nil && !wire.Retriable(err) {
			t.Log.Warn("the report to the restored federation waits", "reason", err.Error())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (t *Transfer) report(ctx context.Context) error {
	if due, err := t.Federation.Unreported(t.RegionID); err != nil || !due {
		return err
	}
	if err := t.RegionGroup.Read(ctx); err != nil {
		return err
	}
	page := wire.OwnershipReport{Region: t.RegionID, Incarnation: t.Federation.Incarnation(),
		RegionIncarnation: t.Region.Incarnation()}
	for s := range wire.Slot(wire.Slots) {
		if epoch, held := t.Region.SlotAt(s); held {
			page.Slots, page.Epochs = append(page.Slots, s), append(page.Epochs, epoch)
		}
	}
	for from, more := (wire.Recipient{}), true; more; {
		owners, err := t.Region.Owners(from, wire.ReconcileMax)
		if err != nil {
			return err
		}
		if more = len(owners) == wire.ReconcileMax; more {
			from, more = owners[len(owners)-1].Recipient.Next()
		}
		page.Done = !more
		page.List = standings(owners, t.RegionID)
		if err := t.sendReport(ctx, &page); err != nil {
			return err
		}
		page.Slots, page.Epochs = nil, nil
	}
	t.Log.Info("the region's codes were reported to the restored federation", "incarnation",
		page.Incarnation)
	return nil
}

func (t *Transfer) sendReport(ctx context.Context, page *wire.OwnershipReport) error {
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	return t.CallFederation(ctx, wire.MethodReport, page, nil)
}

// standings are what a region's log says of codes that are settled: a claim under way, and a move
// whose end is not known, go on by themselves.
func standings(owners []region.Owner, self wire.RegionID) (list []wire.Standing) {
	for _, o := range owners {
		k := wire.Standing{Recipient: o.Recipient, Region: o.Region, Epoch: o.Epoch}
		switch {
		case o.State == wire.Owned:
			k.Region, k.Active = self, o.Active
		case o.State != wire.Released:
			continue
		case o.Leaving: // not given up for good: it was this region's at the epoch before
			k.Region, k.Epoch = self, o.Epoch-1
		}
		list = append(list, k)
	}
	return list
}

// reportCalls are the calls about reports to a restored federation.
func (t *Transfer) reportCalls() []seat.Call {
	return []seat.Call{
		seat.Answers(t.Seat, wire.MethodWaiveReport, seat.Operators(link.RightOperator, seat.Of(
			func(f *wire.WaiveReport) wire.RegionID { return f.Region })),
			seat.FederationLeads, t.waiveReport).When(seat.Always[wire.WaiveReport]()),
		seat.Answers(t.Seat, wire.MethodReport, seat.Only(link.RoleNode), seat.FederationLeads,
			t.takeReport),
	}
}

// waiveReport answers MethodWaiveReport.
func (t *Transfer) waiveReport(ctx context.Context, from link.Identity, f *wire.WaiveReport) (
	*seat.None, error) {
	if err := t.CheckLost("restore waive", f.Region, f.Healthy); err != nil {
		return nil, err
	}
	f.Healthy = false // it is said to this process
	_, err := t.Administrate(ctx, from, "restore waive", wire.CmdWaiveReport, f)
	return nil, err
}

// takeReport answers MethodReport. A node speaks for its own region only.
func (t *Transfer) takeReport(ctx context.Context, from link.Identity, r *wire.OwnershipReport) (
	*seat.None, error) {
	if r.Region != from.Region {
		return nil, wire.Errorf(wire.Forbidden, "a node speaks for its own region only")
	}
	return nil, t.FederationQueue.Do(ctx, wire.CmdReport, r, nil)
}
