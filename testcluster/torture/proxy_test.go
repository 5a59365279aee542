package torture

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/staffetta/staffetta/testcluster/process"
)

// peers are sockets behind a network, a and b as nodes and g as a gateway.
type peers struct {
	t       *testing.T
	network *network
	sockets map[string]*net.UDPConn
	public  map[string]*net.UDPAddr
}

func newPeers(t *testing.T) *peers {
	p := &peers{t: t, sockets: map[string]*net.UDPConn{}, public: map[string]*net.UDPAddr{}}
	var ends []process.Endpoint
	for _, id := range []string{"a", "b", "g"} {
		p.sockets[id] = p.listen()
		e := process.Endpoint{ID: id, Region: "lazio", Gateway: id == "g",
			Socket: p.sockets[id].LocalAddr().String()}
		if !e.Gateway {
			free := p.listen()
			p.public[id] = free.LocalAddr().(*net.UDPAddr)
			e.Public = free.LocalAddr().String()
			free.Close()
		}
		ends = append(ends, e)
	}
	var err error
	if p.network, err = newNetwork(ends); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.network.close)
	return p
}

func (p *peers) listen() *net.UDPConn {
	p.t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	return conn
}

func (p *peers) send(from, to, text string) {
	p.t.Helper()
	if _, err := p.sockets[from].WriteToUDP([]byte(text), p.public[to]); err != nil {
		p.t.Fatal(err)
	}
}

// receive is what arrives next at a socket, and from where.
func (p *peers) receive(at string) (string, netip.AddrPort) {
	p.t.Helper()
	p.sockets[at].SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, datagramBytesMax)
	n, from, err := p.sockets[at].ReadFromUDPAddrPort(buf)
	if err != nil {
		p.t.Fatalf("nothing arrives at %s: %v", at, err)
	}
	return string(buf[:n]), from
}

// TestNetwork: datagrams pass in both directions, and each direction of each pair is cut alone.
func TestNetwork(t *testing.T) {
	p := newPeers(t)
	p.send("g", "a", "question")
	got, from := p.receive("a")
	if got != "question" {
		t.Fatalf("got %q", got)
	}
	if _, err := p.sockets["a"].WriteToUDPAddrPort([]byte("answer"), from); err != nil {
		t.Fatal(err)
	}
	got, at := p.receive("g")
	if got != "answer" || at.Port() != uint16(p.public["a"].Port) {
		t.Fatalf("got %q from %s, want the answer from the node's public address", got, at)
	}

	heal := p.network.bring(weather{Cut: true}, func(from, to string) bool {
		return from == "g" && to == "a"
	})
	p.send("g", "a", "cut off")
	p.send("g", "b", "another pair")
	if got, _ := p.receive("b"); got != "another pair" {
		t.Errorf("got %q", got)
	}
	if _, err := p.sockets["a"].WriteToUDPAddrPort([]byte("the other way"), from); err != nil {
		t.Fatal(err)
	}
	if got, _ := p.receive("g"); got != "the other way" {
		t.Errorf("got %q", got)
	}
	for p.network.carried().Dropped == 0 { // the proxy may not have come to it yet
		time.Sleep(time.Millisecond)
	}
	heal()
	p.send("g", "a", "healed")
	if got, _ := p.receive("a"); got != "healed" {
		t.Errorf("got %q, want what was sent after the cut", got)
	}
	if n := p.network.carried(); n.Dropped != 1 || n.Passed != 5 {
		t.Errorf("%+v, want 1 dropped and 5 passed", n)
	}
}

// TestNetworkNames: a sender that is no process is an operator.
func TestNetworkNames(t *testing.T) {
	p := newPeers(t)
	p.network.bring(weather{Cut: true}, func(from, to string) bool { return from == stranger })
	p.sockets["x"] = p.listen()
	p.send("x", "a", "from nowhere")
	p.send("b", "a", "from a node")
	if got, _ := p.receive("a"); got != "from a node" {
		t.Errorf("got %q, want only what a process sends", got)
	}
}

// TestNetworkWeather: every datagram arrives late, twice and out of order, and none is made up.
func TestNetworkWeather(t *testing.T) {
	p := newPeers(t)
	p.network.bring(weather{Delay: 5 * time.Millisecond, Jitter: 20 * time.Millisecond,
		Duplicates: 1}, func(string, string) bool { return true })
	var sent, got []string
	for i := range 30 {
		sent = append(sent, fmt.Sprintf("%02d", i))
		p.send("g", "a", sent[i])
	}
	for range 2 * len(sent) {
		text, _ := p.receive("a")
		got = append(got, text)
	}
	if slices.IsSorted(got) {
		t.Error("all arrived in order")
	}
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, sent) {
		t.Errorf("got %v, want each that was sent", got)
	}
	if n := p.network.carried(); n.Duplicated != 30 || n.Dropped != 0 {
		t.Errorf("%+v, want 30 duplicates", n)
	}
}

// TestNetworkBounds: a proxy keeps no more datagrams than it may, and no more callers.
func TestNetworkBounds(t *testing.T) {
	p := newPeers(t)
	proxy := p.network.proxies[0]
	far := weather{Delay: time.Hour}
	for range queuedMax + 10 {
		proxy.carry([]byte("x"), far, func([]byte) {})
	}
	proxy.mu.Lock()
	queued := len(proxy.queue)
	proxy.mu.Unlock()
	if n := p.network.carried(); queued != queuedMax || n.Dropped != 10 {
		t.Errorf("%d queued, %d dropped, want %d and 10", queued, n.Dropped, queuedMax)
	}
	for port := range uint16(callersMax + 5) {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 40_000+port)
		if _, err := proxy.caller(addr); err != nil {
			t.Fatal(err)
		}
	}
	proxy.mu.Lock()
	defer proxy.mu.Unlock()
	if len(proxy.callers) != callersMax {
		t.Errorf("%d callers, want %d", len(proxy.callers), callersMax)
	}
}

func TestFate(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, tt := range map[string]struct {
		w            weather
		least, most  time.Duration
		copies, rate float64 // how many of a thousand, at least and at most
	}{
		"fine":       {weather{}, 0, 0, 1000, 1000},
		"cut":        {weather{Cut: true}, 0, 0, 0, 0},
		"far":        {weather{Delay: time.Second}, time.Second, time.Second, 1000, 1000},
		"jitter":     {weather{Jitter: time.Second}, 0, time.Second, 1000, 1000},
		"lossy":      {weather{Loss: 0.5}, 0, 0, 400, 600},
		"duplicates": {weather{Duplicates: 0.5}, 0, 0, 1400, 1600},
		"reordered":  {weather{Reorder: 1}, 5 * time.Millisecond, 25 * time.Millisecond, 1000, 1000},
	} {
		n := 0.0
		for range 1000 {
			for _, after := range tt.w.fate(random) {
				if n++; after < tt.least || after > tt.most {
					t.Errorf("%s: after %s, want %s to %s", name, after, tt.least, tt.most)
				}
			}
		}
		if n < tt.copies || n > tt.rate {
			t.Errorf("%s: %.0f copies of 1000, want %.0f to %.0f", name, n, tt.copies, tt.rate)
		}
	}
	w := weather{Delay: 1, Loss: 0.5}.worse(weather{Delay: 2, Loss: 0.5, Cut: true})
	if want := (weather{Delay: 3, Loss: 0.75, Cut: true}); w != want {
		t.Errorf("got %+v, want %+v", w, want)
	}
}
