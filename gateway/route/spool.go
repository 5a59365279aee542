package route

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/staffetta/staffetta/internal/backoff"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// spoolAttempt bounds one attempt on one node while the spool stands behind it, so that
	// within wire.SpoolAfter a second node is asked.
	spoolAttempt = wire.SpoolAfter * 3 / 4
	// A region that is away is asked again for as long as probeCall, with a pause of probePause.
	probeAttempt = 700 * time.Millisecond
	probeCall    = 2 * time.Second
	probePause   = 250 * time.Millisecond
)

// presence is what a router knows of whether a region answers. The zero value: it does.
type presence struct {
	away atomic.Bool
	left chan struct{} // has room for one signal: it went away
}

func newPresence() *presence { return &presence{left: make(chan struct{}, 1)} }

// gone notes that the region has not answered for wire.SpoolAfter; true when that is news.
func (p *presence) gone() bool {
	if p.away.Swap(true) {
		return false
	}
	select {
	case p.left <- struct{}{}:
	default:
	}
	return true
}

// back notes that the region has answered; true when that is news.
func (p *presence) back() bool { return p.away.Load() && p.away.Swap(false) }

// spools reports whether what is for a region that does not answer can be spooled: the home
// region's spool is another region's, and there is a key to seal to.
func (r *Router) spools(o *owner) bool {
	if o.id == r.cfg.Region {
		return false
	}
	f := r.fed.Load()
	return f != nil && len(f.byID[o.id].Keys) > 0
}

// spoolable reports whether the record goes to the spool now. A code that nobody has claimed never
// does: its anchor is not to see content, and slots of a lost region are dealt to others.
func (s *submission) spoolable(o *owner) bool {
	return o.presence.away.Load() && s.owner.State == wire.Claimed && s.router.spools(o)
}

// lost notes that a block had no answer for wire.SpoolAfter. What waits for the region, and can be
// spooled, is moved to the spool lane; the rest waits on.
func (r *Router) lost(o *owner, err error) {
	if !o.presence.gone() {
		return
	}
	r.cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn,
		"a region does not answer, what is for it is spooled", slog.String("region", string(o.id)),
		slog.String("reason", wire.AsError(err).Code.String()))
	o.lane.moveAll()
}

// answered notes that the region's leader has said something.
func (r *Router) answered(o *owner) {
	if o.presence.back() {
		r.cfg.Logger.Info("a region answers again", "region", o.id)
	}
}

// watch finds out when a region that is away answers again, so that submissions go to it at once.
func (r *Router) watch(ctx context.Context, o *owner) error {
	for {
		select {
		case <-o.presence.left:
		case <-ctx.Done():
			return nil
		}
		for o.presence.away.Load() && ctx.Err() == nil {
			call, cancel := context.WithTimeout(ctx, probeCall)
			_, _, err := o.Ask(call, link.Ask{Method: wire.MethodProbeRegion, Again: true,
				Wait: probeAttempt})
			cancel()
			if err == nil {
				r.answered(o)
				break
			}
			backoff.Pause(ctx, probePause)
		}
	}
}

// carrySpooled makes blocks of a region's spool lane and brings them, sealed to that region, to
// the home region's leader, one after the other, until ctx ends.
func (r *Router) carrySpooled(ctx context.Context, o *owner) error {
	return r.carryFrom(ctx, o.spool, func(frame []byte, batch []*item) {
		r.keep(ctx, o, frame, batch)
	})
}

// keep brings one block to the home region's spool and answers its items.
func (r *Router) keep(ctx context.Context, o *owner, frame []byte, batch []*item) {
	ctx, cancel := context.WithDeadline(ctx, lastDeadline(batch))
	defer cancel()
	home := r.owner(r.cfg.Region)
	req, err := r.seal(o, frame, batch)
	if err != nil || home == nil {
		o.spool.landed(batch, nil, false, err, false)
		return
	}
	answer, unknown, err := home.Ask(ctx, link.Ask{Method: wire.MethodSpool, Req: req, Again: true,
		Wait: link.AttemptWait, Failed: r.stats.failed})
	spoke := err == nil || !wire.Retriable(err)
	var kept wire.Spooled
	if err == nil {
		err = wire.Decode(answer, &kept)
	}
	switch {
	case err != nil:
	case kept.Refused != wire.SpoolTook:
		r.stats.spoolRefused.Inc()
		err = wire.Errorf(wire.Overloaded, "the spool of region %s takes nothing more for %s",
			r.cfg.Region, o.id)
	case len(kept.Outcomes) != len(batch):
		unknown = true
		err = wire.Errorf(wire.OutcomeUnknown, "region %s: the answer makes no sense",
			r.cfg.Region)
	}
	o.spool.landed(batch, kept.Outcomes, unknown, err, spoke)
}

// seal makes the request that has a block spooled. The block's records are read but for their
// content, which may be gone when nobody waits any more.
func (r *Router) seal(o *owner, frame []byte, batch []*item) ([]byte, error) {
	f := r.fed.Load()
	keys := f.byID[o.id].Keys
	if len(keys) == 0 {
		return nil, wire.Errorf(wire.Unavailable, "the map has no key of region %s", o.id)
	}
	sealed, err := wire.Seal(f.m.Federation, r.cfg.Region, o.id, keys[len(keys)-1], frame)
	if err != nil {
		return nil, err
	}
	b := wire.SpoolBlock{Sealed: *sealed, Stubs: make([]wire.Record, len(batch))}
	for i, it := range batch {
		b.Stubs[i] = it.rec.Redact(f.hasher)
		if it.offered || it.unknown {
			b.Offered = append(b.Offered, uint8(i))
		}
	}
	return wire.Encode(&b), nil
}

// mayMove reports whether what has no answer for err is to be spooled: the region is away, and did
// not merely have too much to do.
func (l *lane) mayMove(err error) bool {
	return err != nil && l.spool != nil && l.presence.away.Load() && !hopeless(err)
}

// moveAll moves every record that can be spooled, and is in no block, to the spool lane.
func (l *lane) moveAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moveLocked(time.Now())
}

func (l *lane) moveLocked(now time.Time) {
	for it := range l.waitingItems() {
		if it.spooled != nil {
			l.unlink(it)
			l.release(it)
			l.spool.takeOver(it, now)
		}
	}
	for _, q := range l.blocked {
		for it := q.blocked.head; it != nil; {
			next := it.next
			if it.spooled != nil {
				q.blocked.remove(it)
				l.blockedItems--
				l.spool.takeOverBlocked(it, now)
			}
			it = next
		}
	}
	l.admit(now)
}

// takeOver lets an item of the region's lane, whose mu the caller holds, wait here, whatever else
// waits: it has had its room there.
func (l *lane) takeOver(it *item, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.receive(it) {
		l.enter(it, now)
	}
}

// takeOverBlocked is takeOver for an item that had no room yet: it gets some, or waits for it here.
func (l *lane) takeOverBlocked(it *item, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.receive(it) {
		return
	}
	full, err := l.joinBulk(it, now)
	switch {
	case full:
		return
	case err != nil:
		it.answer(wire.Outcome{}, err)
	}
	if it.patient {
		it.room <- struct{}{}
	}
}

// receive makes an item one of this lane; false when it was answered instead.
func (l *lane) receive(it *item) bool {
	it.lane.Store(l)
	it.rec, it.alone, it.place = it.spooled, false, outside
	it.size = len(it.rec.Content) + itemBytes
	if l.closed {
		it.answer(wire.Outcome{}, errStopping)
		return false
	}
	it.queue = &l.share(it.from).queues[it.class]
	return true
}

// lastDeadline is when the last of a block's records has waited long enough.
func lastDeadline(batch []*item) (until time.Time) {
	for _, it := range batch {
		if it.deadline.After(until) {
			until = it.deadline
		}
	}
	return until
}
