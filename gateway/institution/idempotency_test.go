package institution

import (
	"net/http"
	"strings"
	"testing"
)

// Wherever a key stands, and in either of its forms, it is one key: the message is the first one.
func TestOneKey(t *testing.T) {
	b := newBench(t)
	header := func(value string) func() *http.Request {
		return func() *http.Request {
			r := request("full", "POST", "/messages", message(active, ""))
			r.Header.Set("Idempotency-Key", value)
			return r
		}
	}
	member := func(value string) func() *http.Request {
		return func() *http.Request {
			return request("full", "POST", "/messages", withKey(value, message(active, "")))
		}
	}
	inPath := func() *http.Request {
		r := request("full", "POST", "/messages/"+active, withKey("k", message("", "")))
		r.Header.Set("Idempotency-Key", `"k"`)
		return r
	}
	bulk := func() *http.Request {
		return bulkRequest("full", withKey("k", message(active, "")))
	}
	var first string
	for i, make := range []func() *http.Request{header("k"), header(`"k"`),
		member("k"), member(`\"k\"`), inPath, bulk} {
		a := b.doc.Do(t, b.mux, make())
		_, id, _ := strings.Cut(string(a.Body), `"id":"`)
		id, _, _ = strings.Cut(id, `"`)
		if i == 0 {
			first = id
		}
		if id == "" || id != first {
			t.Errorf("way %d: %d %s, want the id %s", i, a.Status, a.Body, first)
		}
	}
}

// A key that would be dropped is refused: its client believes that repeating is harmless.
func TestMisplacedKey(t *testing.T) {
	b := newBench(t)
	plain := message(active, "")
	for name, c := range map[string]struct{ query, header, value, body string }{
		"in the content":    {body: message(active, `,"idempotency_key":"k"`)},
		"in an object":      {body: message(active, payFor(1, `,"idempotency_key":"k"`))},
		"camel case":        {body: `{"idempotencyKey":"k",` + plain[1:]},
		"the header's name": {body: `{"Idempotency-Key":"k",` + plain[1:]},
		"in the query":      {query: "?idempotency_key=k", body: plain},
		"X- header":         {header: "X-Idempotency-Key", value: "k", body: plain},
		"underscore header": {header: "Idempotency_Key", value: "k", body: plain},
		"two keys":          {header: "Idempotency-Key", value: "a", body: withKey("b", plain)},
		"empty member":      {body: withKey("", plain)},
		"blank in member":   {body: withKey("a b", plain)},
		"open quote":        {header: "Idempotency-Key", value: `"k`, body: plain},
		"quoted nothing":    {header: "Idempotency-Key", value: `""`, body: plain},
		"quote in quotes":   {header: "Idempotency-Key", value: `"a"b"`, body: plain},
		"bad escape":        {header: "Idempotency-Key", value: `"\a"`, body: plain},
		"parameters":        {header: "Idempotency-Key", value: `"a";b=`, body: plain},
	} {
		for _, kind := range []string{"/messages", "/messages/bulk"} {
			r := request("full", "POST", kind+c.query, c.body)
			if kind != "/messages" {
				r.Header.Set("Content-Type", bulkType)
			}
			if c.header != "" {
				r.Header.Set(c.header, c.value)
			}
			a := b.doc.DoAny(t, b.mux, r)
			if !strings.Contains(string(a.Body), "problem:invalid-idempotency-key") {
				t.Errorf("%s at %s: %d %s", name, kind, a.Status, a.Body)
			}
			if kind == "/messages" && strings.HasPrefix(c.value, `"`) &&
				!strings.Contains(string(a.Body), "begins with a quote") {
				t.Errorf("%s: %s does not name its cause", name, a.Body)
			}
		}
	}
	if b.relay.asked != 0 {
		t.Errorf("%d messages were submitted", b.relay.asked)
	}
	// Where there is nothing to repeat the name means nothing, as in the contract.
	a := b.doc.Do(t, b.mux, request("full", "POST", "/profiles",
		`{"fiscal_code":"`+active+`","idempotency_key":"k"}`))
	if a.Status != 200 {
		t.Errorf("a profile: %d %s", a.Status, a.Body)
	}
}

func TestParseKey(t *testing.T) {
	long := strings.Repeat("k", idempotencyBytesMax)
	for in, want := range map[string]string{`k`: "k", `"k"`: "k", `"a\"b\\c"`: `a"b\c`, `k"`: `k"`,
		long: long, `"` + long + `"`: long, `"` + long + `k"`: "", long + "k": "", `"`: "", `"a\"`: "",
		`"a b"`: "", "": ""} {
		if got, ok := parseKey(in); ok != (want != "") || ok && got != want {
			t.Errorf("%s: got %q %v, want %q", in, got, ok, want)
		}
	}
	for name, want := range map[string]bool{"idempotency_key": true, "Idempotency-Key": true,
		"idempotencyKey": true, "X-Idempotency-Key": true, "IDEMPOTENCYKEY": true,
		"idempotency_keys": false, "idempotencykex": false, "x": false, "xxidempotencykey": false} {
		if got := namesKey(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
