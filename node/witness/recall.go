package witness

import (
	"context"
	"sync"
	"time"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// recallWait bounds how long who is met for the first time waits for what others know of it. It is
// well below attestWait: the node that is met waits that long for an answer.
const recallWait = attestWait / 2

// sightings answers MethodRecall: what is known here of the nodes of the region and of the
// federation's voters.
func (w *Witness) sightings(_ context.Context, from link.Identity, _ *seat.None) (*wire.Sightings,
	error) {
	if from.Region != w.RegionID {
		return nil, wire.Errorf(wire.Forbidden, "what a region's nodes know of others is for "+
			"that region, not for %s", from)
	}
	known := wire.Sightings{}
	ids := w.witnesses()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		if k := w.known[id]; k != nil && id != from.Node() {
			known.List = append(known.List, wire.Sighting{Node: id, Last: k.last})
		}
	}
	return &known, nil
}

// introduce asks about a node that may vote with this one and is seen for the first time.
func (w *Witness) introduce(ctx context.Context, id wire.NodeID) error {
	w.mu.Lock()
	known := w.known[id] != nil
	w.mu.Unlock()
	for _, other := range w.witnesses() {
		if other == id && !known {
			return w.recall(ctx)
		}
	}
	return nil
}

// recall asks the others of the region what they know, and learns what is not known here. Who does
// not answer in time is not waited for. No other region is asked: it could end a node here.
func (w *Witness) recall(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recallWait)
	defer cancel()
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		told = map[wire.NodeID]wire.Attestation{}
	)
	for _, id := range w.NodesOf(w.RegionID) {
		if id == w.ID {
			continue
		}
		all.Go(func() {
			var known wire.Sightings
			if w.CallNode(ctx, id, wire.MethodRecall, nil, &known) != nil {
				return // away, or a program of before
			}
			mu.Lock()
			defer mu.Unlock()
			for _, s := range known.List {
				merge(told, s)
			}
		})
	}
	all.Wait()
	return w.learn(told)
}

// merge adds what one node told to what the others did.
func merge(told map[wire.NodeID]wire.Attestation, s wire.Sighting) {
	if one, twice := told[s.Node]; twice {
		s.Last = laterOf(one, s.Last)
	}
	told[s.Node] = s.Last
}

// learn keeps, durably, what others told of nodes that may vote with this one and are not known
// here. What is known stays.
func (w *Witness) learn(told map[wire.NodeID]wire.Attestation) error {
	ids := w.witnesses()
	w.mu.Lock()
	defer w.mu.Unlock()
	news := false
	for _, id := range ids {
		last, ok := told[id]
		if !ok || w.known[id] != nil || len(w.known) >= sightingsMax ||
			len(last.Groups) > wire.AttestGroupsMax {
			continue
		}
		// It is told now, so that an attestation under way is one that was overtaken.
		w.known[id], news = &sighting{last: last, at: time.Now()}, true
	}
	if !news {
		return nil
	}
	return w.write()
}

// laterOf is what two nodes know of a third one: the later. Of two directories nobody can say which
// of them has forgotten, so none is let in: the id of none stands for it.
func laterOf(a, b wire.Attestation) wire.Attestation {
	switch {
	case a.Incarnation != b.Incarnation:
		if a.Incarnation < b.Incarnation {
			return b
		}
		return a
	case a.Disk != b.Disk:
		a.Disk = wire.DiskID{}
		return a
	}
	if group, _, _ := wentBack(&b, &a); group != "" {
		return a
	}
	return b
}

// wentBack names a group of which a node's disk now holds less than before; none: it does not.
func wentBack(now, before *wire.Attestation) (group string, has, had consensus.Held) {
	for _, was := range before.Groups {
		had, _ := heldOf(before, was.Group)
		if has, there := heldOf(now, was.Group); there && has.Before(had) {
			return was.Group, has, had
		}
	}
	return "", consensus.Held{}, consensus.Held{}
}
