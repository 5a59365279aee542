package consensus

import (
	"fmt"
	"slices"
	"sync"

	"github.com/staffetta/staffetta/wire"
)

// Replicas are compared at equal index, so a replica remembers digests at indexes that the others
// have too: those where any batch of entries happened to end, which are the same on a group at
// rest, and every digestStride-th, where a batch is made to end.
const (
	// digestStride makes a group of a thousand entries a second comparable four times a second.
	digestStride = 256
	// digestsKept is how many of each are kept: 8,192 entries back.
	digestsKept = wire.DigestsMax / 2
)

// digests are a replica's recent ones. Safe for concurrent use.
type digests struct {
	mu sync.Mutex
	// Guarded by mu.
	strides, ends []wire.StateDigest // oldest first
	agreed        uint64             // the last index at which a majority agreed with this replica
	disputed      bool               // voters differ and no majority agrees
}

// cut answers how many of the entries, in order, may be applied at once.
func cut(entries []wire.LogEntry) int {
	for i := range entries {
		if entries[i].Index%digestStride == 0 {
			return i + 1
		}
	}
	return len(entries)
}

// note remembers the digest of what is applied.
func (d *digests) note(index uint64, sum [32]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := &d.ends
	if index%digestStride == 0 {
		list = &d.strides
	}
	if n := len(*list); n > 0 && (*list)[n-1].Index >= index {
		return
	}
	if len(*list) == digestsKept {
		copy(*list, (*list)[1:])
		*list = (*list)[:digestsKept-1]
	}
	*list = append(*list, wire.StateDigest{Index: index, Sum: sum})
}

// forget drops everything: the state was replaced.
func (d *digests) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.strides, d.ends = nil, nil
}

func (d *digests) all() []wire.StateDigest {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := slices.Concat(d.strides, d.ends)
	slices.SortFunc(all, func(a, b wire.StateDigest) int {
		return int(int64(a.Index) - int64(b.Index))
	})
	return all
}

// judge compares with what a majority agrees on. It answers the first index at which this replica
// differs.
func (d *digests) judge(agreed []wire.StateDigest) (at uint64, differs bool) {
	have := d.all()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range agreed {
		i, ok := slices.BinarySearchFunc(have, a.Index, func(h wire.StateDigest, index uint64) int {
			return int(int64(h.Index) - int64(index))
		})
		if !ok {
			continue
		}
		if have[i].Sum != a.Sum {
			return a.Index, true
		}
		d.agreed = max(d.agreed, a.Index)
	}
	return 0, false
}

// Digests answers this replica's digests at recent indexes, oldest first, at most
// wire.DigestsMax, for comparison with other replicas'.
func (g *Group) Digests() []wire.StateDigest { return g.fsm.digests.all() }

// JudgeDigests compares this replica with digests that a majority of the voters agree on. One that
// differs ends with ErrDiverged: whatever it answers from now on may be wrong.
func (g *Group) JudgeDigests(agreed []wire.StateDigest) {
	if at, differs := g.fsm.digests.judge(agreed); differs && g.config.guards.on(guardDigest) {
		g.fatal(fmt.Errorf("%w: its digest at index %d is not that of a majority of the voters",
			ErrDiverged, at))
	}
}

// AgreedIndex is the last index at which this replica's digest was that of a majority.
func (g *Group) AgreedIndex() uint64 {
	g.fsm.digests.mu.Lock()
	defer g.fsm.digests.mu.Unlock()
	return g.fsm.digests.agreed
}

// SetDisputed notes whether voters differ at an index where no majority agrees. Nobody can tell
// then who is right, so nobody stops, and operators have to look.
func (g *Group) SetDisputed(disputed bool) {
	d := &g.fsm.digests
	d.mu.Lock()
	was := d.disputed
	d.disputed = disputed
	d.mu.Unlock()
	if disputed && !was {
		g.logger.Error("replicas differ at equal index and no majority agrees")
	}
}

// Disputed reports what SetDisputed noted.
func (g *Group) Disputed() bool {
	g.fsm.digests.mu.Lock()
	defer g.fsm.digests.mu.Unlock()
	return g.fsm.digests.disputed
}
