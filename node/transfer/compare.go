package transfer

import (
	"bytes"
	"context"

	"github.com/staffetta/staffetta/node/federation"
	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
)

// comparePage is how many codes are read at once to be compared.
const comparePage = 4096

// Reconcile compares a restored region's codes with the directory, on its leader, and returns when
// the region may serve. What another leader had compared stays compared.
func (t *Transfer) Reconcile(ctx context.Context) error {
	if err := t.RegionGroup.Read(ctx); err != nil {
		return err
	}
	if t.Region.Reconciled() {
		return nil
	}
	own := t.Region.Incarnation()
	m := t.Map()
	if r, ok := m.RegionByID(t.RegionID); !ok || r.Incarnation != own {
		return wire.Errorf(wire.NotReady, "the map does not know incarnation %d yet", own)
	}
	// From the fence on nothing that an earlier incarnation says reaches the directory, so that
	// a replica that has applied the fence shows all that it ever said.
	awaited, err := t.Federation.Awaited()
	if err != nil {
		return err
	}
	if len(awaited) > 0 {
		return wire.Errorf(wire.NotReady, "the directory waits for the report of region %s", awaited[0])
	}
	if err := t.reconcileSlots(ctx, m); err != nil {
		return err
	}
	last, _ := t.Region.RestoreProgress()
	c := &comparison{Seat: t.Seat, m: m, page: wire.Reconcile{Incarnation: own, Last: last}}
	if err := c.run(ctx); err != nil {
		return err
	}
	_, r := t.Region.RestoreProgress()
	t.Log.Info("the restored region serves", "incarnation", own, "agreed", r.Counts.Agreed,
		"released", r.Counts.Released, "raised", r.Counts.Raised, "lost", r.Counts.Lost,
		"ahead", r.Counts.Ahead, "lost_after_index", r.Index, "lost_after", r.Time.String())
	return nil
}

// reconcileSlots gives up the anchor slots that were dealt to others since, and takes up those
// that were dealt to here. What the region knew of unclaimed codes of the latter is lost.
func (t *Transfer) reconcileSlots(ctx context.Context, m *wire.Map) error {
	granted := map[uint64][]wire.Slot{}
	for s := range wire.Slot(wire.Slots) {
		epoch, held := t.Region.SlotAt(s)
		_, moving := m.SlotDeal(s)
		switch ours := m.Anchor(s) == t.RegionID; {
		case held && !ours && epoch < m.SlotEpoch(s):
			err := t.RegionQueue.Do(ctx, wire.CmdFenceSlot,
				&wire.FenceSlot{Slot: s, Epoch: m.SlotEpoch(s)}, nil)
			if err != nil {
				return err
			}
		case ours && !moving && epoch < m.SlotEpoch(s):
			granted[m.SlotEpoch(s)] = append(granted[m.SlotEpoch(s)], s)
		}
	}
	for epoch, slots := range granted {
		err := t.RegionQueue.Do(ctx, wire.CmdGrantSlots,
			&wire.GrantSlots{SlotEpoch: epoch, Slots: slots}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// comparison goes through the directory and the region's log side by side, in order of the codes.
type comparison struct {
	*seat.Seat
	m    *wire.Map
	page wire.Reconcile

	directory []federation.DirectoryItem
	owners    []region.Owner
	// Where the next page of each begins; done when there is none.
	directoryFrom, ownersFrom wire.Recipient
	directoryDone, ownersDone bool
}

func (c *comparison) run(ctx context.Context) error {
	from, ok := c.page.Last.Next()
	if c.page.Last.IsZero() {
		from, ok = wire.Recipient{}, true
	}
	c.directoryFrom, c.ownersFrom = from, from
	c.directoryDone, c.ownersDone = !ok, !ok
	for compared := 0; ; compared++ {
		if err := c.fill(); err != nil {
			return err
		}
		if len(c.directory) == 0 && len(c.owners) == 0 {
			c.page.Done = true
			return c.log(ctx)
		}
		c.one()
		// Also without a difference, so that another leader need not begin anew.
		if len(c.page.List) == wire.ReconcileMax || compared%(64*comparePage) == 64*comparePage-1 {
			if err := c.log(ctx); err != nil {
				return err
			}
		}
	}
}

func (c *comparison) fill() (err error) {
	if len(c.directory) == 0 && !c.directoryDone {
		c.directory, err = c.Federation.Entries(c.directoryFrom, comparePage)
		if err != nil {
			return err
		}
		if c.directoryDone = len(c.directory) < comparePage; !c.directoryDone {
			c.directoryFrom, c.directoryDone = after(c.directory[comparePage-1].Recipient)
		}
	}
	if len(c.owners) == 0 && !c.ownersDone {
		if c.owners, err = c.Region.Owners(c.ownersFrom, comparePage); err != nil {
			return err
		}
		if c.ownersDone = len(c.owners) < comparePage; !c.ownersDone {
			c.ownersFrom, c.ownersDone = after(c.owners[comparePage-1].Recipient)
		}
	}
	return nil
}

// after is the next code in order, and whether there is none.
func after(r wire.Recipient) (wire.Recipient, bool) {
	next, ok := r.Next()
	return next, !ok
}

// one compares the next code.
func (c *comparison) one() {
	var d wire.DirectoryEntry
	var o region.Owner
	order := 0
	switch {
	case len(c.directory) == 0:
		order = 1
	case len(c.owners) == 0:
		order = -1
	default:
		order = bytes.Compare(c.directory[0].Recipient[:], c.owners[0].Recipient[:])
	}
	if order <= 0 {
		c.page.Last, d = c.directory[0].Recipient, c.directory[0].DirectoryEntry
		c.directory = c.directory[1:]
	}
	if order >= 0 {
		c.page.Last, o = c.owners[0].Recipient, c.owners[0]
		c.owners = c.owners[1:]
	}
	c.judge(c.page.Last, d, o)
}

// judge says what the region has to learn of one code.
func (c *comparison) judge(r wire.Recipient, d wire.DirectoryEntry, o region.Owner) {
	self := c.RegionID
	k := wire.Standing{Recipient: r, Region: d.Region, Epoch: d.Epoch}
	if d.State == wire.Moving && d.Region == self {
		k.Region, k.Epoch, k.Leaving = d.To, d.Epoch+1, true
	}
	known := o.State == wire.Owned || o.State == wire.Released
	counts := &c.page.Counts
	switch {
	case d.State == wire.Unclaimed || known && o.Epoch > k.Epoch:
		if o.State == wire.Owned {
			counts.Ahead++ // its own driver, or its report, tells the directory
		}
		return
	case k.Agrees(o.Ownership, self):
		if o.State == wire.Owned {
			counts.Agreed++
		}
		return
	case k.Region == self && o.State == wire.Owned:
		counts.Raised++
	case k.Region == self && o.State == wire.Claiming && k.Epoch == 1:
		return // the claim goes on by itself
	case k.Region == self, k.Leaving && !known:
		counts.Lost++ // had come here after the copy was made, and may be on its way on
	case o.State == wire.Owned:
		counts.Released++
	case !known && o.State != wire.Claiming && !c.anchored(r.Slot()):
		return // never this region's concern
	}
	c.page.List = append(c.page.List, k)
}

// anchored reports whether the region has to know who owns codes of a slot: it holds it, or is to
// hand over what it knows of it.
func (c *comparison) anchored(s wire.Slot) bool {
	deal, moving := c.m.SlotDeal(s)
	from, _ := c.m.RegionByTag(deal.From)
	return c.m.Anchor(s) == c.RegionID || moving && from.ID == c.RegionID
}

// log logs what was found.
func (c *comparison) log(ctx context.Context) error {
	err := c.RegionQueue.Do(ctx, wire.CmdReconcile, &c.page, nil)
	c.page.List, c.page.Counts = nil, wire.ReconcileCounts{}
	return err
}
