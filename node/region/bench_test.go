package region

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// vocabulary makes texts that compress about as institutions' letters do.
var vocabulary = strings.Fields(`gentile cittadino la informiamo che il comune ha disposto il
rimborso della tassa sui rifiuti relativa all'anno in corso per un importo pari a euro secondo quanto
previsto dal regolamento comunale vigente entro il termine di trenta giorni dalla data di
ricezione del presente avviso è possibile presentare istanza presso gli uffici competenti oppure
tramite il portale dei servizi digitali accedendo con le proprie credenziali spid o carta identità
elettronica per ulteriori informazioni contattare il numero verde o consultare il sito`)

func letter(rng *rand.Rand, size int) string {
	var b strings.Builder
	for b.Len() < size {
		b.WriteString(vocabulary[rng.IntN(len(vocabulary))])
		if rng.IntN(6) == 0 {
			fmt.Fprintf(&b, " %d", rng.IntN(100000))
		}
		b.WriteByte(' ')
	}
	return b.String()
}

// benchCitizens fills a state with active citizens, a tenth of them with preferences.
func benchCitizens(b *testing.B, f *fixture, n int) []fiscalcode.Code {
	b.Helper()
	f.must(wire.CmdGrantSlots, allSlots())
	codes := make([]fiscalcode.Code, n)
	var list []wire.Command
	flush := func() {
		for _, r := range f.doAll(list...) {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
		f.log, list = f.log[len(f.log)-1:], nil
	}
	for i := range codes {
		codes[i] = codeOf(fmt.Sprint("citizen ", i))
		r, token := f.hasher.Recipient(codes[i]), tokenOf(string(codes[i]))
		l := f.loginAs(codes[i], token)
		u := wire.ProfileUpdate{AcceptedTos: 1, SetMode: true, Mode: wire.Auto}
		list = append(list, command(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r}),
			command(wire.CmdImport, &wire.Import{Recipient: r, Epoch: 1}),
			command(wire.CmdLogin, &l),
			command(wire.CmdSetProfile, &wire.SetProfile{Token: token, Update: u}))
		if i%10 == 0 {
			list = append(list, command(wire.CmdSetPreference, &wire.SetPreference{Token: token,
				Preference: wire.Preference{Service: someService, Inbox: i%20 == 0}}))
		}
		if len(list) > 400 || i == n-1 {
			flush()
		}
	}
	return codes
}

// BenchmarkApply applies blocks of 128 messages of about 1.4 KB, for 100,000 citizens; for few
// of them where allocations are counted, which do not depend on how many there are.
func BenchmarkApply(b *testing.B) {
	for _, tt := range []struct {
		name     string
		keyed    bool
		cached   int64
		citizens int
	}{{"fresh", false, 32 << 20, 100_000}, {"keyed", true, 32 << 20, 100_000},
		{"small-cache", false, cacheMin, 100_000}, {"few-citizens", false, 32 << 20, 1000}} {
		b.Run(tt.name, func(b *testing.B) {
			cfg := testConfig(nil, "lazio", newCoder(b))
			cfg.Store.Dir, cfg.CacheBytes, cfg.Store.MemTableBytes = b.TempDir(), tt.cached, 32<<20
			cfg.CitizenCacheBytes = tt.cached
			cfg.Store.Cache = pebble.NewCache(128 << 20) // as a node has it, with two write buffers
			f := openFixture(b, cfg)
			codes := benchCitizens(b, f, tt.citizens)
			rng := rand.New(rand.NewPCG(1, 1))
			const variants = 64
			var frames [variants][]wire.Record
			for i := range frames {
				for range wire.BlockRecordsMax {
					m := f.message(codes[rng.IntN(len(codes))], someService, "")
					m.Content = wire.Encode(&wire.Content{Subject: letter(rng, 60),
						Markdown: letter(rng, 1300)})
					frames[i] = append(frames[i], m)
				}
			}
			entries := func(n int) []wire.LogEntry {
				f.log = f.log[len(f.log)-1:]
				for range n {
					records := frames[rng.IntN(variants)]
					f.now = f.now.Add(25 * time.Millisecond)
					for j := range records {
						m := &records[j]
						m.ID = wire.NewMessageID(f.now, testTag)
						m.FiscalCode = codes[rng.IntN(len(codes))]
						if tt.keyed {
							binary.BigEndian.PutUint64(m.Idempotency[:], rng.Uint64())
							binary.BigEndian.PutUint64(m.Digest[:], rng.Uint64()|1)
						}
					}
					f.entry(wire.BlockEntry, f.seal(records...))
				}
				return f.log[1:]
			}
			for i := 0; i < len(codes); i += wire.BlockRecordsMax { // fill the caches
				var block []wire.Record
				for _, code := range codes[i:min(i+wire.BlockRecordsMax, len(codes))] {
					block = append(block, f.redact(f.message(code, someService, "")))
				}
				f.submit(block...)
			}
			b.ReportAllocs()
			b.ResetTimer()
			var bytes int
			for n := 0; n < b.N; {
				b.StopTimer()
				batch := entries(min(256, b.N-n))
				b.StartTimer()
				for len(batch) > 0 {
					k := min(4, len(batch))
					for _, e := range batch[:k] {
						bytes += len(e.Data)
					}
					f.apply(batch[:k]...)
					batch, n = batch[k:], n+k
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N*wire.BlockRecordsMax)/b.Elapsed().Seconds(), "msg/s")
			b.ReportMetric(float64(bytes)/float64(b.N*wire.BlockRecordsMax), "logB/msg")
		})
	}
}

func BenchmarkListInbox(b *testing.B) {
	cfg := testConfig(nil, "lazio", newCoder(b))
	cfg.Store.Dir, cfg.Store.MemTableBytes, cfg.CacheBytes = b.TempDir(), 8<<20, 0
	f := openFixture(b, cfg)
	codes := benchCitizens(b, f, 1000)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		var block []wire.Record
		for range wire.BlockRecordsMax {
			f.now = f.now.Add(time.Millisecond)
			block = append(block, f.message(codes[rng.IntN(len(codes))], "OTHER", letter(rng, 60)))
		}
		f.submit(block...)
		f.log = f.log[len(f.log)-1:]
	}
	if _, err := f.Flush(); err != nil {
		b.Fatal(err)
	}
	for _, size := range []uint32{12, 100} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				token := tokenOf(string(codes[rng.IntN(len(codes))]))
				page, err := f.ListInbox(wire.ListInbox{Token: token, Size: size}, f.now)
				if err != nil || len(page.Items) == 0 {
					b.Fatal(len(page.Items), err)
				}
			}
		})
	}
	b.Run("message", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			token := tokenOf(string(codes[rng.IntN(len(codes))]))
			page, err := f.ListInbox(wire.ListInbox{Token: token, Size: 1}, f.now)
			if err != nil {
				b.Fatal(err)
			}
			q := wire.GetInbox{Token: token, ID: page.Items[0].ID}
			if _, err := f.GetInbox(q, f.now); err != nil {
				b.Fatal(err)
			}
		}
	})
}
