package institution

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

// typical is a message of 1.4 KB: a payment notice with some front matter.
var typical = `{"fiscal_code":"` + active + `","time_to_live":3600,"content":{"subject":"` +
	subject + `","markdown":"` + strings.Repeat(`Gentile cittadina, la rata scade presto.\n`, 28) +
	`","due_date":"2026-12-31T22:59:59.000Z","payment_data":{"amount":12345,` +
	`"notice_number":"302012345678901234","invalid_after_due_date":true}}}`

func BenchmarkDecode(b *testing.B) {
	d := newDecoder()
	b.SetBytes(int64(len(typical)))
	b.ReportAllocs()
	for b.Loop() {
		d.body = append(d.body[:0], typical...)
		if err := d.decodeMessage(&d.message); err != nil {
			b.Fatal(err)
		}
		d.reset()
	}
}

// instant is a relay that decides at once.
type instant struct{ *fakeRelay }

func (r instant) Submit(_ context.Context, rec *wire.Record, _ wire.InstitutionID) (wire.Outcome,
	error) {
	return wire.Outcome{Kind: wire.Decided, ID: rec.ID,
		Verdict: wire.Verdict{Status: wire.Processed}}, nil
}

// BenchmarkSubmit is everything between the HTTP server and the relay.
func BenchmarkSubmit(b *testing.B) {
	bench := newBench(b, func(c *Config) {
		c.Relay, c.Logger = instant{c.Relay.(*fakeRelay)}, slog.New(slog.DiscardHandler)
	})
	r := request("full", "POST", "/messages", typical)
	r.Header.Set("Idempotency-Key", "0123456789abcdef")
	body := strings.NewReader(typical)
	r.Body = io.NopCloser(body)
	b.SetBytes(int64(len(typical)))
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(typical)
		rec := httptest.NewRecorder()
		bench.mux.ServeHTTP(rec, r)
		if rec.Code != http.StatusCreated {
			b.Fatal(rec.Code)
		}
	}
}

func (r instant) StartBulk(_ context.Context, rec *wire.Record, _ wire.InstitutionID) (
	wait func() (wire.Outcome, error)) {
	// One allocation, as the router has at least.
	id := rec.ID
	return func() (wire.Outcome, error) {
		return wire.Outcome{Kind: wire.Decided, ID: id,
			Verdict: wire.Verdict{Status: wire.Processed}}, nil
	}
}

// BenchmarkBulk is the same for a line of a bulk request.
func BenchmarkBulk(b *testing.B) {
	for name, line := range map[string]string{"key": withKey("0123456789abcdef", typical),
		"no key": typical} {
		b.Run(name, func(b *testing.B) {
			bench := newBench(b, func(c *Config) {
				c.Relay, c.Logger = instant{c.Relay.(*fakeRelay)}, slog.New(slog.DiscardHandler)
			})
			r := bulkRequest("full", "x")
			r.Body = io.NopCloser(&repeated{line: line + "\n", times: b.N})
			w := &discarded{header: http.Header{}}
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			b.ResetTimer()
			bench.mux.ServeHTTP(w, r)
			if w.lines != b.N {
				b.Fatalf("%d answers for %d lines", w.lines, b.N)
			}
		})
	}
}

// repeated reads a line again and again.
type repeated struct {
	line  string
	rest  string
	times int
}

func (r *repeated) Read(b []byte) (n int, err error) {
	for n < len(b) {
		if r.rest == "" {
			if r.times == 0 {
				return n, io.EOF
			}
			r.rest, r.times = r.line, r.times-1
		}
		m := copy(b[n:], r.rest)
		n, r.rest = n+m, r.rest[m:]
	}
	return n, nil
}

// discarded counts the lines of an answer.
type discarded struct {
	header http.Header
	lines  int
}

func (d *discarded) Header() http.Header { return d.header }
func (d *discarded) WriteHeader(int)     {}
func (d *discarded) Write(b []byte) (int, error) {
	d.lines += bytes.Count(b, []byte("\n"))
	return len(b), nil
}
