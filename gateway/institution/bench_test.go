package institution

import (
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
