package transfer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

const (
	// claimsBatch bounds how many claims one round drives.
	claimsBatch = 256
	// claimsScan bounds how much pending work a round looks through. What waits for an anchor
	// that is away stays pending, and must not stand in the way of the rest.
	claimsScan = 16384
	// claimsRetry is how soon a round that could not finish is tried again.
	claimsRetry = 200 * time.Millisecond
	// anchorPause is how long an anchor is left alone that could not release what was asked.
	anchorPause = time.Second
)

// claims drives what the region's log has pending, on the leader: claims of fiscal codes, and
// directory entries to bring up to date. Everything it does is idempotent, so that any leader
// can go on from any point.
//
//	log: ClaimIntent → directory: OpClaim → anchor: Release → log: Import → directory: OpOwn,
//	OpSetActive → log: Noted
type claims struct {
	*Transfer

	// Guarded by mu.
	mu    sync.Mutex
	waits map[wire.Recipient][]chan error

	// Owned by run: the anchors whose releases are under way, or are to be asked later.
	busy map[wire.RegionID]bool
}

// claim logs the intent to own a code and waits until this region owns it (nil), another one
// does (Moved), or ctx ends.
func (c *claims) claim(ctx context.Context, r wire.Recipient) error {
	entry, err := c.Federation.Directory(r)
	if err != nil {
		return err
	}
	if entry.State != wire.Unclaimed && entry.Region != c.RegionID {
		return &wire.Error{Code: wire.Moved, Region: entry.Region, Epoch: entry.Epoch}
	}
	done := make(chan error, 1)
	c.mu.Lock()
	c.waits[r] = append(c.waits[r], done)
	c.mu.Unlock()
	defer c.forget(r, done)

	var owned wire.Ownership
	err = c.RegionQueue.Do(ctx, wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r}, &owned)
	if err != nil || owned.State == wire.Owned {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return wire.Errorf(wire.Unavailable, "the claim is not finished yet")
	}
}

func (c *claims) forget(r wire.Recipient, done chan error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.waits[r]
	for i := range list {
		if list[i] == done {
			c.waits[r] = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(c.waits[r]) == 0 {
		delete(c.waits, r)
	}
}

// tell ends the waits for a code.
func (c *claims) tell(r wire.Recipient, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, done := range c.waits[r] {
		select {
		case done <- err:
		default:
		}
	}
}

// run drives pending work for as long as this node leads the region. Rounds wait for the log and
// for the directory, never for an anchor: each anchor has a goroutine of its own while it is
// asked, and another region that is away delays nobody but the codes that it holds.
func (c *claims) run(ctx context.Context) error {
	c.busy = make(map[wire.RegionID]bool)
	var handovers sync.WaitGroup
	defer handovers.Wait()
	freed := make(chan wire.RegionID, wire.RegionsMax) // an anchor is in it once
	ask := func(anchor wire.RegionID, list []wire.Release) {
		c.busy[anchor] = true
		handovers.Go(func() {
			c.handOver(ctx, anchor, list)
			freed <- anchor
		})
	}
	for {
		changed := c.Region.PendingChanged()
		pending, err := c.Region.Pending(claimsScan)
		if err != nil {
			return err
		}
		var retry <-chan time.Time
		if work := c.due(pending); len(work) > 0 {
			if err := c.round(ctx, work, ask); err == nil {
				continue
			} else if ctx.Err() == nil {
				c.Log.LogAttrs(ctx, slog.LevelWarn, "claims wait", slog.Int("pending",
					len(pending)), slog.String("reason", err.Error()))
			}
			retry = time.After(claimsRetry)
		}
		select {
		case <-changed:
		case anchor := <-freed:
			delete(c.busy, anchor)
		case <-retry:
		case <-ctx.Done():
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// due returns a round's work: what is pending and waits for no busy anchor.
func (c *claims) due(pending []wire.Pending) (work []wire.Pending) {
	for _, p := range pending {
		if p.State == wire.Claiming && c.busy[c.anchor(p.Recipient)] {
			continue
		}
		if work = append(work, p); len(work) == claimsBatch {
			break
		}
	}
	return work
}

// round brings each item one step on: here, or by asking its anchor. An error leaves the rest for
// the next round.
func (c *claims) round(ctx context.Context, pending []wire.Pending,
	ask func(anchor wire.RegionID, list []wire.Release)) error {
	results, err := c.updateDirectory(ctx, pending)
	if err != nil {
		return err
	}
	var commands []wire.Command
	var waits error
	releases := map[wire.RegionID][]wire.Release{}
	add := func(kind wire.CommandKind, m codec.Message) {
		commands = append(commands, wire.Command{Kind: kind, Body: wire.Encode(m)})
	}
	for i, p := range pending {
		entry, anchor := results[i].Entry, c.anchor(p.Recipient)
		switch {
		case results[i].Err != nil && p.State == wire.Claiming:
			// A region that is closing claims nobody any more.
			add(wire.CmdClaimAbort, &wire.ClaimAbort{Recipient: p.Recipient})
			c.tell(p.Recipient, results[i].Err)
		case results[i].Err != nil:
			waits = results[i].Err
		case p.State == wire.Owned && results[i].OK:
			add(wire.CmdPendingDone, &wire.PendingDone{Recipient: p.Recipient, Seq: p.Seq})
		case p.State == wire.Owned:
			c.Log.LogAttrs(ctx, slog.LevelError, "directory contradicts the region's log",
				slog.String("region", string(entry.Region)), slog.Uint64("epoch",
					uint64(entry.Epoch)))
			add(wire.CmdPendingDone, &wire.PendingDone{Recipient: p.Recipient, Seq: p.Seq})
		case !results[i].OK:
			add(wire.CmdClaimAbort, &wire.ClaimAbort{Recipient: p.Recipient,
				Region: entry.Region, Epoch: entry.Epoch})
			c.tell(p.Recipient, &wire.Error{Code: wire.Moved, Region: entry.Region,
				Epoch: entry.Epoch})
		case anchor == c.RegionID && !c.Anchors(p.Recipient.Slot()):
			waits = wire.Errorf(wire.Unavailable, "an anchor slot is on its way")
		case anchor == c.RegionID:
			add(wire.CmdImport, &wire.Import{Recipient: p.Recipient, Epoch: entry.Epoch,
				Anchored: true})
		default:
			releases[anchor] = append(releases[anchor], wire.Release{Recipient: p.Recipient,
				To: c.RegionID, Epoch: entry.Epoch})
		}
	}
	for anchor, list := range releases {
		ask(anchor, list)
	}
	return errors.Join(waits, c.apply(ctx, commands))
}

// updateDirectory runs the operations that pending asks for and returns one result per item.
func (c *claims) updateDirectory(ctx context.Context, pending []wire.Pending) (
	[]wire.DirectoryResult, error) {
	ops := wire.DirectoryOps{Incarnation: c.Region.Incarnation()}
	last := make([]int, len(pending)) // the operation whose result stands for the item
	for i, p := range pending {
		op := wire.DirectoryOp{Recipient: p.Recipient, Region: c.RegionID, Epoch: p.Epoch}
		if p.State == wire.Claiming {
			op.Kind, op.Epoch = wire.OpClaim, 1
			ops.List = append(ops.List, op)
		} else {
			own, active := op, op
			own.Kind, active.Kind, active.Active = wire.OpOwn, wire.OpSetActive, p.Active
			ops.List = append(ops.List, own, active)
		}
		last[i] = len(ops.List) - 1
	}
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	var results wire.DirectoryResults
	if err := c.CallFederation(ctx, wire.MethodFederation, &ops, &results); err != nil {
		return nil, err
	}
	if len(results.List) != len(ops.List) {
		return nil, wire.Errorf(wire.Internal, "%d results for %d operations",
			len(results.List), len(ops.List))
	}
	chosen := make([]wire.DirectoryResult, len(pending))
	for i, at := range last {
		chosen[i] = results.List[at]
	}
	return chosen, nil
}

// anchor is the region that owns the code while nobody has claimed it.
func (t *Transfer) anchor(r wire.Recipient) wire.RegionID { return t.Map().Anchor(r.Slot()) }
