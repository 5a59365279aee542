package link

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go/testutils/simnet"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/wire"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testFederation = "italia"
	testLatency    = 2 * time.Millisecond
	methodEcho     = wire.Method(900)
	methodBlock    = wire.Method(901) // answers when its caller gives up
	methodFail     = wire.Method(902)
	methodCount    = wire.Method(903) // a stream
)

// world is a simulated network with an authority. It lives inside a bubble.
type world struct {
	t      *testing.T
	router *cutRouter
	ca     *ca.CA
}

func newWorld(t *testing.T) *world {
	t.Helper()
	authority, err := ca.New(testFederation, 30*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, router: &cutRouter{}, ca: authority}
}

// cutRouter loses the packets of addresses that are cut off, and of ways: "a to b".
type cutRouter struct {
	simnet.PerfectRouter
	mu  sync.Mutex
	off map[string]bool
	mtu int // of the network, IPv4 and UDP headers included; larger packets are lost; 0: any
}

func (r *cutRouter) SendPacket(p simnet.Packet) error {
	r.mu.Lock()
	from, to := p.From.String(), p.To.String()
	lost := r.off[from] || r.off[to] || r.off[from+" to "+to] ||
		r.mtu > 0 && len(p.Data)+headersV4 > r.mtu
	r.mu.Unlock()
	if lost {
		return nil
	}
	return r.PerfectRouter.SendPacket(p)
}

func (r *cutRouter) cut(addr string, off bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.off == nil {
		r.off = map[string]bool{}
	}
	r.off[addr] = off
}

// member is a running link and its place in the world.
type member struct {
	*Link
	addr string
	reg  *prometheus.Registry
	stop func() error // ends Run and takes the member off the network
}

// issue makes a certificate for an identity.
func issue(t testing.TB, authority *ca.CA, id string, validity time.Duration) *tls.Certificate {
	t.Helper()
	u, err := url.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := authority.Issue(u, validity)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return &cert
}

func always(cert *tls.Certificate) func() (*tls.Certificate, error) {
	return func() (*tls.Certificate, error) { return cert, nil }
}

// join starts a member at 10.0.0.<host>:7000. setup may be nil.
func (w *world) join(id string, host byte, setup func(*Config)) *member {
	return w.joinWith(id, host, setup, registerTestMethods)
}

func (w *world) joinWith(id string, host byte, setup func(*Config),
	methods func(*Link)) *member {
	w.t.Helper()
	addr := &net.UDPAddr{IP: net.IPv4(10, 0, 0, host).To4(), Port: 7000}
	wireLink := &simnet.SimulatedLink{UploadPacket: w.router, Latency: testLatency}
	conn := simnet.NewBlockingSimConn(addr, wireLink)
	wireLink.Start()
	w.router.AddNode(addr, wireLink) // last: packets come from here on
	m := &member{addr: addr.String(), reg: prometheus.NewRegistry()}
	key := [32]byte{host}
	cfg := Config{
		Federation:  testFederation,
		PacketConn:  conn,
		Authorities: w.ca.Authorities,
		Addr:        func(wire.NodeID) (string, bool) { return "", false },
		Registerer:  m.reg,
		ResetKey:    &key,
	}
	if setup != nil {
		setup(&cfg)
	}
	if cfg.Certificate == nil {
		cfg.Certificate = always(issue(w.t, w.ca, id, 24*time.Hour))
	}
	if u, err := url.Parse(id); err == nil {
		parsed, err := ParseIdentity(u)
		cfg.Listen = err == nil && parsed.Role == RoleNode
	}
	m.start(w.t, cfg, methods, func() {
		time.Sleep(testLatency) // a real network carries what was sent last, too
		conn.Close()
		wireLink.Close()
	})
	return m
}

func (m *member) start(t testing.TB, cfg Config, methods func(*Link), release func()) {
	t.Helper()
	l, err := New(cfg)
	if err != nil {
		release()
		t.Fatal(err)
	}
	m.Link = l
	if methods != nil {
		methods(l)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	var once sync.Once
	m.stop = func() error {
		var err error
		once.Do(func() {
			cancel()
			err = <-ended
			release()
		})
		return err
	}
	t.Cleanup(func() {
		if err := m.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func registerTestMethods(l *Link) {
	everyone := []Role{RoleNode, RoleGateway, RoleOperator}
	l.Handle(methodEcho, func(_ context.Context, _ Identity, req []byte) ([]byte, error) {
		return req, nil
	}, everyone...)
	l.Handle(methodBlock, func(ctx context.Context, _ Identity, _ []byte) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}, everyone...)
	l.HandleStream(methodCount, func(_ context.Context, _ Identity, req []byte,
		send func([]byte) error) error {
		for i := range req[0] {
			if err := send([]byte{i}); err != nil {
				return err
			}
		}
		return nil
	}, everyone...)
}

// value reads a metric's sum over the series that have all the labels given as name, value, ….
func (m *member) value(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := m.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, series := range f.GetMetric() {
			have := map[string]string{}
			for _, l := range series.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			match := true
			for i := 0; i < len(labels); i += 2 {
				match = match && have[labels[i]] == labels[i+1]
			}
			if match {
				sum += series.GetGauge().GetValue() + series.GetCounter().GetValue()
			}
		}
	}
	return sum
}

const (
	idLazio1   = "spiffe://italia/region/lazio/node/lazio-1"
	idLazio2   = "spiffe://italia/region/lazio/node/lazio-2"
	idSicilia1 = "spiffe://italia/region/sicilia/node/sicilia-1"
	idGateway  = "spiffe://italia/region/lazio/gateway/edge-1"
	idOperator = "spiffe://italia/operator/ada"
)

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// knows makes an Addr of members.
func knows(list ...*member) func(*Config) {
	return func(c *Config) {
		c.Addr = func(n wire.NodeID) (string, bool) {
			for _, m := range list {
				if m.self.Node() == n {
					return m.addr, true
				}
			}
			return "", false
		}
	}
}

func mustEcho(t *testing.T, from *member, to Peer) {
	t.Helper()
	got, err := from.Call(within(t, 10*time.Second), to, methodEcho, []byte("ciao"))
	if err != nil || string(got) != "ciao" {
		t.Fatalf("call: got %q, %v, want ciao", got, err)
	}
}

// wantCode checks an error's code, and that it is the one type that Call returns.
func wantCode(t *testing.T, err error, want wire.Code) {
	t.Helper()
	e, ok := err.(*wire.Error)
	if !ok || e.Code != want {
		t.Fatalf("got %T %v, want a *wire.Error with %s", err, err, want)
	}
}
