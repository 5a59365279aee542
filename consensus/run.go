package consensus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// tickEvery is how often a group looks after itself.
const tickEvery = 500 * time.Millisecond

// Run blocks until ctx is over or the group cannot go on. It answers nil after a clean stop:
// leadership was offered to another voter, the state is flushed, everything is closed. On an
// error the process must exit; with ErrStalled a disk operation is still going on and nothing
// was closed behind it.
func (g *Group) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		g.handOver()
	case <-g.failed:
	}
	return g.Close()
}

// Close ends the group at once, and answers why it failed if it had. Calls that wait end with
// OutcomeUnknown or NotReady. It may be called more than once.
func (g *Group) Close() error {
	g.ending.Store(true)
	if g.closing.CompareAndSwap(false, true) {
		g.closeErr = g.shutDown()
		close(g.closed)
	}
	<-g.closed
	return g.closeErr
}

// fatal ends the group with a reason; the first one counts. It does not wait, so that it may be
// called from anywhere. A leader that cannot go on stops sending heartbeats here and now.
func (g *Group) fatal(err error) {
	g.fail.Do(func() {
		g.failure = err
		g.ending.Store(true)
		g.logger.Error("group failed", "err", err)
		g.layer.Close()
		close(g.failed)
	})
}

// handOver saves the others an election timeout. It is a courtesy: they cope without.
func (g *Group) handOver() {
	ctx, cancel := context.WithTimeout(context.Background(), g.config.Timing.Election)
	defer cancel()
	if g.otherVoters() && g.IsLeader() {
		if err := g.TransferLeadership(ctx); err != nil {
			g.logger.Warn("leadership not handed over", "err", err)
		}
	}
}

func (g *Group) otherVoters() bool {
	members, err := g.Members()
	for _, m := range members {
		if m.Voter && m.Node != g.config.Self && err == nil {
			return true
		}
	}
	return false
}

func (g *Group) shutDown() error {
	err := g.stopRaft()
	failure := g.failureNow()
	if errors.Is(failure, ErrStalled) {
		return failure
	}
	if failure == nil {
		if _, ferr := g.config.State.Flush(); ferr != nil {
			err = errors.Join(err, fmt.Errorf("flush state: %w", ferr))
		}
	}
	err = errors.Join(failure, err, g.stores.close(), g.config.State.Close())
	g.logger.Info("group stopped", "err", err)
	return err
}

// stopRaft ends the library, our goroutines, every stream and everyone who waits.
func (g *Group) stopRaft() error {
	g.ending.Store(true)
	down := g.raft.Shutdown()
	close(g.ended)
	closeTransport(g.trans)
	g.stats.unregister()
	if errors.Is(g.failureNow(), ErrStalled) {
		// The library waits for the disk, maybe for ever. Whatever were closed now could still
		// be written to.
		return nil
	}
	err := down.Error()
	g.workers.Wait()
	g.layer.served.Wait()
	if err != nil {
		return fmt.Errorf("stop raft: %w", err)
	}
	return nil
}

func (g *Group) failureNow() error {
	select {
	case <-g.failed:
		return g.failure
	default:
		return nil
	}
}

// tick looks after what nobody reports.
func (g *Group) tick() {
	every := time.NewTicker(tickEvery)
	defer every.Stop()
	var clockOff, alone time.Time
	for {
		select {
		case <-g.ended:
			return
		case <-every.C:
		}
		if g.IsLeader() {
			g.alarmLag()
		} else {
			g.stats.stalled.Set(0)
		}
		g.layer.park(streamIdleMax)
		g.LastContact() // so that a suspension is noticed before the next contact
		clockOff = g.checkClock(clockOff)
		alone = g.checkRemoved(alone)
	}
}

// alarmLag tells of followers that answer and do not move.
func (g *Group) alarmLag() {
	if !g.config.guards.on(guardLag) {
		return
	}
	all, changed := g.peers.stalled(g.raft.CurrentTerm(), g.raft.LastIndex(), g.config.Timing.Lag)
	g.stats.stalled.Set(float64(len(all)))
	for _, node := range changed {
		g.logger.Warn("follower stands still", "follower", node, "for", g.config.Timing.Lag)
	}
}

// checkRemoved ends a follower that has its own removal in the log and hears from nobody: the
// leader stopped talking to it before it could say that the removal is committed.
func (g *Group) checkRemoved(since time.Time) time.Time {
	members, err := g.Members()
	removed := err == nil && len(members) > 0 && !names(members, g.config.Self)
	if !removed || !g.wasMember() || time.Since(g.raft.LastContact()) < g.config.Timing.Heartbeat ||
		!g.config.guards.on(guardRemoved) || g.raft.State() == raft.Leader {
		return time.Time{}
	}
	if since.IsZero() {
		return time.Now()
	}
	if time.Since(since) > 5*g.config.Timing.Election {
		g.fatal(ErrRemoved)
	}
	return since
}

// wasMember reports whether the state's membership names this node.
func (g *Group) wasMember() bool {
	c, err := decodeConfiguration(g.config.State.Position().Configuration)
	return err == nil && names(toMembers(c), g.config.Self)
}
