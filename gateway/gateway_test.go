package gateway

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/staffetta/staffetta/internal/adminhttp"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/wire"
)

func authority(t testing.TB) *ca.CA {
	t.Helper()
	a, err := ca.New("italia", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func running(t testing.TB, change ...func(*Config)) (*node, *site) {
	t.Helper()
	a := authority(t)
	n, addr := startNode(t, a)
	cfg := config(t, a, addr)
	for _, c := range change {
		c(&cfg)
	}
	s := startSite(t, cfg)
	await(t, "the gateway is ready", func() bool { return s.Ready() == nil })
	return n, s
}

func TestMessageThroughTheEdge(t *testing.T) {
	n, s := running(t)
	resp, body := s.do(t, "POST", "/api/v1/messages", testBody,
		"Ocp-Apim-Subscription-Key", testKey, "Content-Type", "application/json")
	var answer struct{ ID string }
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields() // as clients of the contract
	if err := d.Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 201 || resp.Header.Get("Staffetta-Status") != "PROCESSED" ||
		len(answer.ID) != 26 {
		t.Errorf("got %d %s, want a processed message", resp.StatusCode, body)
	}
	n.mu.Lock()
	blocks := n.blocks
	n.mu.Unlock()
	if blocks != 1 {
		t.Errorf("%d blocks sent, want 1", blocks)
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options":    "nosniff",
		"X-Frame-Options":           "DENY",
		"Referrer-Policy":           "no-referrer",
		"Content-Security-Policy":   "default-src 'none'; frame-ancestors 'none'",
		"Strict-Transport-Security": "max-age=15552000; includeSubDomains",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	id := resp.Header.Get("X-Request-Id")
	if len(id) != 16 {
		t.Errorf("request id %q, want 16 characters", id)
	}
	if int(resp.ContentLength) != len(body) {
		t.Errorf("length announced %d, want %d", resp.ContentLength, len(body))
	}
	resp, _ = s.do(t, "POST", "/api/v1/messages", testBody, "Ocp-Apim-Subscription-Key", "no")
	if resp.StatusCode != 401 {
		t.Errorf("unknown key: got %d, want 401", resp.StatusCode)
	}
	if next := resp.Header.Get("X-Request-Id"); next == id {
		t.Errorf("two requests have the id %q", id)
	}
	s.do(t, "GET", "/api/v1/messages/"+testCode+"/"+answer.ID+"?x="+testCode, "")
	s.do(t, "GET", "/"+testCode, "", "X-Request-Id", testCode, "Ocp-Apim-Subscription-Key", testKey)

	// Nothing of this is in the logs, at the most talkative level, nor in metrics or status.
	resp, metrics := s.send(t, request(t, s.admin+"/metrics"))
	if resp.StatusCode != 200 {
		t.Errorf("/metrics: got %d", resp.StatusCode)
	}
	_, status := s.send(t, request(t, s.admin+"/status"))
	for what, text := range map[string]string{"log": s.logs.String(), "metrics": metrics,
		"status": status} {
		for _, secret := range []string{testCode, testKey, "A text that is long", "A subject"} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s shows %q", what, secret)
			}
		}
	}
	for _, want := range []string{`staffetta_http_requests_total{route="POST /api/v1/messages",` +
		`status="201"} 1`, `staffetta_http_requests_total{route="none",status="404"} 1`,
		`staffetta_route_submissions_total{outcome="processed"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	var st struct{ ID, Region, FeedNode string }
	if err := json.Unmarshal([]byte(strings.ReplaceAll(status, "feed_node", "FeedNode")),
		&st); err != nil || st.ID != "gw-1" || st.Region != "lazio" || st.FeedNode != "lazio-1" {
		t.Errorf("status %s, want gateway, region and node named", status)
	}
}

// The limit reaches the API: beyond its first burst, one submission a second is taken.
func TestCapacityLimit(t *testing.T) {
	_, s := running(t, func(c *Config) { c.Limits.Capacity = 1 })
	for range 1000 {
		resp, body := s.do(t, "POST", "/api/v1/messages", testBody,
			"Ocp-Apim-Subscription-Key", testKey)
		if resp.StatusCode == 503 {
			if !strings.Contains(body, "overloaded") || resp.Header.Get("Retry-After") != "1" {
				t.Errorf("refused with %v %s", resp.Header, body)
			}
			return
		}
	}
	t.Error("1,000 submissions were taken at one a second")
}

func request(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestUnknownPathsAndMethods(t *testing.T) {
	_, s := running(t)
	for _, c := range []struct {
		method, path string
		status       int
		kind         string
	}{
		{"GET", "/nothing", 404, "unknown-path"},
		{"GET", "/api/v1/nothing", 404, "unknown-path"},
		{"DELETE", "/api/v1/messages", 405, "method-not-allowed"},
		{"PUT", "/openapi/citizens.yaml", 405, "method-not-allowed"},
		{"GET", "/openapi/secret.yaml", 404, "unknown-path"},
		{"GET", "/metrics", 404, "unknown-path"}, // the operator's, elsewhere
	} {
		resp, body := s.do(t, c.method, c.path, "")
		var p struct {
			Type   string
			Status int
		}
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Errorf("%s %s: %v in %q", c.method, c.path, err, body)
			continue
		}
		if resp.StatusCode != c.status || p.Status != c.status ||
			p.Type != "urn:staffetta:problem:"+c.kind ||
			resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: got %d %s, want %d %s", c.method, c.path, resp.StatusCode, body,
				c.status, c.kind)
		}
		if allow := resp.Header.Get("Allow"); c.status == 405 && allow == "" {
			t.Errorf("%s %s: no Allow header", c.method, c.path)
		}
	}
}

// TestPages: a browser gets a page, also of what is not served, and a client of an API never does.
func TestPages(t *testing.T) {
	_, s := running(t)
	const accept = "text/html,application/xhtml+xml,*/*;q=0.8"
	for path, status := range map[string]int{"/": 200, "/help": 200, "/nothing": 404,
		"/api/v1/nothing": 404} {
		for _, coding := range []string{"", "gzip"} {
			resp, body := s.do(t, "GET", path, "", "Accept", accept, "Accept-Encoding", coding)
			if resp.StatusCode != status ||
				resp.Header.Get("Content-Type") != "text/html; charset=utf-8" ||
				resp.Header.Get("Content-Encoding") != coding ||
				coding == "" && !strings.HasSuffix(body, "</html>\n") {
				t.Errorf("%s with %q: %d %v", path, coding, resp.StatusCode, resp.Header)
			}
		}
	}
	resp, _ := s.do(t, "GET", "/nothing", "", "Accept", "*/*")
	if resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("a client gets %v", resp.Header)
	}
}

func TestBrowsersMayCallTheInstitutionsAPI(t *testing.T) {
	_, s := running(t)
	for _, c := range []struct {
		method, path, asks string
		status             int
		allowed            string
	}{
		{"OPTIONS", "/api/v1/messages", "POST", 204, "*"},
		{"GET", "/api/v1/messages/AAAAAA00A00A000A/x", "", 401, "*"},
		{"OPTIONS", "/api/identity/v1/profile", "POST", 405, ""},
	} {
		header := []string{"Origin", "https://ente.example"}
		if c.asks != "" {
			header = append(header, "Access-Control-Request-Method", c.asks)
		}
		resp, _ := s.do(t, c.method, c.path, "", header...)
		got := resp.Header.Get("Access-Control-Allow-Origin")
		if resp.StatusCode != c.status || got != c.allowed {
			t.Errorf("%s %s: %d, origin %q, want %d, %q", c.method, c.path, resp.StatusCode, got,
				c.status, c.allowed)
		}
	}
}

func TestDocumentsAreServed(t *testing.T) {
	_, s := running(t)
	resp, body := s.do(t, "GET", "/openapi/", "")
	var index struct{ Documents []string }
	if err := json.Unmarshal([]byte(body), &index); err != nil || resp.StatusCode != 200 {
		t.Fatalf("got %d %s, %v", resp.StatusCode, body, err)
	}
	if len(index.Documents) != 2 {
		t.Errorf("documents %v, want the institutions' and the citizens'", index.Documents)
	}
	for _, path := range index.Documents {
		resp, body := s.do(t, "GET", path, "")
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/yaml" {
			t.Errorf("%s: got %d %s", path, resp.StatusCode, resp.Header.Get("Content-Type"))
		}
		doc, err := openapi3.NewLoader().LoadFromData([]byte(body))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if err := doc.Validate(t.Context()); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestHTTP2(t *testing.T) {
	a := authority(t)
	cert, err := issue(t, a, "spiffe://italia/region/lazio/node/web")()
	if err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]*tls.Config{"clear": nil,
		"tls": {Certificates: []tls.Certificate{*cert}}} {
		_, s := running(t, func(c *Config) { c.TLS = config })
		transport := &http.Transport{Protocols: new(http.Protocols),
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		transport.Protocols.SetHTTP2(true)
		transport.Protocols.SetUnencryptedHTTP2(config == nil)
		if config != nil {
			s.url = strings.Replace(s.url, "http:", "https:", 1)
		}
		s.client = &http.Client{Transport: transport}
		resp, body := s.do(t, "POST", "/api/v1/messages", testBody,
			"Ocp-Apim-Subscription-Key", testKey)
		if resp.ProtoMajor != 2 || resp.StatusCode != 201 {
			t.Errorf("%s: got %d %s over HTTP/%d, want 201 over HTTP/2", name, resp.StatusCode,
				body, resp.ProtoMajor)
		}
		transport.CloseIdleConnections()
	}
}

func TestLargeBody(t *testing.T) {
	_, s := running(t)
	resp, _ := s.do(t, "POST", "/api/v1/messages", strings.Repeat(" ", 256<<10)+testBody,
		"Ocp-Apim-Subscription-Key", testKey)
	if resp.StatusCode != 413 {
		t.Errorf("got %d, want 413", resp.StatusCode)
	}
}

func TestHealth(t *testing.T) {
	a := authority(t)
	cfg := config(t, a, "127.0.0.1:9") // nobody there
	s := startSite(t, cfg)
	health := func() (int, adminhttp.Health) {
		var h adminhttp.Health
		resp, body := s.send(t, request(t, s.admin+"/health"))
		if err := json.Unmarshal([]byte(body), &h); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, h
	}
	code, h := health()
	if code != 503 || h.Ready || len(h.Reasons) != 1 || !strings.Contains(h.Reasons[0], "lazio") {
		t.Errorf("without nodes: got %d %+v, want the reason", code, h)
	}
	resp, _ := s.do(t, "POST", "/api/v1/messages", testBody, "Ocp-Apim-Subscription-Key", testKey)
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("without nodes: got %d, want 503 with Retry-After", resp.StatusCode)
	}
	_, s = running(t)
	if code, h := health(); code != 200 || !h.Ready {
		t.Errorf("with a node: got %d %+v, want ready", code, h)
	}
}

func TestRequestUnderWayIsFinished(t *testing.T) {
	n, s := running(t)
	n.mu.Lock()
	n.hold = make(chan struct{})
	n.mu.Unlock()
	type result struct {
		status int
		err    error
	}
	answered := make(chan result, 1)
	go func() {
		r, _ := http.NewRequest("POST", s.url+"/api/v1/messages", strings.NewReader(testBody))
		r.Header.Set("Ocp-Apim-Subscription-Key", testKey)
		resp, err := s.client.Do(r)
		if err != nil {
			answered <- result{0, err}
			return
		}
		resp.Body.Close()
		answered <- result{resp.StatusCode, nil}
	}()
	await(t, "the block is under way", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.blocks > 0
	})
	s.stop()
	await(t, "the gateway drains", func() bool { return s.Status().Draining })
	if err := s.Ready(); err == nil {
		t.Error("ready while draining")
	}
	if _, err := http.Get(s.url + "/openapi/"); err == nil {
		t.Error("a new connection was served while draining")
	}
	close(n.hold)
	if got := <-answered; got.err != nil || got.status != 201 {
		t.Errorf("under way when the gateway was told to stop: got %+v, want 201", got)
	}
	if err := <-s.done; err != nil {
		t.Errorf("Run: got %v, want nil", err)
	}
}

func TestRunEndsWhenItsSocketFails(t *testing.T) {
	_, s := running(t)
	s.cfg.HTTP.Close()
	if err := <-s.done; err == nil || !strings.Contains(err.Error(), "HTTP") {
		t.Errorf("listener gone: got %v, want it named", err)
	}
}

func TestNewRefuses(t *testing.T) {
	a := authority(t)
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no listener": {func(c *Config) { c.HTTP.Close(); c.HTTP = nil }, "no HTTP listener"},
		"no nodes":    {func(c *Config) { c.Nodes = nil }, "no home node"},
		"a node's certificate": {func(c *Config) {
			c.Link.Certificate = issue(t, a, "spiffe://italia/region/lazio/node/lazio-1")
		}, "no gateway"},
		"another federation": {func(c *Config) { c.Link.Federation = "francia" }, "federation"},
		"negative":           {func(c *Config) { c.DrainWait = -1 }, "negative"},
		"weight of nobody": {func(c *Config) {
			c.Weights = map[wire.InstitutionID]int{"x": 1}
		}, "weight"},
		"weight too large": {func(c *Config) {
			c.Weights = map[wire.InstitutionID]int{"01234567890": 101}
		}, "1-100"},
	} {
		cfg := config(t, a, "127.0.0.1:9")
		c.change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
