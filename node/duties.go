package node

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/staffetta/staffetta/node/seat"
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
)

// leadRegion is what a region's leader does unasked.
func (n *Node) leadRegion(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.desk.KeepVersion(ctx) })
	g.Go(func() error { return n.desk.CompareReplicas(ctx, seat.RegionGroup(n.RegionID)) })
	g.Go(func() error { return n.reportOwnership(ctx) })
	g.Go(func() error { return n.recovery.KeepCopyKeys(ctx) })
	if !n.Persist(ctx, n.reconcile) {
		return g.Wait()
	}
	g.Go(func() error {
		if !n.Persist(ctx, n.grantSlots) {
			return nil
		}
		return n.claims.run(ctx)
	})
	g.Go(func() error { return (&moves{n: n}).run(ctx) })
	g.Go(func() error { return n.owners.run(ctx) })
	g.Go(func() error { return n.leadSlots(ctx) })
	g.Go(func() error { return n.keepHouse(ctx) })
	g.Go(func() error { return n.spool.KeepKeys(ctx) })
	g.Go(func() error { return n.spool.RelayAll(ctx) })
	return g.Wait()
}

// leadFederation is what the federation's leader does unasked: it founds the federation.
func (n *Node) leadFederation(ctx context.Context) error {
	n.Persist(ctx, func(ctx context.Context) error {
		if err := n.FederationGroup.Read(ctx); err != nil {
			return err
		}
		if _, founded := n.Seat.Federation.Map(); founded {
			return nil
		}
		n.Log.Info("founding the federation", "federation", n.Founding.Federation)
		return n.FederationQueue.Do(ctx, wire.CmdFound, n.Founding, nil)
	})
	return n.desk.CompareReplicas(ctx, seat.FederationGroup)
}

// announce makes every replica of the federation learn of a change at once: a follower hears of a
// commit with the next message, which on an idle group takes a second, and a revoked key has to
// be refused everywhere within one. An entry without commands is that message. Changes that come
// meanwhile share the next one.
func (n *Node) announce(ctx context.Context) error {
	nothing := wire.Encode(&wire.Commands{})
	for {
		select {
		case <-n.FederationQueue.Applied:
		case <-ctx.Done():
			return nil
		}
		entry, err := n.FederationLog.Stamp(ctx, wire.CommandsEntry, nothing)
		if err == nil {
			_, err = n.FederationGroup.Propose(ctx, entry)
		}
		if err != nil && ctx.Err() == nil {
			n.Log.Debug("a change was not announced", "reason", err.Error())
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
			n.Log.LogAttrs(ctx, slog.LevelWarn, "due work failed",
				slog.String("reason", err.Error()))
		}
	}
}

func (n *Node) houseRound(ctx context.Context) error {
	if err := n.CheckLeads(); err != nil {
		return err
	}
	now, err := n.RegionTime(ctx)
	if err != nil {
		return err
	}
	return errors.Join(n.expire(ctx, now), n.spool.Expire(ctx, now), n.eraseRemains(ctx, now),
		n.eraseStranded(ctx), n.forgetRefused(ctx), n.eraseDue(ctx, now))
}

func (n *Node) expire(ctx context.Context, now wire.Time) error {
	for range expiriesBatch { // each moves expiry on by an hour at most
		expire, due := n.Seat.Region.Expire(now)
		if !due {
			break
		}
		if err := n.RegionQueue.Do(ctx, wire.CmdExpire, &expire, nil); err != nil {
			return err
		}
	}
	return nil
}

// eraseDue rewrites the blocks whose refused content is due, until none is or this look's share
// is done. One that fails ends the look after its batch, and is tried again at the next.
func (n *Node) eraseDue(ctx context.Context, now wire.Time) error {
	for done := 0; done < erasuresMax; {
		erasures, err := n.Seat.Region.DueErasures(now, erasuresBatch)
		if err != nil || len(erasures) == 0 {
			return err
		}
		var errs []error
		for i := range erasures {
			errs = append(errs, n.RegionQueue.Do(ctx, wire.CmdErase, &erasures[i], nil))
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		done += len(erasures)
	}
	return nil
}
