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
	g.Go(func() error { return n.desk.CompareReplicas(ctx, seat.RegionGroup(n.seat.RegionID)) })
	g.Go(func() error { return n.transfer.ReportOwnership(ctx) })
	g.Go(func() error { return n.recovery.KeepCopyKeys(ctx) })
	if !n.seat.Persist(ctx, n.transfer.Reconcile) {
		return g.Wait()
	}
	g.Go(func() error {
		if !n.seat.Persist(ctx, n.transfer.GrantSlots) {
			return nil
		}
		return n.transfer.DriveClaims(ctx)
	})
	g.Go(func() error { return n.transfer.DriveMoves(ctx) })
	g.Go(func() error { return n.transfer.CompareOwners(ctx) })
	g.Go(func() error { return n.transfer.LeadSlots(ctx) })
	g.Go(func() error { return n.keepHouse(ctx) })
	g.Go(func() error { return n.spool.KeepKeys(ctx) })
	g.Go(func() error { return n.spool.RelayAll(ctx) })
	return g.Wait()
}

// leadFederation is what the federation's leader does unasked: it founds the federation.
func (n *Node) leadFederation(ctx context.Context) error {
	n.seat.Persist(ctx, func(ctx context.Context) error {
		if err := n.seat.FederationGroup.Read(ctx); err != nil {
			return err
		}
		if _, founded := n.seat.Federation.Map(); founded {
			return nil
		}
		n.seat.Log.Info("founding the federation", "federation", n.seat.Founding.Federation)
		return n.seat.FederationQueue.Do(ctx, wire.CmdFound, n.seat.Founding, nil)
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
		case <-n.seat.FederationQueue.Applied:
		case <-ctx.Done():
			return nil
		}
		entry, err := n.seat.FederationLog.Stamp(ctx, wire.CommandsEntry, nothing)
		if err == nil {
			_, err = n.seat.FederationGroup.Propose(ctx, entry)
		}
		if err != nil && ctx.Err() == nil {
			n.seat.Log.Debug("a change was not announced", "reason", err.Error())
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
			n.seat.Log.LogAttrs(ctx, slog.LevelWarn, "due work failed",
				slog.String("reason", err.Error()))
		}
	}
}

func (n *Node) houseRound(ctx context.Context) error {
	if err := n.seat.CheckLeads(); err != nil {
		return err
	}
	now, err := n.seat.RegionTime(ctx)
	if err != nil {
		return err
	}
	return errors.Join(n.citizens.expire(ctx, now), n.spool.Expire(ctx, now),
		n.transfer.KeepHouse(ctx, now), n.citizens.eraseDue(ctx, now))
}

func (c *citizens) expire(ctx context.Context, now wire.Time) error {
	for range expiriesBatch { // each moves expiry on by an hour at most
		expire, due := c.Region.DueExpiry(now)
		if !due {
			break
		}
		if err := c.RegionQueue.Do(ctx, wire.CmdExpire, &expire, nil); err != nil {
			return err
		}
	}
	return nil
}

// eraseDue rewrites the blocks whose refused content is due, until none is or this look's share
// is done. One that fails ends the look after its batch, and is tried again at the next.
func (c *citizens) eraseDue(ctx context.Context, now wire.Time) error {
	for done := 0; done < erasuresMax; {
		erasures, err := c.Region.DueErasures(now, erasuresBatch)
		if err != nil || len(erasures) == 0 {
			return err
		}
		var errs []error
		for i := range erasures {
			errs = append(errs, c.RegionQueue.Do(ctx, wire.CmdErase, &erasures[i], nil))
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		done += len(erasures)
	}
	return nil
}
