package consensus

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
)

// hungLogs is a disk that hangs.
type hungLogs struct {
	raft.LogStore
	hung atomic.Bool
	free chan struct{}
}

func (h *hungLogs) StoreLogs(logs []*raft.Log) error {
	if h.hung.Load() {
		<-h.free
	}
	return h.LogStore.StoreLogs(logs)
}

// A leader whose disk hangs must go away, though its heartbeats do not.
func TestHungDiskEndsTheLeader(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		hung := map[wire.NodeID]*hungLogs{}
		c.tweak = func(cfg *Config) {
			h := &hungLogs{LogStore: cfg.Stores.log, free: make(chan struct{})}
			hung[cfg.Self] = h
			cfg.Stores = &Stores{log: h, stable: cfg.Stores.stable}
		}
		c.start()
		c.propose("before")
		l := c.leader()
		hung[l.id].hung.Store(true)
		go l.Propose(t.Context(), entryOf("hung"))
		began := time.Now()
		var err error
		select {
		case err = <-l.done:
		case <-time.After(time.Minute):
		}
		close(hung[l.id].free)
		if !errors.Is(err, ErrStalled) {
			t.Fatalf("after %s with a hung disk: %v, want %v", time.Since(began), err, ErrStalled)
		}
		l.Group.raft.Shutdown().Error() // it was left running, on purpose
		l.Group.workers.Wait()
		l.Group = nil
		c.leader()
		c.check()
	})
}

// A disk error ends the leader for good, whether or not the write took place.
func TestFailedDiskEndsTheLeader(t *testing.T) {
	for _, applied := range []bool{false, true} {
		t.Run(fmt.Sprintf("applied=%t", applied), func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, c *cluster) {
				faults := map[wire.NodeID]*faultyStores{}
				c.tweak = func(cfg *Config) {
					f := &faultyStores{log: cfg.Stores.log, stable: cfg.Stores.stable}
					faults[cfg.Self] = f
					cfg.Stores = f.stores()
				}
				c.start()
				c.leader()
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				wg := c.load(ctx, 8)
				time.Sleep(time.Second)
				l := c.leader()
				faults[l.id].failNext(opStoreLogs, applied)
				c.restarted(l.id, ErrDisk, 30*time.Second)
				stop()
				wg.Wait()
				c.check()
			})
		})
	}
}

// A vote that cannot be stored ends the replica without a panic.
func TestFailedVoteEndsTheReplica(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		faults := map[wire.NodeID]*faultyStores{}
		c.tweak = func(cfg *Config) {
			f := &faultyStores{log: cfg.Stores.log, stable: cfg.Stores.stable}
			faults[cfg.Self] = f
			cfg.Stores = f.stores()
		}
		c.start()
		l := c.leader()
		victim := c.others(l.id)[0]
		faults[victim].failNext(opSetUint64, false)
		c.kill(l.id)
		c.restarted(victim, ErrDisk, 30*time.Second)
		c.start(l.id)
		c.check()
	})
}
