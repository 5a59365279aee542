package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/gateway/citizen"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testKey  = "0123456789abcdef-secret-key"
	testCode = "RSSMRA80A01H501U"
	testBody = `{"fiscal_code":"` + testCode + `","content":{"subject":"A subject to read",` +
		`"markdown":"A text that is long enough for the contract, which wants eighty characters ` +
		`or more of it."}}`
)

// node is a relay node that leads its region alone: what a gateway needs to work.
type node struct {
	t     testing.TB
	coder *wire.Coder
	hash  *wire.Hasher
	m     wire.Map

	mu     sync.Mutex
	blocks int
	hold   chan struct{} // nil, or what submissions wait for
}

func issue(t testing.TB, authority *ca.CA, id string) func() (*tls.Certificate, error) {
	t.Helper()
	u, err := url.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := authority.Issue(u, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return func() (*tls.Certificate, error) { return &cert, nil }
}

func udp(t testing.TB) net.PacketConn {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// startNode runs a node until the test ends and returns its address.
func startNode(t testing.TB, authority *ca.CA) (*node, string) {
	t.Helper()
	coder, err := wire.NewCoder(1)
	if err != nil {
		t.Fatal(err)
	}
	conn := udp(t)
	n := &node{t: t, coder: coder, hash: wire.NewHasher(wire.DirectoryKey{5})}
	addr := conn.LocalAddr().String()
	n.m = wire.Map{Federation: "italia", Version: 1,
		Regions:    []wire.Region{{ID: "lazio", Tag: 3}},
		Nodes:      []wire.Node{{ID: "lazio-1", Region: "lazio", Addr: addr, Voter: true}},
		SlotOwners: make([]wire.RegionTag, wire.Slots)}
	for i := range n.m.SlotOwners {
		n.m.SlotOwners[i] = 3
	}
	l, err := link.New(link.Config{Federation: "italia", PacketConn: conn, Listen: true,
		Certificate: issue(t, authority, "spiffe://italia/region/lazio/node/lazio-1"),
		Authorities: authority.Authorities})
	if err != nil {
		t.Fatal(err)
	}
	for m, h := range map[wire.Method]link.Handler{wire.MethodHello: n.hello,
		wire.MethodResolve: n.resolve, wire.MethodServiceByKey: n.service,
		wire.MethodSubmit: n.submit} {
		l.Handle(m, h, link.RoleGateway)
	}
	l.HandleStream(wire.MethodFeed, n.feed, link.RoleGateway)
	background(t, l.Run, coder.Close)
	return n, addr
}

// background runs f until the test ends, which then cleans up.
func background(t testing.TB, run func(context.Context) error, after func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
		after()
	})
}

func (n *node) hello(context.Context, link.Identity, []byte) ([]byte, error) {
	return wire.Encode(&wire.Welcome{Version: 1, Node: "lazio-1", Region: "lazio",
		Key: n.hash.Key(), Map: n.m}), nil
}

func (n *node) resolve(_ context.Context, _ link.Identity, req []byte) ([]byte, error) {
	var q wire.Resolve
	if err := wire.Decode(req, &q); err != nil {
		return nil, err
	}
	a := wire.Resolved{Index: 7}
	for range q.Recipients {
		a.Entries = append(a.Entries, wire.DirectoryEntry{Region: "lazio", Epoch: 1,
			State: wire.Claimed, Active: true})
	}
	return wire.Encode(&a), nil
}

func (n *node) service(_ context.Context, _ link.Identity, req []byte) ([]byte, error) {
	var q wire.ServiceByKey
	if err := wire.Decode(req, &q); err != nil {
		return nil, err
	}
	if q.Key != wire.HashKey(testKey) {
		return nil, wire.NotFound
	}
	return wire.Encode(&wire.ServiceAccess{Index: 7,
		Service: wire.Service{ID: "01SERVICE", Institution: "12345678901", Name: "Anagrafe",
			Keys: [2]wire.KeyHash{q.Key}},
		Institution: wire.Institution{ID: "12345678901", Name: "Comune",
			Scopes: []string{"ApiMessageWrite", "ApiMessageRead", "ApiNoRateLimit"}}}), nil
}

func (n *node) submit(ctx context.Context, _ link.Identity, req []byte) ([]byte, error) {
	b, err := n.coder.Decode(req)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.blocks++
	hold := n.hold
	n.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	var out wire.Outcomes
	for i := range b.Records {
		out.List = append(out.List, wire.Outcome{Kind: wire.Decided, ID: b.Records[i].ID,
			Verdict: wire.Verdict{Status: wire.Processed}})
	}
	return wire.Encode(&out), nil
}

func (n *node) feed(ctx context.Context, _ link.Identity, _ []byte, send func([]byte) error) error {
	for {
		if err := send(wire.Encode(&wire.FeedFrame{Index: 7, Reset: true})); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// site is a running gateway.
type site struct {
	*Gateway
	url, admin string
	client     *http.Client
	logs       *logs
	registry   *prometheus.Registry
	stop       context.CancelFunc
	done       chan error
}

// logs collects a log, from several goroutines.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// config is that of a gateway of lazio.
func config(t testing.TB, authority *ca.CA, nodes ...string) Config {
	return Config{HTTP: listen(t), Admin: listen(t), Nodes: nodes,
		Link: link.Config{Federation: "italia", PacketConn: udp(t), Authorities: authority.Authorities,
			Certificate: issue(t, authority, "spiffe://italia/region/lazio/gateway/gw-1")},
		TestLogin: &citizen.TestLogin{Any: true}, Registry: prometheus.NewRegistry()}
}

// startSite runs a gateway; the test stops it, or its end does.
func startSite(t testing.TB, cfg Config) *site {
	t.Helper()
	s := &site{logs: new(logs), registry: cfg.Registry, done: make(chan error, 1),
		url: "http://" + cfg.HTTP.Addr().String(), admin: "http://" + cfg.Admin.Addr().String()}
	level := slog.LevelDebug
	if _, measured := t.(*testing.B); measured {
		level = slog.LevelInfo
	}
	cfg.Logger = slog.New(slog.NewJSONHandler(s.logs, &slog.HandlerOptions{Level: level}))
	transport := &http.Transport{DisableCompression: true}
	s.client = &http.Client{Transport: transport}
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Gateway = g
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		s.done <- g.Run(ctx)
		close(ended)
	}()
	t.Cleanup(func() {
		s.stop()
		<-ended
		transport.CloseIdleConnections()
	})
	return s
}

// await polls until ok, for as long as the test binary may run.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (s *site) do(t testing.TB, method, path, body string, header ...string) (*http.Response,
	string) {
	t.Helper()
	r, err := http.NewRequest(method, s.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return s.send(t, r)
}

func (s *site) send(t testing.TB, r *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}
