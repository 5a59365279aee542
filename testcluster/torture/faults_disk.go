package torture

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

// diskReserve is what a nearly full disk has left: less than the reserve below which a node
// refuses submissions.
const diskReserve = 100 << 20

func diskFaults() []fault {
	needs := func(*trial) string { return disksMissing() }
	return []fault{
		{name: "disk-nearly-full", about: "a node's disk falls below its reserve", needs: needs,
			strike: diskNearlyFull},
		{name: "disk-full", about: "a node's disk is full to the last byte", needs: needs,
			strike: diskFull},
		{name: "disk-error", about: "a node's disk answers nothing but errors", needs: needs,
			strike: diskError},
		{name: "disk-slow", about: "a node's disk answers in fits and starts", needs: needs,
			strike: diskSlow},
		{name: "disk-hung", about: "a node's disk does not answer at all", needs: needs,
			strike: diskHung},
		{name: "power-cut", about: "the nodes of a region lose power, and what they did not sync",
			needs: needs, strike: powerCut},
	}
}

// mountDisks gives the nodes of one region disks of their own, if a fault wants any.
func (t *trial) mountDisks(faults []*fault, region string) error {
	names := map[string]bool{}
	for _, f := range diskFaults() {
		names[f.name] = true
	}
	if !slices.ContainsFunc(faults, func(f *fault) bool { return names[f.name] }) {
		return nil
	}
	t.disks = map[string]*disk{}
	for _, id := range t.nodesOf(region) {
		d, err := newDisk(t.cfg.path("disks", id+".img"), t.cfg.path("nodes", id))
		if d != nil {
			t.disks[id] = d
		}
		if err != nil {
			return errors.Join(err, t.unmountDisks())
		}
	}
	return nil
}

func (t *trial) unmountDisks() error {
	var errs []error
	for _, d := range t.disks {
		errs = append(errs, d.unmount())
	}
	return errors.Join(errs...)
}

func (t *trial) diskOwners() (ids []string) {
	for id := range t.disks {
		if !t.retired[id] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids) // a map has no order that a seed repeats
	return ids
}

func diskNearlyFull(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	return t.fillDisk(random, diskReserve, " is nearly full")
}

func diskFull(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	return t.fillDisk(random, 0, " is full")
}

func (t *trial) fillDisk(random *rand.Rand, left uint64, how string) (*strike, error) {
	id := choose(random, t.diskOwners())
	d := t.disks[id]
	// A node that ends because its disk is full would end again and again.
	if err := errors.Join(t.fed.Hold(id), d.fill(left)); err != nil {
		return nil, errors.Join(err, d.empty(), t.fed.Release(id))
	}
	return &strike{what: "the disk of " + id + how, ends: []string{id},
		heal: func(context.Context) error { return errors.Join(d.empty(), t.fed.Release(id)) }}, nil
}

func diskError(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	id := choose(random, t.diskOwners())
	return t.loseDisks("the disk of "+id+" fails", false, id)
}

// Of a slow disk, every so often, an operation takes as long as slowHang: far more than a commit,
// less than an election. A hung one hangs for longer than a node bears (ten seconds): until
// then a leader on it goes on, and its region takes nothing.
const (
	slowHang, slowPause = 250 * time.Millisecond, 100 * time.Millisecond
	hungFor             = 13 * time.Second
)

func diskSlow(ctx context.Context, t *trial, random *rand.Rand) (*strike, error) {
	id := choose(random, t.diskOwners())
	slow, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() {
		var err error
		for err == nil && sleep(slow, slowPause) {
			err = t.disks[id].hang(slowHang)
		}
		done <- err
	}()
	return &strike{what: "the disk of " + id + " is slow", ends: []string{id},
		heal: func(context.Context) error { stop(); return <-done }}, nil
}

func diskHung(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	id := choose(random, t.diskOwners())
	t.watch.allow([]string{id})
	err := t.disks[id].hang(hungFor)
	return &strike{what: "the disk of " + id + " hung for " + hungFor.String(), ends: []string{id},
		silences: []string{t.homeOf(id)}, brief: true}, err
}

func powerCut(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	ids := t.diskOwners()
	if random.IntN(3) == 0 {
		ids = ids[:1]
	}
	what := "power fails in " + t.homeOf(ids[0])
	if len(ids) == 1 {
		what = ids[0] + " loses power"
	}
	return t.loseDisks(what, true, ids...)
}

// loseDisks shuts file systems down, and kills the nodes at once when they lose power. The heal
// kills those that still run, mounts the disks with what was synced, and lets the nodes start.
func (t *trial) loseDisks(what string, power bool, ids ...string) (*strike, error) {
	for _, id := range ids {
		if err := t.fed.Hold(id); err != nil {
			return nil, err
		}
	}
	s := &strike{what: what, silences: t.silenced(ids...), ends: ids,
		heal: func(context.Context) error {
			var errs []error
			for _, id := range ids {
				if t.fed.Signal(id, syscall.SIGKILL) == nil {
					t.watch.excuse(id)
				}
				errs = append(errs, t.disks[id].again(), t.fed.Release(id))
			}
			return errors.Join(errs...)
		}}
	t.watch.allow(ids)
	for _, id := range ids {
		if err := t.disks[id].fail(); err != nil {
			return nil, errors.Join(err, s.heal(context.Background()))
		}
	}
	if power {
		for _, id := range ids {
			t.watch.excuse(id)
			t.fed.Signal(id, syscall.SIGKILL)
		}
	}
	return s, nil
}
