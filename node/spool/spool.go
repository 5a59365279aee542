package spool

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// callsMax bounds the blocks that gateways are bringing to the spool at a time; they are in
// memory until they are logged, 64 KiB each as a rule. Beyond it: Overloaded.
const callsMax = 64

// expiriesMax bounds the expiries of one look: four days' worth after a long rest.
const expiriesMax = 96

// Config bounds what the region keeps for regions that are away. The bounds stop admission
// only: what was acknowledged stays until its owner has it.
type Config struct {
	// Bytes that sealed blocks may take; default 1 GiB.
	Bytes uint64
	// Age at which an owner's oldest block stops further ones; default 7 days.
	Age time.Duration
	// KeyAge is the age at which the region makes a new key pair; default 90 days.
	KeyAge time.Duration
}

// SetDefaults sets what was left out.
func (c *Config) SetDefaults() {
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

// Validate says what is wrong with the bounds.
func (c *Config) Validate() error {
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

// Owners says who owns codes.
type Owners interface {
	// IsForeign reports whether a record is of a code that nobody claimed, and of which this region
	// may not decide, or not now.
	IsForeign(rec *wire.Record) bool
	// NextOwner is the region that a record's code went to, with what was decided about the record
	// here; empty: nobody knows yet.
	NextOwner(o *wire.Outcome, rec *wire.Record) wire.RegionID
}

// Spool keeps sealed blocks for regions that are away and brings them there, and holds the
// region's own keys. Its methods may be called concurrently.
type Spool struct {
	*seat.Seat
	// Set at construction.
	cfg    Config
	codes  Owners
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

// New makes a node's spool.
func New(at *seat.Seat, cfg Config, codes Owners) *Spool {
	s := &Spool{Seat: at, cfg: cfg, codes: codes, taking: make(chan struct{}, callsMax),
		keys:   make(map[uint32]*wire.RegionPrivateKey),
		owners: make(map[wire.RegionID]*link.Group), stuck: make(map[uint64]stuck)}
	s.stats = newSpoolStats(s)
	return s
}

// Calls are the calls of the spool.
func (s *Spool) Calls() []seat.Call {
	nodes, gateways := seat.Only(link.RoleNode), seat.Only(link.RoleGateway)
	operators := seat.Operators(link.RightOperator, seat.Here)
	return []seat.Call{
		seat.Answers(s.Seat, wire.MethodSpool, gateways, seat.RegionLeads, s.keepSpooled),
		seat.Answers(s.Seat, wire.MethodRelay, nodes, seat.RegionDecides, s.takeRelayed),
		seat.Answers(s.Seat, wire.MethodProbeRegion, seat.Only(link.RoleNode, link.RoleGateway),
			seat.RegionDecides, s.probed),
		seat.Answers(s.Seat, wire.MethodFindSpooled, seat.Only(link.RoleGateway, link.RoleNode).Or(
			link.RightObserver, seat.Here), seat.RegionShows, s.findSpooled),
		seat.Answers(s.Seat, wire.MethodCountSpooled, nodes.Or(link.RightObserver, seat.Here),
			seat.RegionShows, s.countSpooled),
		seat.Answers(s.Seat, wire.MethodDiscardSpooled, operators, seat.RegionDecides,
			s.discardSpooled).ByOne("it looks the approval of the order up"),
		seat.Answers(s.Seat, wire.MethodRotateRegionKey, operators, seat.RegionLeads,
			s.rotateRegionKey).ByOne(seat.Urgent),
		seat.Answers(s.Seat, wire.MethodPublishRegionKey, nodes.Or(link.RightOperator, seat.Of(
			func(p *wire.PublishRegionKey) wire.RegionID { return p.Region })),
			seat.FederationLeads, s.publishRegionKey).ByOne(seat.Urgent),
	}
}

// keepSpooled answers MethodSpool. On return with records that are THROTTLED, the sealed block is
// fsynced on a majority of this region's voters.
func (s *Spool) keepSpooled(ctx context.Context, from link.Identity, b *wire.SpoolBlock) (
	*wire.Spooled, error) {
	select {
	case s.taking <- struct{}{}:
		defer func() { <-s.taking }()
	default:
		return nil, wire.Errorf(wire.Overloaded, "%d blocks are being spooled", callsMax)
	}
	now, err := s.RegionTime(ctx)
	if err != nil {
		return nil, err
	}
	s.counting.RLock()
	defer s.counting.RUnlock()
	if err := s.checkSpooling(from, b); err != nil {
		return nil, err
	}
	outcomes, err := s.Region.AdmitSpool(b.Stubs, now)
	if err != nil {
		return nil, err
	}
	if answer := planted(b); answer != nil {
		return answer, nil
	}
	answer := wire.Spooled{Outcomes: outcomes}
	if outcomes == nil {
		m := wire.Spool{Block: *b, BytesMax: s.cfg.Bytes,
			OldestAfter: now.Add(-s.cfg.Age)}
		if err := s.RegionQueue.Do(ctx, wire.CmdSpool, &m, &answer); err != nil {
			return nil, err
		}
		s.stats.took(&answer)
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

// checkSpooling checks a block that a gateway wants to have spooled.
func (s *Spool) checkSpooling(from link.Identity, b *wire.SpoolBlock) error {
	if err := b.Validate(); err != nil {
		return err
	}
	view := s.Map()
	owner, known := view.RegionByID(b.Sealed.Owner)
	self, _ := view.RegionByID(s.RegionID)
	switch {
	case b.Sealed.Home != s.RegionID || from.Region != s.RegionID:
		return wire.Errorf(wire.Forbidden, "a gateway spools in its home region only")
	case b.Sealed.Owner == s.RegionID:
		return wire.Malformedf("a region spools nothing for itself")
	case !known || owner.Closing: // whoever believes that it owns a code asks again
		return wire.Errorf(wire.Moved, "region %q owns no code", b.Sealed.Owner)
	}
	for i := range b.Stubs {
		if tag := b.Stubs[i].ID.Tag(); tag != self.Tag {
			return wire.Malformedf("an id with tag %d in the spool of region %s, where nobody "+
				"would look for it", tag, s.RegionID)
		}
	}
	if repeats(b.Stubs) {
		return wire.Malformedf("two records of a spooled block with one id")
	}
	return nil
}

// probed answers MethodProbeRegion: this node leads the region and can decide.
func (*Spool) probed(context.Context, link.Identity, *seat.None) (*seat.None, error) {
	return nil, nil
}

// findSpooled answers MethodFindSpooled.
func (s *Spool) findSpooled(_ context.Context, _ link.Identity, q *wire.FindMessage) (
	*wire.SpooledView, error) {
	return s.Region.FindSpooled(*q)
}

// countSpooled answers MethodCountSpooled, after a barrier.
func (s *Spool) countSpooled(ctx context.Context, _ link.Identity, q *wire.CountSpooled) (
	*wire.SpoolStatus, error) {
	if m := s.Map(); m.Version < q.MapVersion {
		return nil, wire.Errorf(wire.NotReady, "version %d of the map is not here yet, it is %d",
			q.MapVersion, m.Version)
	}
	s.counting.Lock() // what was taken on an older map is in the log now
	defer s.counting.Unlock()
	if err := s.RegionGroup.Read(ctx); err != nil {
		return nil, err
	}
	totals, err := s.Region.SpoolTotals()
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

// Status says what waits in this region's spool, by owner, as this replica knows it.
func (s *Spool) Status() []wire.SpoolStatus {
	totals, err := s.Region.SpoolTotals()
	if err != nil {
		return nil // what is wrong with the database is said elsewhere
	}
	s.countRefused(totals)
	return totals
}

// Count counts the blocks that a region's removal would orphan: those sealed to it in
// any spool, and those of others in its own. Unavailable when a region cannot be asked, since
// then nobody knows. On a map on which the region is closing the count can only fall.
func (s *Spool) Count(ctx context.Context, region wire.RegionID) (blocks uint64,
	err error) {
	m := s.Map()
	for _, r := range m.Regions {
		if len(s.NodesOf(r.ID)) == 0 {
			continue // it has no spool
		}
		q := wire.CountSpooled{Owner: region, MapVersion: m.Version}
		if r.ID == region {
			q.Owner = ""
		}
		var sum wire.SpoolStatus
		err := s.CallRegion(ctx, r.ID, wire.MethodCountSpooled, &q, &sum)
		if err != nil {
			return 0, wire.Errorf(wire.Unavailable, "the spool of region %s cannot be counted: %s",
				r.ID, wire.AsError(err).Code)
		}
		blocks += sum.Blocks
	}
	return blocks, nil
}

// CheckEmpty refuses the removal of a region for which, or in which, something waits.
func (s *Spool) CheckEmpty(ctx context.Context, region wire.RegionID) error {
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	blocks, err := s.Count(ctx, region)
	if err == nil && blocks > 0 {
		err = wire.Errorf(wire.Conflict, "%d blocks wait in spools for region %s, or in its own: "+
			"they are relayed when the regions reach each other", blocks, region)
	}
	return err
}

// Expire removes stubs past their time; part of the leader's housekeeping.
func (s *Spool) Expire(ctx context.Context, now wire.Time) error {
	for range expiriesMax {
		e, due := s.Region.DueSpoolExpiry(now)
		if !due {
			return nil
		}
		if err := s.RegionQueue.Do(ctx, wire.CmdSpoolExpire, &e, nil); err != nil {
			return err
		}
	}
	return nil
}
