package virtual

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/asof"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/wire"
)

// reading is what a citizen read, and as of when it was.
type reading struct {
	page wire.InboxPage
	at   time.Time // zero: of now
	took time.Duration
	err  error
}

// readInbox reads an inbox as the citizens' API does: the answer may be of an earlier time.
func readInbox(t *testing.T, g *Gateway, region wire.RegionID, code fiscalcode.Code) (r reading) {
	t.Helper()
	ctx := asof.Allow(t.Context(), http.Header{})
	began := time.Now()
	r.err = g.CallRegion(ctx, region, wire.MethodListInbox,
		&wire.ListInbox{Token: Token(code), Size: 12}, &r.page)
	r.at, r.took = asof.From(ctx).Time(), time.Since(began)
	return r
}

// fresh reads an inbox, of now, with a message.
func fresh(t *testing.T, g *Gateway, region wire.RegionID, code fiscalcode.Code,
	id wire.MessageID) {
	t.Helper()
	r := readInbox(t, g, region, code)
	if r.err != nil || !r.at.IsZero() || !holds(&r.page, id) {
		t.Errorf("read %d messages as of %v: %v, want the newest one, of now", len(r.page.Items),
			r.at, r.err)
	}
}

// TestReadsWithoutAMajority: while two of a region's three nodes are away the third one answers what
// citizens read, and says of when it is; it takes nothing. Once there is a leader again nothing is of
// an earlier time, nor is it while one node is away.
func TestReadsWithoutAMajority(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := NewAt(t, wire.Version, func(c *node.Config) { c.StaleReadsFor = time.Minute }, 3,
			"lazio", "sicilia")
		g, code := w.Gateway("lazio"), synthetic.NewCitizens(1).Next().FiscalCode
		if err := g.Activate(t.Context(), "sicilia", code); err != nil {
			t.Fatal(err)
		}
		send := func() wire.MessageID {
			t.Helper()
			rec := g.Message(code)
			if _, err := g.Submit(t.Context(), rec, Institution); err != nil {
				t.Fatal(err)
			}
			return rec.ID
		}
		first := send()

		leader := w.Leader("sicilia")
		leader.Stop()
		for range 20 {
			if r := readInbox(t, g, "sicilia", code); !r.at.IsZero() {
				t.Errorf("one node is away, and what is read is of %v ago", time.Since(r.at))
			}
			time.Sleep(300 * time.Millisecond)
		}
		leader.Start()
		w.AwaitReady()
		second := send()
		fresh(t, g, "sicilia", code, second)
		time.Sleep(2 * time.Second)

		left := w.Nodes("sicilia")[0]
		away := w.Nodes("sicilia")[1:]
		gone := time.Now()
		for _, n := range away {
			n.Crash()
		}
		time.Sleep(10 * time.Second)
		for range 3 {
			r := readInbox(t, g, "sicilia", code)
			if r.err != nil || r.took > time.Second {
				t.Fatalf("without a majority: %v after %s", r.err, r.took)
			}
			if !holds(&r.page, first) || !holds(&r.page, second) {
				t.Error("what was acknowledged before the time of the answer is missing")
			}
			if r.at.After(gone.Add(time.Second)) || r.at.Before(gone.Add(-3*time.Second)) {
				t.Errorf("it is said to be of %v after the others went", r.at.Sub(gone))
			}
		}
		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		err := g.CallRegion(asof.Allow(short, http.Header{}), "sicilia", wire.MethodDeleteMessage,
			&wire.DeleteMessage{Token: Token(code), ID: first}, nil)
		if !wire.Retriable(err) {
			t.Errorf("a change without a majority: %v", err)
		}
		ctx := asof.Allow(t.Context(), http.Header{})
		err = g.CallRegion(ctx, "sicilia", wire.MethodGetProfile, &wire.SessionRef{}, nil)
		if !errors.Is(err, wire.Unauthenticated) || asof.From(ctx).Time().IsZero() {
			t.Errorf("of a session that is none: %v as of %v", err, asof.From(ctx).Time())
		}
		if err := g.CallRegion(t.Context(), "sicilia", wire.MethodGetProfile,
			&wire.SessionRef{Token: Token(code)}, nil); !errors.Is(err, wire.Unavailable) {
			t.Errorf("who did not allow an answer of earlier: %v", err)
		}

		// A node that starts alone knows how old what it has is, as far as its log says.
		left.Stop()
		left.Start()
		if r := readInbox(t, g, "sicilia", code); r.err == nil && r.at.After(gone) {
			t.Errorf("after a restart it is said to be of %v after the others went", r.at.Sub(gone))
		}
		time.Sleep(10 * time.Second)
		if r := readInbox(t, g, "sicilia", code); r.err != nil || r.at.After(gone) {
			t.Errorf("after a restart: %v as of %v after the others went", r.err, r.at.Sub(gone))
		}

		// The setting is over.
		time.Sleep(time.Until(gone.Add(2 * time.Minute)))
		if r := readInbox(t, g, "sicilia", code); !errors.Is(r.err, wire.Unavailable) {
			t.Errorf("after the setting's time: %v as of %v", r.err, r.at)
		}

		for _, n := range away {
			n.Start()
		}
		w.AwaitReady()
		fresh(t, g, "sicilia", code, second)
		fresh(t, g, "sicilia", code, send())
	})
}
