package institution

import (
	"net/http"
	"strings"
	"testing"
)

// What nothing serves is refused, or taken and said: in single submissions and in lines.
func TestUnserved(t *testing.T) {
	both := payFor(1, "") + thirdMember + "}"
	for _, accept := range []bool{false, true} {
		b := newBench(t, func(c *Config) { c.AcceptUnserved = accept })
		for _, c := range []struct{ content, parts string }{
			{payFor(1, ""), "payment_data"},
			{thirdMember + "}", "third_party_data"},
			{both, "payment_data, third_party_data"},
			{"", ""},
		} {
			r := request("full", "POST", "/messages", message(active, c.content))
			a := b.doc.Do(t, b.mux, r)
			line := b.doc.Do(t, b.mux, bulkRequest("full", message(active, c.content)))
			if !accept && c.parts != "" {
				kind, _, detail := problemOf(t, a)
				if a.Status != http.StatusNotImplemented || kind != "not-served" ||
					!strings.Contains(detail, c.parts[:12]) {
					t.Errorf("%s: got %d %s %q, want 501", c.parts, a.Status, kind, detail)
				}
				if !strings.Contains(string(line.Body), `"status_code":501,`) {
					t.Errorf("%s: a line is answered %s", c.parts, line.Body)
				}
				continue
			}
			if got := a.Header.Get(UnservedHeader); a.Status != 201 || got != c.parts {
				t.Errorf("%q: got %d, unserved %q", c.parts, a.Status, got)
			}
			if c.parts != "" != strings.Contains(string(line.Body), `,"unserved":"`+c.parts+`"}`) {
				t.Errorf("%q: a line is answered %s", c.parts, line.Body)
			}
		}
		if want := 2; !accept && b.relay.asked != want {
			t.Errorf("%d messages were submitted, want %d", b.relay.asked, want)
		}
	}
	// The contract's own refusals come first.
	b := newBench(t, func(c *Config) { c.AcceptUnserved = false })
	a := b.doc.Do(t, b.mux, request("full", "POST", "/messages", message(active, payFor(100_001, ""))))
	if kind, _, _ := problemOf(t, a); kind != "payment-amount-exceeded" {
		t.Errorf("an amount that is too large: %s", kind)
	}
}
