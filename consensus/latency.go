package consensus

import (
	"math"
	"sync"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// latencies keeps how long appends to the log, fsync included, took in the last minute, as counts
// in buckets that grow by a quarter: good enough to tell a slow disk, and of fixed size.
type latencies struct {
	mu    sync.Mutex
	slots [latencySlots]latencySlot // guarded by mu; a ring over time
}

type latencySlot struct {
	number int64 // which ten seconds
	counts [latencyBuckets]uint32
}

const (
	latencySlots  = 6
	latencyPeriod = 10 * time.Second
	// latencyBuckets reach from latencyFirst to some 20 s, beyond which the stall guard ends the
	// process.
	latencyBuckets = 56
	latencyFirst   = 100 * time.Microsecond
	latencyGrowth  = 1.25
	// latencyFew is the fewest appends of which a percentile says anything.
	latencyFew = 8
)

// note counts one append.
func (l *latencies) note(now time.Time, took time.Duration) {
	bucket := 0
	if took > latencyFirst {
		bucket = int(math.Ceil(math.Log(float64(took)/float64(latencyFirst)) /
			math.Log(latencyGrowth)))
	}
	number := now.UnixNano() / int64(latencyPeriod)
	l.mu.Lock()
	defer l.mu.Unlock()
	slot := &l.slots[number%latencySlots]
	if slot.number != number {
		*slot = latencySlot{number: number}
	}
	slot.counts[min(bucket, latencyBuckets-1)]++
}

// p99 is the time that ninety-nine of a hundred appends of the last minute did not exceed, too
// high by a quarter at most; 0 when there were hardly any.
func (l *latencies) p99(now time.Time) time.Duration {
	oldest := now.UnixNano()/int64(latencyPeriod) - latencySlots
	var counts [latencyBuckets]uint64
	total := uint64(0)
	l.mu.Lock()
	for i := range l.slots {
		if l.slots[i].number <= oldest {
			continue
		}
		for b, n := range l.slots[i].counts {
			counts[b] += uint64(n)
			total += uint64(n)
		}
	}
	l.mu.Unlock()
	if total < latencyFew {
		return 0
	}
	rank := total - total/100 // of a hundred the ninety-ninth
	for b, n := range counts {
		if rank <= n {
			return time.Duration(float64(latencyFirst) * math.Pow(latencyGrowth, float64(b)))
		}
		rank -= n
	}
	return 0
}

// Name is the group's name.
func (g *Group) Name() string { return g.config.Group }

// StoreLatency is the 99th percentile of the time that appends to the log took here in the last
// minute, fsync included; 0 when there were hardly any.
func (g *Group) StoreLatency() time.Duration { return g.stats.latencies.p99(time.Now()) }

// Stalled are the followers that answer this leader and do not move, see Timing.Lag.
func (g *Group) Stalled() []wire.NodeID {
	if !g.IsLeader() {
		return nil
	}
	return g.peers.standing(g.raft.CurrentTerm())
}
