package node

import (
	"context"
	"fmt"
	"sync"
	"time"

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

func (n *Node) handleSpool() {
	n.link.Handle(wire.MethodSpool, n.keepSpooled, link.RoleGateway)
	n.link.Handle(wire.MethodRelay, n.takeRelayed, link.RoleNode)
	n.link.Handle(wire.MethodProbeRegion, n.probed, link.RoleNode, link.RoleGateway)
	n.link.Handle(wire.MethodFindSpooled, n.findSpooled, link.RoleGateway, link.RoleNode,
		link.RoleOperator)
	n.link.Handle(wire.MethodCountSpooled, n.countSpooled, link.RoleNode, link.RoleOperator)
	n.link.Handle(wire.MethodDiscardSpooled, n.discardSpooled, link.RoleOperator)
	n.link.Handle(wire.MethodRotateRegionKey, n.rotateRegionKey, link.RoleOperator)
	n.link.Handle(wire.MethodPublishRegionKey, n.publishRegionKey, link.RoleNode,
		link.RoleOperator)
}

// keepSpooled answers MethodSpool. On return with records that are THROTTLED, the sealed block is
// fsynced on a majority of this region's voters.
func (n *Node) keepSpooled(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
	if err := n.mayPropose(); err != nil {
		return nil, err
	}
	select {
	case n.spool.taking <- struct{}{}:
		defer func() { <-n.spool.taking }()
	default:
		return nil, wire.Errorf(wire.Overloaded, "%d blocks are being spooled", spoolCallsMax)
	}
	now, err := n.regionTime(ctx)
	if err != nil {
		return nil, err
	}
	m := wire.Spool{BytesMax: n.cfg.Spool.Bytes, OldestAfter: now.Add(-n.cfg.Spool.Age)}
	if err := wire.Decode(req, &m.Block); err != nil {
		return nil, err
	}
	n.spool.counting.RLock()
	defer n.spool.counting.RUnlock()
	if err := n.mayKeep(from, &m.Block); err != nil {
		return nil, err
	}
	outcomes, err := n.region.AdmitSpool(m.Block.Stubs, now)
	if err != nil {
		return nil, err
	}
	if answer := plantedSpool(&m.Block); answer != nil {
		return answer, nil
	}
	answer := wire.Spooled{Outcomes: outcomes}
	if outcomes == nil {
		if err := n.regionQueue.do(ctx, wire.CmdSpool, &m, &answer); err != nil {
			return nil, err
		}
		n.spool.stats.took(&answer)
	}
	return wire.Encode(&answer), nil
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
	view := n.currentMap()
	owner, known := view.RegionByID(b.Sealed.Owner)
	self, _ := view.RegionByID(n.cfg.Region)
	switch {
	case b.Sealed.Home != n.cfg.Region || from.Region != n.cfg.Region:
		return wire.Errorf(wire.Forbidden, "a gateway spools in its home region only")
	case b.Sealed.Owner == n.cfg.Region:
		return wire.Malformedf("a region spools nothing for itself")
	case !known || owner.Closing: // whoever believes that it owns a code asks again
		return wire.Errorf(wire.Moved, "region %q owns no code", b.Sealed.Owner)
	}
	for i := range b.Stubs {
		if tag := b.Stubs[i].ID.Tag(); tag != self.Tag {
			return wire.Malformedf("an id with tag %d in the spool of region %s, where nobody "+
				"would look for it", tag, n.cfg.Region)
		}
	}
	if repeats(b.Stubs) {
		return wire.Malformedf("two records of a spooled block with one id")
	}
	return nil
}

// probed answers MethodProbeRegion: this node leads the region and can decide.
func (n *Node) probed(ctx context.Context, _ link.Identity, _ []byte) ([]byte, error) {
	if err := n.mayPropose(); err != nil {
		return nil, err
	}
	return nil, n.regionGroup.Read(ctx)
}

// findSpooled answers MethodFindSpooled, after a barrier.
func (n *Node) findSpooled(ctx context.Context, _ link.Identity, req []byte) ([]byte, error) {
	var q wire.FindMessage
	if err := wire.Decode(req, &q); err != nil {
		return nil, err
	}
	if err := n.mayShow(ctx); err != nil {
		return nil, err
	}
	v, err := n.region.FindSpooled(q)
	if err != nil {
		return nil, err
	}
	return wire.Encode(v), nil
}

// countSpooled answers MethodCountSpooled, after a barrier.
func (n *Node) countSpooled(ctx context.Context, _ link.Identity, req []byte) ([]byte, error) {
	var q wire.CountSpooled
	if err := wire.Decode(req, &q); err != nil {
		return nil, err
	}
	if m := n.currentMap(); m.Version < q.MapVersion {
		return nil, wire.Errorf(wire.NotReady, "version %d of the map is not here yet, it is %d",
			q.MapVersion, m.Version)
	}
	n.spool.counting.Lock() // what was taken on an older map is in the log now
	defer n.spool.counting.Unlock()
	if err := n.mayShow(ctx); err != nil {
		return nil, err
	}
	totals, err := n.region.SpoolTotals()
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
	return wire.Encode(&sum), nil
}

// SpoolStatus says what waits in this region's spool, by owner, as this replica knows it.
func (n *Node) SpoolStatus() []wire.SpoolStatus {
	totals, err := n.region.SpoolTotals()
	if err != nil {
		return nil // what is wrong with the database is said elsewhere
	}
	n.spool.countRefused(totals)
	return totals
}

// RegionSpoolCount counts the blocks that a region's removal would orphan: those sealed to it in
// any spool, and those of others in its own. Unavailable when a region can not be asked, since
// then nobody knows. On a map on which the region is closing the count can only fall.
func (n *Node) RegionSpoolCount(ctx context.Context, region wire.RegionID) (blocks uint64,
	err error) {
	m := n.currentMap()
	for _, r := range m.Regions {
		if len(n.nodesOf(r.ID)) == 0 {
			continue // it has no spool
		}
		q := wire.CountSpooled{Owner: region, MapVersion: m.Version}
		if r.ID == region {
			q.Owner = ""
		}
		answer, err := n.callRegion(ctx, r.ID, wire.MethodCountSpooled, wire.Encode(&q))
		if err != nil {
			return 0, wire.Errorf(wire.Unavailable, "the spool of region %s can not be counted: %s",
				r.ID, wire.AsError(err).Code)
		}
		var sum wire.SpoolStatus
		if err := wire.Decode(answer, &sum); err != nil {
			return 0, err
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
		e, due := n.region.ExpireSpool(now)
		if !due {
			return nil
		}
		if err := n.regionQueue.do(ctx, wire.CmdSpoolExpire, &e, nil); err != nil {
			return err
		}
	}
	return nil
}
