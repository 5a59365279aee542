package transfer

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/wire"
)

const (
	// ownersPage is how many codes a leader holds against the directory at once, ownersPeriod how
	// often: ten million citizens are gone through in three hours, for a thousand reads a second.
	ownersPage   = 1024
	ownersPeriod = time.Second
	// refusedBatch bounds the refused moves that one look forgets.
	refusedBatch = 256
)

// owners holds the region's log against the directory for as long as this node leads. Each step of
// a claim, a move or a restore leaves the two agreed, or something under way that will; what is
// neither is a fault, which nobody would notice but the citizen.
type owners struct {
	*Transfer

	contradictions atomic.Int64 // of the last whole pass, or of this one if it has more
	mended         atomic.Uint64
}

// run goes through all codes, again and again.
func (o *owners) run(ctx context.Context) error {
	tick := time.NewTicker(ownersPeriod)
	defer tick.Stop()
	defer o.contradictions.Store(0) // another leader looks now
	var from wire.Recipient
	found := int64(0)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		list, err := o.Region.Owners(from, ownersPage)
		if err != nil {
			return err
		}
		found += o.compare(ctx, list)
		more := len(list) == ownersPage
		if more {
			from, more = list[len(list)-1].Recipient.Next()
		}
		if !more || found > o.contradictions.Load() {
			o.contradictions.Store(found)
		}
		if !more {
			from, found = wire.Recipient{}, 0
		}
	}
}

// compare looks at some codes, and returns how many of them belong to nobody, or to two.
func (o *owners) compare(ctx context.Context, list []region.Owner) (contradictions int64) {
	for i := range list {
		e, err := o.Federation.Directory(list[i].Recipient)
		if err != nil {
			return contradictions
		}
		switch contradiction(&list[i], e, o.RegionID) {
		case ownedTwice:
			contradictions++
		case ownedNowhere:
			contradictions++
			o.mend(ctx, list[i].Recipient, e)
		case toldWrong:
			o.retell(ctx, &list[i])
		}
	}
	if contradictions > 0 {
		o.Log.LogAttrs(ctx, slog.LevelError, "the directory contradicts the region's log",
			slog.Int64("codes", contradictions))
	}
	return contradictions
}

// disagreement is how a region's log and the directory can contradict each other.
type disagreement uint8

const (
	agreed       disagreement = iota // or something is under way
	ownedNowhere                     // the directory has the code here, the log gave it up before
	ownedTwice                       // the log has the code, the directory has it elsewhere, later
	toldWrong                        // whether the citizen is active is told otherwise
)

// contradiction compares what the log has of a code with what the directory has. The directory may
// be behind, as a replica may and as who tells it may, and is never ahead of the log that it was
// told by.
func contradiction(o *region.Owner, e wire.DirectoryEntry, self wire.RegionID) disagreement {
	switch here := e.Region == self; {
	case e.State != wire.Claimed:
	case o.State == wire.Released && !o.Leaving && here && e.Epoch > o.Epoch:
		return ownedNowhere
	case o.State == wire.Owned && !here && e.Epoch >= o.Epoch:
		return ownedTwice
	case o.State == wire.Owned && here && e.Epoch == o.Epoch && e.Active != o.Active:
		return toldWrong
	}
	return agreed
}

// mend takes a code back that nobody owns.
func (o *owners) mend(ctx context.Context, r wire.Recipient, e wire.DirectoryEntry) {
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	err := o.RegionQueue.Do(ctx, wire.CmdTakeBack, &wire.Standing{Recipient: r, Region: e.Region,
		Epoch: e.Epoch}, nil)
	if err != nil {
		o.Log.LogAttrs(ctx, slog.LevelWarn, "a code that nobody owns was not taken back",
			slog.String("reason", err.Error()))
		return
	}
	o.mended.Add(1)
}

// retell tells the directory again whether a citizen is active. Operations have no order of their
// own: what a former leader sent may have come after what this one did.
func (o *owners) retell(ctx context.Context, own *region.Owner) {
	op := wire.DirectoryOp{Kind: wire.OpSetActive, Recipient: own.Recipient,
		Region: o.RegionID, Epoch: own.Epoch, Active: own.Active}
	if err := (&moves{Transfer: o.Transfer}).tellDirectory(ctx, op); err != nil {
		o.Log.LogAttrs(ctx, slog.LevelDebug, "the directory was not told again",
			slog.String("reason", err.Error()))
	}
}

// metrics show contradictions, and records that were not decided because of one.
func (o *owners) metrics() []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "staffetta_owners_contradicted",
			Help: "Codes about which the region's log and the directory contradict each other."},
			func() float64 { return float64(o.contradictions.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "staffetta_owners_mended_total",
			Help: "Codes that nobody owned and that the region took back."},
			func() float64 { return float64(o.mended.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "staffetta_region_broken_total",
			Help: "Records that were not decided because rows contradict each other."},
			func() float64 { return float64(o.Region.Broken()) }),
	}
}

// forgetRefused drops what is kept of refused moves whose end the directory knows.
func (t *Transfer) forgetRefused(ctx context.Context) error {
	list, err := t.Region.Refused(wire.Recipient{}, refusedBatch)
	if err != nil || t.Region.ActiveVersion() < wire.VersionOwners {
		return err
	}
	var errs []error
	for i := range list {
		e, err := t.Federation.Directory(list[i].Recipient)
		if err == nil && e.Epoch > list[i].Epoch {
			err = t.RegionQueue.Do(ctx, wire.CmdMoveForget, &list[i], nil)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
