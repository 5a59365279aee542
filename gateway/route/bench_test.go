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
	w := newWorld(b, "lazio", "sicilia")
	codes := make([]fiscalcode.Code, 1000)
	for i := range codes {
		codes[i] = w.citizen(i, "sicilia", true)
	}
	r := w.router(func(c *Config) { c.Limits.BlocksInFlight = blocks })
	var sent, bytes atomic.Int64
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
			bytes.Add(int64(len(req)))
			out := wire.Outcomes{List: make([]wire.Outcome, n)}
			for i := range out.List {
				out.List[i] = wire.Outcome{Kind: wire.Decided,
					Verdict: wire.Verdict{Status: wire.Processed}}
			}
			return wire.Encode(&out), err, true
		}
	})
	content := wire.Encode(&wire.Content{Subject: "Avviso di pagamento della tassa",
		Markdown: strings.Repeat("Gentile cittadino, le scriviamo per la sua pratica. ", 27)})
	for _, c := range codes { // know every owner
		r.RegionOf(b.Context(), c)
	}
	var next atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range waiting {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				rec := &wire.Record{ID: r.NewID(), Service: "01SERVICE", TimeToLive: 3600,
					FiscalCode: codes[i%1000], Content: content}
				if _, err := r.Submit(b.Context(), rec, sender); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/float64(sent.Load()), "records/block")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
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
