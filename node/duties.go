package node

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/wire"
	"golang.org/x/sync/errgroup"
)

const (
	// housePeriod is how often a region's leader looks for due work; looking writes nothing.
	housePeriod = 10 * time.Second
	// expiriesBatch bounds the expiries per look: four days' worth after a long rest.
	expiriesBatch = 96
	// erasuresBatch bounds the rewritten blocks in memory, erasuresMax those of one look: a
	// hundred a second, more than a loaded region logs, or what is refused would pile up.
	erasuresBatch = 16
	erasuresMax   = 1024
	// dutyPause separates the tries of a duty that failed.
	dutyPause = 200 * time.Millisecond
)

// whileLeading runs duty each time this node leads the group, with a context that ends when it
// does not any more. It returns when ctx ends, after the duty did.
func (n *Node) whileLeading(ctx context.Context, g *consensus.Group,
	duty func(context.Context) error) error {
	watch, cancel := g.Watch()
	defer cancel()
	stop, done := func() {}, make(chan error, 1)
	running := false
	for {
		select {
		case l, open := <-watch:
			if !open { // the group ended
				watch = nil
			}
			if l.Self == running {
				continue
			}
			if running {
				stop()
				if err := <-done; err != nil {
					return err
				}
				running = false
				continue
			}
			running = true
			var dutyCtx context.Context
			dutyCtx, stop = context.WithCancel(ctx)
			go func() { done <- duty(dutyCtx) }()
		case err := <-done:
			// A duty ends early only when it cannot go on.
			stop()
			return err
		case <-ctx.Done():
			stop()
			if running {
				return <-done
			}
			return nil
		}
	}
}

// leadRegion is what a region's leader does unasked.
func (n *Node) leadRegion(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.keepVersion(ctx) })
	g.Go(func() error { return n.compareReplicas(ctx, regionGroup(n.cfg.Region)) })
	g.Go(func() error { return n.reportOwnership(ctx) })
	g.Go(func() error { return n.keepCopyKeys(ctx) })
	if !n.persist(ctx, n.reconcile) {
		return g.Wait()
	}
	g.Go(func() error {
		if !n.persist(ctx, n.grantSlots) {
			return nil
		}
		return n.claims.run(ctx)
	})
	g.Go(func() error { return (&moves{n: n}).run(ctx) })
	g.Go(func() error { return n.owners.run(ctx) })
	g.Go(func() error { return n.leadSlots(ctx) })
	g.Go(func() error { return n.keepHouse(ctx) })
	g.Go(func() error { return n.spool.keepKeys(ctx) })
	g.Go(func() error { return n.spool.relayAll(ctx) })
	return g.Wait()
}

// leadFederation is what the federation's leader does unasked: it founds the federation.
func (n *Node) leadFederation(ctx context.Context) error {
	n.persist(ctx, func(ctx context.Context) error {
		if err := n.federationGroup.Read(ctx); err != nil {
			return err
		}
		if _, founded := n.federation.Map(); founded {
			return nil
		}
		n.log.Info("founding the federation", "federation", n.cfg.Founding.Federation)
		return n.federationQueue.do(ctx, wire.CmdFound, n.cfg.Founding, nil)
	})
	return n.compareReplicas(ctx, federationGroup)
}

// announce makes every replica of the federation learn of a change at once: a follower hears of a
// commit with the next message, which on an idle group takes a second, and a revoked key has to
// be refused everywhere within one. An entry without commands is that message. Changes that come
// meanwhile share the next one.
func (n *Node) announce(ctx context.Context) error {
	nothing := wire.Encode(&wire.Commands{})
	for {
		select {
		case <-n.federationQueue.applied:
		case <-ctx.Done():
			return nil
		}
		entry, err := n.federationLog.stamp(ctx, wire.CommandsEntry, nothing)
		if err == nil {
			_, err = n.federationGroup.Propose(ctx, entry)
		}
		if err != nil && ctx.Err() == nil {
			n.log.Debug("a change was not announced", "reason", err.Error())
		}
	}
}

// persist repeats f until it succeeds (true) or ctx ends.
func (n *Node) persist(ctx context.Context, f func(context.Context) error) bool {
	for {
		err := f(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() == nil && !wire.Retriable(err) {
			n.log.Warn("a leader's duty failed", "reason", err.Error())
		}
		select {
		case <-time.After(dutyPause):
		case <-ctx.Done():
			return false
		}
	}
}

// keepHouse makes due work happen: expiry, and the erasure of refused content.
func (n *Node) keepHouse(ctx context.Context) error {
	tick := time.NewTicker(housePeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		err := n.houseRound(ctx)
		if err != nil && ctx.Err() == nil && !wire.Retriable(err) {
			n.log.LogAttrs(ctx, slog.LevelWarn, "due work failed",
				slog.String("reason", err.Error()))
		}
	}
}

func (n *Node) houseRound(ctx context.Context) error {
	if err := n.mayPropose(); err != nil {
		return err
	}
	now, err := n.regionTime(ctx)
	if err != nil {
		return err
	}
	return errors.Join(n.expire(ctx, now), n.expireSpool(ctx, now), n.eraseRemains(ctx, now),
		n.eraseStranded(ctx), n.forgetRefused(ctx), n.eraseDue(ctx, now))
}

func (n *Node) expire(ctx context.Context, now wire.Time) error {
	for range expiriesBatch { // each moves expiry on by an hour at most
		expire, due := n.region.Expire(now)
		if !due {
			break
		}
		if err := n.regionQueue.do(ctx, wire.CmdExpire, &expire, nil); err != nil {
			return err
		}
	}
	return nil
}

// eraseDue rewrites the blocks whose refused content is due, until none is or this look's share
// is done. One that fails ends the look after its batch, and is tried again at the next.
func (n *Node) eraseDue(ctx context.Context, now wire.Time) error {
	for done := 0; done < erasuresMax; {
		erasures, err := n.region.DueErasures(now, erasuresBatch)
		if err != nil || len(erasures) == 0 {
			return err
		}
		var errs []error
		for i := range erasures {
			errs = append(errs, n.regionQueue.do(ctx, wire.CmdErase, &erasures[i], nil))
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		done += len(erasures)
	}
	return nil
}
