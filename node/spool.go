package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// spoolCallsMax bounds the blocks that gateways are bringing to the spool at a time; they are in
// memory until they are logged, 64 KiB each as a rule. Beyond it: Overloaded.
const spoolCallsMax = 64

// SpoolConfig bounds what the region keeps for regions that are away. The bounds stop admission
// only: what was acknowledged stays until its owner has it.
type SpoolConfig struct {
	// Bytes that sealed blocks may take; default 1 GiB.
	Bytes uint64
	// Age at which an owner's oldest block stops further ones; default 7 days.
	Age time.Duration
	// KeyAge is the age at which the region makes a new key pair; default 90 days.
	KeyAge time.Duration
}

func (c *SpoolConfig) setDefaults() {
	if c.Bytes == 0 {
		c.Bytes = 1 << 30
	}
	if c.Age == 0 {
		c.Age = 7 * 24 * time.Hour
	}
	if c.KeyAge == 0 {
		c.KeyAge = 90 * 24 * time.Hour
	}
}

func (c *SpoolConfig) validate() error {
	switch {
	case c.Bytes < wire.SealedBytesMax:
		return fmt.Errorf("spool of %d bytes, at least %d needed", c.Bytes, wire.SealedBytesMax)
	case c.Age < time.Minute:
		return fmt.Errorf("spool age %s, at least a minute needed", c.Age)
	case c.KeyAge < time.Hour:
		return fmt.Errorf("region key age %s, at least an hour needed", c.KeyAge)
	}
	return nil
}

// spool keeps sealed blocks for regions that are away and brings them there, and holds the
// region's own keys. Its methods may be called concurrently.
type spool struct {
	// Set at construction.
	n      *Node
	taking chan struct{} // holds one token per block that is being taken
	// counting is held for reading from the look at the map until a block is logged.
	counting sync.RWMutex
	stats    *spoolStats

	// Guarded by mu.
	mu     sync.Mutex
	keys   map[uint32]*wire.RegionPrivateKey // parsed
	owners map[wire.RegionID]*link.Group
	stuck  map[uint64]stuck // blocks that could not be relayed, by number
}

func newSpool(n *Node) *spool {
	s := &spool{n: n, taking: make(chan struct{}, spoolCallsMax),
		keys:   make(map[uint32]*wire.RegionPrivateKey),
		owners: make(map[wire.RegionID]*link.Group), stuck: make(map[uint64]stuck)}
	s.stats = newSpoolStats(s)
	return s
}

// spoolCalls are the calls of the spool.
func (n *Node) spoolCalls() []seat.Call {
	nodes, gateways := seat.Only(link.RoleNode), seat.Only(link.RoleGateway)
	return []seat.Call{
		seat.Answers(n.Seat, wire.MethodSpool, gateways, seat.RegionLeads, n.keepSpooled),
		seat.Answers(n.Seat, wire.MethodRelay, nodes, seat.RegionDecides, n.takeRelayed),
		seat.Answers(n.Seat, wire.MethodProbeRegion, seat.Only(link.RoleNode, link.RoleGateway),
			seat.RegionDecides,
			n.probed),
		seat.Answers(n.Seat, wire.MethodFindSpooled, seat.Only(link.RoleGateway, link.RoleNode).Or(
			link.RightObserver, seat.Here), seat.RegionShows, n.findSpooled),
		seat.Answers(n.Seat, wire.MethodCountSpooled, nodes.Or(link.RightObserver, seat.Here),
			seat.RegionShows,
			n.countSpooled),
		seat.Answers(n.Seat, wire.MethodDiscardSpooled, seat.Operators(link.RightOperator,
			seat.Here), seat.RegionDecides, n.discardSpooled).ByOne("it looks the approval of the order up"),
		seat.Answers(n.Seat, wire.MethodRotateRegionKey,
			seat.Operators(link.RightOperator, seat.Here), seat.RegionLeads,
			n.rotateRegionKey).ByOne(seat.Urgent),
		seat.Answers(n.Seat, wire.MethodPublishRegionKey, nodes.Or(link.RightOperator, seat.Asked(
			func(_ *wire.Map, p *wire.PublishRegionKey) []wire.RegionID {
				return seat.Just(
					p.Region)
			})), seat.FederationLeads, n.publishRegionKey).ByOne(seat.Urgent),
	}
}

// keepSpooled answers MethodSpool. On return with records that are THROTTLED, the sealed block is
// fsynced on a majority of this region's voters.
func (n *Node) keepSpooled(ctx context.Context, from link.Identity, b *wire.SpoolBlock) (
	*wire.Spooled, error) {
	select {
	case n.spool.taking <- struct{}{}:
		defer func() { <-n.spool.taking }()
	default:
		return nil, wire.Errorf(wire.Overloaded, "%d blocks are being spooled", spoolCallsMax)
	}
	now, err := n.RegionTime(ctx)
	if err != nil {
		return nil, err
	}
	n.spool.counting.RLock()
	defer n.spool.counting.RUnlock()
	if err := n.mayKeep(from, b); err != nil {
		return nil, err
	}
	outcomes, err := n.Seat.Region.AdmitSpool(b.Stubs, now)
	if err != nil {
		return nil, err
	}
	if answer := plantedSpool(b); answer != nil {
		return answer, nil
	}
	answer := wire.Spooled{Outcomes: outcomes}
	if outcomes == nil {
		m := wire.Spool{Block: *b, BytesMax: n.cfg.Spool.Bytes,
			OldestAfter: now.Add(-n.cfg.Spool.Age)}
		if err := n.RegionQueue.Do(ctx, wire.CmdSpool, &m, &answer); err != nil {
			return nil, err
		}
		n.spool.stats.took(&answer)
	}
	return &answer, nil
}

// repeats reports whether two stubs are of one message. They would be one row, and the idempotency
// key of one of them would outlive it.
func repeats(stubs []wire.Record) bool {
	type message struct {
		to wire.Recipient
		id wire.MessageID
	}
	seen := make(map[message]bool, len(stubs))
	for i := range stubs {
		m := message{stubs[i].Recipient, stubs[i].ID}
		if seen[m] {
			return true
		}
		seen[m] = true
	}
	return false
}

// mayKeep checks a block that a gateway wants to have spooled.
func (n *Node) mayKeep(from link.Identity, b *wire.SpoolBlock) error {
	if err := b.Validate(); err != nil {
		return err
	}
	view := n.Map()
	owner, known := view.RegionByID(b.Sealed.Owner)
	self, _ := view.RegionByID(n.RegionID)
	switch {
	case b.Sealed.Home != n.RegionID || from.Region != n.RegionID:
		return wire.Errorf(wire.Forbidden, "a gateway spools in its home region only")
	case b.Sealed.Owner == n.RegionID:
		return wire.Malformedf("a region spools nothing for itself")
	case !known || owner.Closing: // whoever believes that it owns a code asks again
		return wire.Errorf(wire.Moved, "region %q owns no code", b.Sealed.Owner)
	}
	for i := range b.Stubs {
		if tag := b.Stubs[i].ID.Tag(); tag != self.Tag {
			return wire.Malformedf("an id with tag %d in the spool of region %s, where nobody "+
				"would look for it", tag, n.RegionID)
		}
	}
	if repeats(b.Stubs) {
		return wire.Malformedf("two records of a spooled block with one id")
	}
	return nil
}

// probed answers MethodProbeRegion: this node leads the region and can decide.
func (*Node) probed(context.Context, link.Identity, *seat.None) (*seat.None, error) {
	return nil,
		nil
}

// findSpooled answers MethodFindSpooled.
func (n *Node) findSpooled(_ context.Context, _ link.Identity, q *wire.FindMessage) (
	*wire.SpooledView, error) {
	return n.Seat.Region.FindSpooled(*q)
}

// countSpooled answers MethodCountSpooled, after a barrier.
func (n *Node) countSpooled(ctx context.Context, _ link.Identity, q *wire.CountSpooled) (
	*wire.SpoolStatus, error) {
	if m := n.Map(); m.Version < q.MapVersion {
		return nil, wire.Errorf(wire.NotReady, "version %d of the map is not here yet, it is %d",
			q.MapVersion, m.Version)
	}
	n.spool.counting.Lock() // what was taken on an older map is in the log now
	defer n.spool.counting.Unlock()
	if err := n.RegionGroup.Read(ctx); err != nil {
		return nil, err
	}
	totals, err := n.Seat.Region.SpoolTotals()
	if err != nil {
		return nil, err
	}
	sum := wire.SpoolStatus{Owner: q.Owner}
	for _, t := range totals {
		if q.Owner != "" && t.Owner != q.Owner {
			continue
		}
		sum.Blocks, sum.Records, sum.Bytes = sum.Blocks+t.Blocks, sum.Records+t.Records,
			sum.Bytes+t.Bytes
		if sum.Oldest == 0 || t.Oldest < sum.Oldest {
			sum.Oldest = t.Oldest
		}
	}
	return &sum, nil
}

// SpoolStatus says what waits in this region's spool, by owner, as this replica knows it.
func (n *Node) SpoolStatus() []wire.SpoolStatus {
	totals, err := n.Seat.Region.SpoolTotals()
	if err != nil {
		return nil // what is wrong with the database is said elsewhere
	}
	n.spool.countRefused(totals)
	return totals
}

// RegionSpoolCount counts the blocks that a region's removal would orphan: those sealed to it in
// any spool, and those of others in its own. Unavailable when a region cannot be asked, since
// then nobody knows. On a map on which the region is closing the count can only fall.
func (n *Node) RegionSpoolCount(ctx context.Context, region wire.RegionID) (blocks uint64,
	err error) {
	m := n.Map()
	for _, r := range m.Regions {
		if len(n.NodesOf(r.ID)) == 0 {
			continue // it has no spool
		}
		q := wire.CountSpooled{Owner: region, MapVersion: m.Version}
		if r.ID == region {
			q.Owner = ""
		}
		var sum wire.SpoolStatus
		err := n.CallRegion(ctx, r.ID, wire.MethodCountSpooled, &q, &sum)
		if err != nil {
			return 0, wire.Errorf(wire.Unavailable, "the spool of region %s cannot be counted: %s",
				r.ID, wire.AsError(err).Code)
		}
		blocks += sum.Blocks
	}
	return blocks, nil
}

// unspooled refuses the removal of a region for which, or in which, something waits.
func (n *Node) unspooled(ctx context.Context, region wire.RegionID) error {
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	blocks, err := n.RegionSpoolCount(ctx, region)
	if err == nil && blocks > 0 {
		err = wire.Errorf(wire.Conflict, "%d blocks wait in spools for region %s, or in its own: "+
			"they are relayed when the regions reach each other", blocks, region)
	}
	return err
}

// expireSpool removes stubs past their time; part of the leader's housekeeping.
func (n *Node) expireSpool(ctx context.Context, now wire.Time) error {
	for range expiriesBatch {
		e, due := n.Seat.Region.ExpireSpool(now)
		if !due {
			return nil
		}
		if err := n.RegionQueue.Do(ctx, wire.CmdSpoolExpire, &e, nil); err != nil {
			return err
		}
	}
	return nil
}
