package scale

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// Reading beside writes: one list, then nine messages of it, by citizens whose inboxes are full.
const (
	readsPerSecond = 2000
	readsPerList   = 9
	pageSize       = 12
	readers        = 4
	// writeShare of the rate that the state can sustain is written meanwhile, writeEntries at
	// once.
	writeShare   = 0.3
	writeEntries = 2
)

// reads measures reading beside writes, unless that is done.
func (r *regionRun) reads(ctx context.Context, g *grower, log *regionLog) error {
	if r.report.Reads != nil {
		return nil
	}
	steps := r.report.Full.of(messagesStep)
	if len(steps) == 0 {
		return errors.New("no step was measured on this state")
	}
	last := mean(steps[max(len(steps)-2, 0):])
	rate := writeShare * last.Sustained()
	blocks := int(rate*r.cfg.ReadFor.Seconds()/wire.BlockRecordsMax) + writeEntries
	r.cfg.say("full: %d reads a second for %v beside %.0f messages a second", readsPerSecond,
		r.cfg.ReadFor, rate)
	if _, err := g.prepare(ctx, blocks); err != nil {
		return err
	}
	state, ok := g.state.(RegionState)
	if !ok {
		return errors.New("a region's state is needed")
	}
	timed, cancel := context.WithTimeout(ctx, r.cfg.ReadFor)
	defer cancel()
	began := time.Now()
	all := make([]readings, readers)
	var work sync.WaitGroup
	for i := range all {
		work.Go(func() { all[i].run(timed, state, log.citizens, began, i) })
	}
	written, err := g.write(timed, began, rate)
	if err != nil {
		cancel()
	}
	work.Wait()
	out := &Reads{Seconds: time.Since(began).Seconds(), Offered: readsPerSecond,
		WritesOffered: rate}
	out.Writes = float64(written) / out.Seconds
	var sum readings
	for i := range all {
		err = errors.Join(err, all[i].err)
		sum.list = append(sum.list, all[i].list...)
		sum.read = append(sum.read, all[i].read...)
		sum.listCall = append(sum.listCall, all[i].listCall...)
		sum.readCall = append(sum.readCall, all[i].readCall...)
	}
	if err = errors.Join(err, ctx.Err()); err != nil {
		return err
	}
	out.List, out.Read = latencyOf(sum.list), latencyOf(sum.read)
	out.ListCall, out.ReadCall = latencyOf(sum.listCall), latencyOf(sum.readCall)
	r.report.Reads = out
	return r.save()
}

// write applies the spool at a rate, in messages a second, until ctx ends.
func (g *grower) write(ctx context.Context, began time.Time, rate float64) (messages int,
	err error) {
	from, err := openSpool(g.path(stepFile))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, from.close()) }()
	for {
		due := began.Add(time.Duration(float64(messages) / rate * float64(time.Second)))
		if !sleepUntil(ctx, due) {
			return messages, nil
		}
		entries, err := from.next(writeEntries)
		if err != nil || len(entries) == 0 {
			return messages, err
		}
		if _, err := g.state.Apply(entries); err != nil {
			return messages, err
		}
		messages += len(entries) * wire.BlockRecordsMax
	}
}

// readings are what one reader saw. Owned by it, then by the run.
type readings struct {
	list, read         []time.Duration // from the moment due
	listCall, readCall []time.Duration
	err                error
}

// run reads until ctx ends. Reader number takes every so manieth visit; a visit's reads are due
// one after the other at the rate of all readers, and a visit does not wait for another reader's.
func (v *readings) run(ctx context.Context, state RegionState, c *citizens, began time.Time,
	number int) {
	const perVisit = 1 + readsPerList
	rng := rand.New(rand.NewPCG(uint64(number), 2))
	for visit := number; ; visit += readers {
		q := wire.ListInbox{Token: c.token(rng.IntN(c.busy)), Size: pageSize}
		var page *wire.InboxPage
		for i := range perVisit {
			due := began.Add(time.Duration(visit*perVisit+i) * time.Second / readsPerSecond)
			if !sleepUntil(ctx, due) {
				return
			}
			now := timeOf(state.Position().Index)
			begin := time.Now()
			if i == 0 {
				page, v.err = state.ListInbox(q, now)
				end := time.Now()
				v.list = append(v.list, end.Sub(due))
				v.listCall = append(v.listCall, end.Sub(begin))
				if v.err == nil && len(page.Items) == 0 {
					v.err = errors.New("a busy citizen's inbox is empty")
				}
			} else {
				id := page.Items[(i-1)%len(page.Items)].ID
				_, v.err = state.GetInbox(wire.GetInbox{Token: q.Token, ID: id}, now)
				end := time.Now()
				v.read = append(v.read, end.Sub(due))
				v.readCall = append(v.readCall, end.Sub(begin))
			}
			if v.err != nil {
				v.err = fmt.Errorf("reading beside writes: %w", v.err)
				return
			}
		}
	}
}

// sleepUntil reports whether the moment came before ctx's end.
func sleepUntil(ctx context.Context, at time.Time) bool {
	if d := time.Until(at); d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}
