package route

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// BenchmarkSubmit measures a submission through a region that takes a millisecond per block, by
// how many wait at once and how many blocks are under way. The region's own work is a count of
// records, so that the time is the router's.
func BenchmarkSubmit(b *testing.B) {
	for _, waiting := range []int{1, 128, 512} {
		for _, blocks := range []int{1, 2, 4} {
			b.Run(fmt.Sprintf("waiting=%d/blocks=%d", waiting, blocks), func(b *testing.B) {
				benchmarkSubmit(b, waiting, blocks, time.Millisecond)
			})
		}
	}
}

// BenchmarkSubmitCPU is the same with a region that takes no time: what a submission costs.
func BenchmarkSubmitCPU(b *testing.B) { benchmarkSubmit(b, 512, 2, 0) }

func benchmarkSubmit(b *testing.B, waiting, blocks int, takes time.Duration) {
	r, next, report := benchRegion(b, takes, func(c *Config) { c.Limits.BlocksInFlight = blocks })
	var n atomic.Int64
	var wg sync.WaitGroup
	for range waiting {
		wg.Go(func() {
			var rec wire.Record
			for n.Add(1) <= int64(b.N) {
				next(&rec)
				if _, err := r.Submit(b.Context(), &rec, sender); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	report()
}

// BenchmarkStartBulk is a stream of one institution with a window of 1,024 submissions, to a region
// that takes no time: what a bulk submission costs.
func BenchmarkStartBulk(b *testing.B) {
	r, next, report := benchRegion(b, 0, func(*Config) {})
	recs := make([]wire.Record, 1024)
	waits := make([]func() (wire.Outcome, error), len(recs))
	for i := range b.N + len(recs) {
		at := i % len(recs)
		if wait := waits[at]; wait != nil {
			if _, err := wait(); err != nil {
				b.Error(err)
			}
		}
		if waits[at] = nil; i < b.N {
			next(&recs[at])
			waits[at] = r.StartBulk(b.Context(), &recs[at], sender)
		}
	}
	report()
}

// benchRegion makes a router that knows the owners of a thousand codes, all of a region that takes
// so long for a block. next makes a record for one of them; the time runs from the return on, and
// report ends it.
func benchRegion(b *testing.B, takes time.Duration, change func(*Config)) (r *Router,
	next func(*wire.Record), report func()) {
	w := newWorld(b, "lazio", "sicilia")
	codes := make([]fiscalcode.Code, 1000)
	for i := range codes {
		codes[i] = w.citizen(i, "sicilia", true)
	}
	r = w.router(change)
	var sent atomic.Int64
	w.set(func() {
		w.hook = func(_ context.Context, _ link.Peer, m wire.Method, req []byte) ([]byte, error,
			bool) {
			if m != wire.MethodSubmit {
				return nil, nil, false
			}
			if takes > 0 {
				time.Sleep(takes)
			}
			n, err := wire.CheckBlock(req)
			sent.Add(1)
			out := wire.Outcomes{List: make([]wire.Outcome, n)}
			for i := range out.List {
				out.List[i] = processed
			}
			return wire.Encode(&out), err, true
		}
	})
	content := wire.Encode(&wire.Content{Subject: "Avviso di pagamento della tassa",
		Markdown: strings.Repeat("Gentile cittadino, le scriviamo per la sua pratica. ", 27)})
	know(b, r, codes)
	var at atomic.Int64
	next = func(rec *wire.Record) {
		*rec = wire.Record{ID: r.NewID(), Service: "01SERVICE", TimeToLive: 3600,
			FiscalCode: codes[at.Add(1)%1000], Content: content}
	}
	b.ReportAllocs()
	b.ResetTimer()
	return r, next, func() {
		b.StopTimer()
		b.ReportMetric(float64(b.N)/float64(sent.Load()), "records/block")
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	}
}

func BenchmarkOwnerCached(b *testing.B) {
	w := newWorld(b, "lazio")
	r := w.router()
	code := w.citizen(1, "lazio", true)
	to := w.hash.Recipient(code)
	f := r.fed.Load()
	r.ownerOf(b.Context(), f, to, false)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := r.ownerOf(b.Context(), f, to, false); err != nil {
				b.Error(err)
			}
		}
	})
}
