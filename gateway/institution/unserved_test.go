package institution

import (
	"fmt"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

// What nothing serves is refused, or taken and said: in single submissions and in lines.
func TestUnserved(t *testing.T) {
	both := payFor(1, "") + thirdMember + "}"
	refused := map[string]string{"payment_data": "501 not-served",
		"third_party_data":               "404 configuration-not-found",
		"payment_data, third_party_data": "404 configuration-not-found"}
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
				if got := fmt.Sprint(a.Status, " ", kind); got != refused[c.parts] {
					t.Errorf("%s: got %s %q, want %s", c.parts, got, detail, refused[c.parts])
				}
				if !strings.Contains(string(line.Body), `"status_code":`+refused[c.parts][:3]+`,`) {
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

// TestConfigurationServes: with a configuration of the institution's a message with remote content
// is taken without a mark, and has the configuration's precondition where it names none.
func TestConfigurationServes(t *testing.T) {
	const id = wire.RemoteContentID("01ARZ3NDEKTSV4RRFFQ69G5FAV")
	for _, accept := range []bool{false, true} {
		b := newBench(t, func(c *Config) { c.AcceptUnserved = accept })
		own := b.relay.services[wire.HashKey("key-full")].Institution.ID
		for _, c := range []struct {
			content, precondition, want string
			of                          wire.InstitutionID
			status                      int
		}{
			{thirdMember + "}", "NEVER", "", own, 201},
			{thirdMember + "}", "ONCE", "ONCE", own, 201},
			{thirdMember + `,"has_precondition":"NEVER"}`, "ALWAYS", "NEVER", own, 201},
			{strings.ToLower(thirdMember) + "}", "ALWAYS", "ALWAYS", own, 201},
			{thirdMember + "}", "NEVER", "configuration-of-another", "99999999999", 403},
		} {
			b.relay.remotes = map[wire.RemoteContentID]*wire.RemoteContent{id: {ID: id,
				Institution: c.of, Precondition: c.precondition}}
			a := b.doc.Do(t, b.mux, request("full", "POST", "/messages", message(active, c.content)))
			if a.Status != c.status || a.Header.Get(UnservedHeader) != "" {
				t.Fatalf("%s: got %d %s", c.content, a.Status, a.Body)
			}
			if c.status != 201 {
				if kind, _, _ := problemOf(t, a); kind != c.want {
					t.Errorf("got %s, want %s", kind, c.want)
				}
				continue
			}
			var got wire.Content
			if err := wire.Decode(b.relay.last.Content, &got); err != nil {
				t.Fatal(err)
			}
			if got.ThirdParty.HasPrecondition != c.want {
				t.Errorf("%s under %s: precondition %q, want %q", c.content, c.precondition,
					got.ThirdParty.HasPrecondition, c.want)
			}
		}
	}
}
