package institution

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/internal/openapitest"
	"github.com/staffetta/staffetta/wire"
)

func TestKey(t *testing.T) {
	b := newBench(t)
	const missing = `Access denied due to missing subscription key. Make sure to include ` +
		`subscription key when making requests to an API.`
	const invalid = `Access denied due to invalid subscription key. Make sure to provide a valid ` +
		`key for an active subscription.`
	const urn = `"urn:staffetta:problem:subscription-key-`
	for key, want := range map[string]string{
		"": `{"statusCode":401,"message":"` + missing + `","title":"Unauthorized","type":` + urn +
			`missing"}`,
		"nobody's": `{"statusCode":401,"message":"` + invalid + `","title":"Unauthorized","type":` +
			urn + `invalid"}`,
	} {
		r := request("", "POST", "/messages", message(active, ""))
		if key != "" {
			r.Header.Set(KeyHeader, key)
		}
		a := b.doc.Do(t, b.mux, r)
		if got := string(a.Body); a.Status != 401 || got != want {
			t.Errorf("key %q: %d %s, want %s", key, a.Status, got, want)
		}
		if got := a.Header.Get("Content-Type"); got != "application/json" {
			t.Errorf("Content-Type %q", got)
		}
		// Who names problem details gets them; who takes anything gets the contract's form.
		for accept, want := range map[string]string{"*/*": "application/json",
			"application/json, application/problem+json;q=0":   "application/json",
			"application/json, Application/Problem+JSON;q=0.5": "application/problem+json"} {
			r := request("", "POST", "/messages", message(active, ""))
			r.Header.Set(KeyHeader, key)
			r.Header.Set("Accept", accept)
			a := b.doc.Do(t, b.mux, r)
			if got := a.Header.Get("Content-Type"); a.Status != 401 || got != want {
				t.Errorf("Accept %s: %d of type %s, want %s", accept, a.Status, got, want)
			} else if got == "application/problem+json" {
				if kind, title, _ := problemOf(t, a); title != "Unauthorized" ||
					!strings.HasPrefix(kind, "subscription-key-") {
					t.Errorf("Accept %s: %s", accept, a.Body)
				}
			}
		}
	}
}

// A body that is encoded is refused for what it is: its bytes are no JSON, and no key of the
// service is wrong.
func TestContentEncoding(t *testing.T) {
	b := newBench(t)
	for _, path := range []string{"/messages", "/messages/" + active, "/profiles", "/messages/bulk"} {
		r := request("full", "POST", path, "\x1f\x8b\x08")
		if path == "/messages/bulk" {
			r.Header.Set("Content-Type", bulkType)
		}
		r.Header.Set("Content-Encoding", "gzip")
		a := b.doc.DoAny(t, b.mux, r)
		kind, _, detail := problemOf(t, a)
		if a.Status != 415 || kind != "unsupported-media-type" ||
			!strings.Contains(detail, "Content-Encoding") ||
			a.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("%s: %d %s %q, %v", path, a.Status, kind, detail, a.Header)
		}
	}
	r := request("full", "POST", "/messages", message(active, ""))
	r.Header.Set("Content-Encoding", "identity")
	if a := b.doc.Do(t, b.mux, r); a.Status != 201 {
		t.Errorf("identity: %d %s", a.Status, a.Body)
	}
}

// Two refusals with one title and one status are told apart by their details, too: this one says
// which address was seen, which is what an institution behind a proxy has to know.
func TestSourceIsNamed(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	b.service("elsewhere", everyScope...).Service.AuthorizedCIDRs = []string{"10.0.0.0/8"}
	for forwarded, want := range map[string]string{"": "192.0.2.1", "203.0.113.9": "203.0.113.9",
		"2001:db8::7": "2001:db8::7"} {
		r := request("elsewhere", "POST", "/messages", message(active, ""))
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		a := b.doc.Do(t, b.mux, r)
		if _, _, detail := problemOf(t, a); a.Status != 403 || !strings.Contains(detail, want) {
			t.Errorf("from %s: %d %s", want, a.Status, a.Body)
		}
	}
	if strings.Contains(b.log.String(), "192.0.2.1") {
		t.Errorf("an address is logged: %s", b.log)
	}
}

// noKeys is a relay that finds nobody to ask for keys.
type noKeys struct{ Relay }

func (noKeys) ServiceByKey(context.Context, wire.KeyHash) (*wire.ServiceAccess, error) {
	return nil, wire.Errorf(wire.Unavailable, "no node answers")
}

func TestNotReady(t *testing.T) {
	b := newBench(t)
	b.relay.hasher = nil
	a := b.doc.Do(t, b.mux, request("full", "POST", "/messages", message(active, "")))
	if kind, _, _ := problemOf(t, a); a.Status != 503 || kind != "not-ready" {
		t.Errorf("without a directory key: %d %s", a.Status, kind)
	}
	b = newBench(t, func(c *Config) { c.Relay = noKeys{c.Relay} })
	a = b.doc.Do(t, b.mux, request("full", "POST", "/messages", message(active, "")))
	if kind, _, _ := problemOf(t, a); a.Status != 503 || kind != "unavailable" {
		t.Errorf("without a node to ask for keys: %d %s", a.Status, kind)
	}
}

func rateHeaders(a *openapitest.Answer) []string {
	var all []string
	for _, name := range []string{"x-rate-limit-remaining", "RateLimit", "RateLimit-Policy",
		"x-rate-limit-retry-after", "Retry-After"} {
		all = append(all, a.Header.Get(name))
	}
	return all
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.service("plain", "ApiMessageWrite", "ApiLimitedProfileRead")
		b.service("sister", "ApiLimitedProfileRead").Institution.ID = "inst-plain"
		b.service("raised", "ApiRateLimit250")
		get := func(service string) *openapitest.Answer {
			return b.doc.Do(t, b.mux, request(service, "GET", "/profiles/"+active, ""))
		}
		if got, want := rateHeaders(get("plain")), []string{"149", `"institution";r=149;t=5`,
			`"institution";q=150;w=5`, "", ""}; !slices.Equal(got, want) {
			t.Errorf("headers %q, want %q", got, want)
		}
		time.Sleep(1500 * time.Millisecond)
		for range 148 {
			get("sister") // the institution counts, not the service
		}
		if got := get("plain"); got.Status != 200 || got.Header.Get("x-rate-limit-remaining") != "0" {
			t.Errorf("call 150: %d, %q left", got.Status, got.Header.Get("x-rate-limit-remaining"))
		}
		a := get("plain")
		if got, want := string(a.Body), `{"statusCode":429,"message":"Rate limit is exceeded. `+
			`Try again in 4 seconds.","title":"Too many requests",`+
			`"type":"urn:staffetta:problem:rate-limit-exceeded"}`; a.Status != 429 || got != want {
			t.Errorf("call 151: %d %s, want %s", a.Status, got, want)
		}
		if got, want := rateHeaders(a), []string{"0", `"institution";r=0;t=4`,
			`"institution";q=150;w=5`, "4", "4"}; !slices.Equal(got, want) {
			t.Errorf("headers %q, want %q", got, want)
		}
		if got := get("raised").Header.Get("x-rate-limit-remaining"); got != "249" {
			t.Errorf("another institution, raised: %q left, want 249", got)
		}
		if got := rateHeaders(get("full")); !slices.Equal(got, make([]string, 5)) {
			t.Errorf("unlimited: headers %q", got)
		}
		time.Sleep(3500 * time.Millisecond)
		if got := get("plain"); got.Header.Get("x-rate-limit-remaining") != "149" {
			t.Errorf("next window: %d, %q", got.Status, rateHeaders(got))
		}
	})
}

// A full table refuses newcomers, forgets ended windows, and never grows beyond its bound.
func TestRatesBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRates(0, 0, 0)
		take := func(i int) allowance {
			return r.take(&wire.Institution{ID: wire.InstitutionID(strconv.Itoa(i))})
		}
		for i := range ratesMax {
			if take(i).refused {
				t.Fatalf("institution %d refused", i)
			}
		}
		if !take(ratesMax).refused || len(r.windows) != ratesMax {
			t.Errorf("%d windows kept", len(r.windows))
		}
		if take(0).refused {
			t.Error("an institution that is counted already was refused")
		}
		time.Sleep(rateWindow)
		if take(ratesMax).refused {
			t.Error("refused although all windows have ended")
		}
	})
}

func TestClientAddr(t *testing.T) {
	a := &API{proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("fd00::/8")}}
	for _, c := range []struct {
		remote    string
		forwarded []string
		want      string
	}{
		{"192.0.2.1:80", nil, "192.0.2.1"},
		{"[::ffff:192.0.2.1]:80", nil, "192.0.2.1"},
		{"[fe80::1%eth0]:80", nil, "fe80::1"},
		{"192.0.2.1:80", []string{"198.51.100.1"}, "192.0.2.1"}, // not believed
		{"10.0.0.1:80", nil, "10.0.0.1"},
		{"10.0.0.1:80", []string{"198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1:80", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"10.0.0.1:80", []string{"203.0.113.9, 198.51.100.1, 10.9.9.9"}, "198.51.100.1"},
		{"10.0.0.1:80", []string{"lie", "198.51.100.1", "fd00::2"}, "198.51.100.1"},
		{"10.0.0.1:80", []string{"10.0.0.2"}, "10.0.0.2"},
		{"10.0.0.1:80", []string{"unknown"}, ""},
		{"10.0.0.1:80", []string{"198.51.100.1,"}, ""},
		{"@", nil, ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.remote
		r.Header["X-Forwarded-For"] = c.forwarded
		got, ok := a.clientAddr(r)
		if ok != (c.want != "") || ok && got.String() != c.want {
			t.Errorf("%s %q: got %v %v, want %q", c.remote, c.forwarded, got, ok, c.want)
		}
	}
}

func TestAddressUnknown(t *testing.T) {
	b := newBench(t)
	r := request("full", "POST", "/messages", message(active, ""))
	r.RemoteAddr = "@"
	a := b.doc.Do(t, b.mux, r)
	kind, title, detail := problemOf(t, a)
	if a.Status != 500 || kind != "source-address-unknown" || title != "Internal server error" ||
		detail != "IP address cannot be extracted from the request" {
		t.Errorf("got %d %s %q %q", a.Status, kind, title, detail)
	}
}

func TestInRanges(t *testing.T) {
	for _, c := range []struct {
		addr, ranges string
		want         bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.2", "192.0.2.1", false},
		{"192.0.2.77", "192.0.2.1/24", true},
		{"192.0.3.1", "10.0.0.0/8 192.0.2.0/24", false},
		{"192.0.2.1", "999.0.2.1 192.0.2.0/33", false},
		{"2001:db8::1", "192.0.2.0/24", false},
		{"2001:db8::1", "0.0.0.0/0", true},
		{"2001:db8::1", "2001:db8::/32", true},
	} {
		got := inRanges(netip.MustParseAddr(c.addr), strings.Fields(c.ranges))
		if got != c.want {
			t.Errorf("%s in %s: %v, want %v", c.addr, c.ranges, got, c.want)
		}
	}
}

func TestPathsAndMethods(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"POST", "/messages/", 201}, {"POST", "/profiles/", 200},
		{"GET", "/profiles/" + active + "/", 200}, {"HEAD", "/profiles/" + active, 200},
		{"GET", "/messages/" + active + "/1/", 404},
		{"PUT", "/messages", 405}, {"GET", "/messages", 405}, {"DELETE", "/profiles/x", 405},
		{"GET", "/nothing", 404},
	} {
		body := ""
		if c.method == "POST" {
			body = message(active, "")
		}
		rec := httptest.NewRecorder()
		b.mux.ServeHTTP(rec, request("full", c.method, c.path, body))
		if rec.Code != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, rec.Code, c.want)
		}
	}
}

func TestConfig(t *testing.T) {
	if _, err := New(Config{RateCalls: -1, TrustedProxies: []netip.Prefix{{}}}); err == nil ||
		strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v, want three problems", err)
	}
	b := newBench(t)
	if _, err := New(Config{Relay: b.relay, Registerer: b.reg}); err == nil {
		t.Error("metrics registered twice")
	}
	if _, err := New(Config{Relay: b.relay}); err != nil {
		t.Errorf("smallest config: %v", err)
	}
}

// docs/problems.md lists every problem.
func TestProblems(t *testing.T) {
	openapitest.CheckProblems(t, "../../docs/problems.md", "Institutions", Problems())
}

// The contract's test citizen is every service's to write to and to ask for, on trial or not, and
// whether or not the service is complete.
func TestSandbox(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"limited", "bare"} {
		s := b.service(name, "ApiLimitedMessageWrite", "ApiLimitedProfileRead", "ApiNoRateLimit")
		s.Service.AuthorizedRecipients = nil
		if name == "bare" {
			s.Service.AuthorizedCIDRs, s.Service.Metadata = nil, wire.ServiceMetadata{}
		}
		for _, c := range []struct {
			code string
			want int
		}{{"AAAAAA00A00A000A", 0}, {active, 403}} {
			for _, r := range []*http.Request{
				request(name, "POST", "/messages", message(c.code, "")),
				request(name, "POST", "/profiles", `{"fiscal_code":"`+c.code+`"}`),
				request(name, "GET", "/profiles/"+c.code, ""),
			} {
				a := b.doc.Do(t, b.mux, r)
				if got := a.Status; c.want == 0 && got >= 300 || c.want != 0 && got != c.want {
					t.Errorf("%s: %s %s of %s: %d %s", name, r.Method, r.URL.Path, c.code, got,
						a.Body)
				}
			}
		}
	}
}
