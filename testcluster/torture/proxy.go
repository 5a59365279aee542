package torture

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/staffetta/staffetta/testcluster/process"
)

const (
	// datagramBytesMax is more than QUIC sends in a datagram on any path.
	datagramBytesMax = 2048
	// queuedMax bounds the datagrams on their way at one proxy; more are dropped, as a router's
	// queue drops them. It is a second's worth of what a node of a loaded region receives.
	queuedMax = 8192
	// callersMax bounds the sockets of one proxy. Each caller has one: every process, and those
	// operators' commands that come and go.
	callersMax = 256
	// stranger is what a caller is called that is no process of the federation: an operator.
	stranger = "operator"
)

// weather is what befalls datagrams from one process to another.
type weather struct {
	Cut              bool
	Delay, Jitter    time.Duration
	Loss, Duplicates float64 // of each datagram, 0 to 1
	// Reorder is how many are held back long enough for others to overtake them.
	Reorder float64
}

// worse joins two weathers that prevail at once.
func (w weather) worse(o weather) weather {
	return weather{w.Cut || o.Cut, w.Delay + o.Delay, w.Jitter + o.Jitter,
		1 - (1-w.Loss)*(1-o.Loss), 1 - (1-w.Duplicates)*(1-o.Duplicates),
		1 - (1-w.Reorder)*(1-o.Reorder)}
}

// fate is when copies of one datagram arrive, from now; none when it is lost.
func (w weather) fate(random *rand.Rand) []time.Duration {
	if w == (weather{}) {
		return []time.Duration{0}
	}
	if w.Cut || random.Float64() < w.Loss {
		return nil
	}
	delay := func() time.Duration {
		d := w.Delay
		if w.Jitter > 0 {
			d += time.Duration(random.Int64N(int64(w.Jitter)))
		}
		if random.Float64() < w.Reorder {
			d += 5*time.Millisecond + time.Duration(random.Int64N(int64(20*time.Millisecond)))
		}
		return d
	}
	copies := []time.Duration{delay()}
	if random.Float64() < w.Duplicates {
		copies = append(copies, delay())
	}
	return copies
}

// network stands between the processes of a federation: every datagram to a node passes a proxy
// at the node's public address, and what the node answers passes it on the way back. A process is
// known by its socket's address, so weather can be made for each ordered pair.
type network struct {
	carriers sync.WaitGroup // of all proxies

	// Guarded by mu.
	mu      sync.Mutex
	proxies []*proxy
	names   map[netip.AddrPort]string
	closed  bool
	fronts  map[int]front // by the order they came in
	next    int
	memo    map[[2]string]weather // of pairs, emptied with each change
}

// front is weather over some pairs.
type front struct {
	over    func(from, to string) bool
	weather weather
}

func newNetwork(endpoints []process.Endpoint) (*network, error) {
	n := &network{names: map[netip.AddrPort]string{}, fronts: map[int]front{},
		memo: map[[2]string]weather{}}
	for _, e := range endpoints {
		if err := n.add(e); err != nil {
			n.close()
			return nil, err
		}
	}
	return n, nil
}

// add puts a process into the network, and a proxy before it if it is a node.
func (n *network) add(e process.Endpoint) error {
	socket, err := netip.ParseAddrPort(e.Socket)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[socket] = e.ID
	if e.Public == "" {
		return nil
	}
	p, err := newProxy(n, e)
	if err != nil {
		return err
	}
	if n.closed {
		p.close()
		return net.ErrClosed
	}
	n.proxies = append(n.proxies, p)
	n.carriers.Go(p.receive)
	n.carriers.Go(p.deliver)
	return nil
}

// bring brings weather over pairs; the answer ends it.
func (n *network) bring(w weather, over func(from, to string) bool) (end func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	id := n.next
	n.next++
	n.fronts[id] = front{over, w}
	clear(n.memo)
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.fronts, id)
		clear(n.memo)
	}
}

// between is the weather from one process to another.
func (n *network) between(from, to string) weather {
	n.mu.Lock()
	defer n.mu.Unlock()
	pair := [2]string{from, to}
	w, ok := n.memo[pair]
	if !ok {
		for _, f := range n.fronts {
			if f.over(from, to) {
				w = w.worse(f.weather)
			}
		}
		n.memo[pair] = w
	}
	return w
}

func (n *network) name(addr netip.AddrPort) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if name, ok := n.names[addr]; ok {
		return name
	}
	return stranger
}

// carried counts datagrams.
type carried struct{ Passed, Dropped, Duplicated, Delayed uint64 }

func (n *network) carried() (sum carried) {
	n.mu.Lock()
	proxies := n.proxies
	n.mu.Unlock()
	for _, p := range proxies {
		p.mu.Lock()
		sum.Passed += p.count.Passed
		sum.Dropped += p.count.Dropped
		sum.Duplicated += p.count.Duplicated
		sum.Delayed += p.count.Delayed
		p.mu.Unlock()
	}
	return sum
}

// close ends the network, and returns when nothing of it runs.
func (n *network) close() {
	n.mu.Lock()
	n.closed = true
	proxies := n.proxies
	n.mu.Unlock()
	for _, p := range proxies {
		p.close()
	}
	n.carriers.Wait()
	for _, p := range proxies {
		p.answers.Wait()
	}
}

// proxy is one node's public address.
type proxy struct {
	// Set at construction.
	network *network
	node    string
	inside  *net.UDPAddr // the node's own socket
	public  *net.UDPConn

	answers sync.WaitGroup // goroutines of callers

	// Guarded by mu.
	mu      sync.Mutex
	random  *rand.Rand
	callers map[netip.AddrPort]*caller
	queue   queue
	wake    chan struct{} // has room for one signal
	closed  bool
	count   carried
}

// caller is somebody who sends to the node: the socket that stands for it there.
type caller struct {
	name string
	addr netip.AddrPort
	conn *net.UDPConn // its datagrams go to the node, the node's come back
	used time.Time
}

func newProxy(n *network, e process.Endpoint) (*proxy, error) {
	public, err := net.ResolveUDPAddr("udp", e.Public)
	if err != nil {
		return nil, err
	}
	inside, err := net.ResolveUDPAddr("udp", e.Socket)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp", public)
	if err != nil {
		return nil, fmt.Errorf("proxy of %s: %w", e.ID, err)
	}
	conn.SetReadBuffer(4 << 20) // as far as the system allows
	conn.SetWriteBuffer(4 << 20)
	return &proxy{network: n, node: e.ID, inside: inside, public: conn,
		random:  rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		callers: map[netip.AddrPort]*caller{}, wake: make(chan struct{}, 1)}, nil
}

// receive takes what others send to the node.
func (p *proxy) receive() {
	buf := make([]byte, datagramBytesMax)
	for {
		size, from, err := p.public.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // what an earlier datagram met with
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		c, err := p.caller(from)
		if err != nil {
			continue
		}
		p.carry(buf[:size], p.network.between(c.name, p.node), func(b []byte) {
			c.conn.Write(b)
		})
	}
}

// answer takes what the node sends back to one caller.
func (p *proxy) answer(c *caller) {
	buf := make([]byte, datagramBytesMax)
	for {
		size, err := c.conn.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // nobody listened there, for instance
		}
		p.carry(buf[:size], p.network.between(p.node, c.name), func(b []byte) {
			p.public.WriteToUDPAddrPort(b, c.addr)
		})
	}
}

// caller finds who sends from addr, or makes it known.
func (p *proxy) caller(addr netip.AddrPort) (*caller, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.callers[addr]; c != nil {
		c.used = time.Now()
		return c, nil
	}
	if p.closed {
		return nil, net.ErrClosed
	}
	if len(p.callers) >= callersMax {
		p.forget()
	}
	conn, err := net.DialUDP("udp", nil, p.inside)
	if err != nil {
		return nil, err
	}
	conn.SetReadBuffer(4 << 20)
	c := &caller{name: p.network.name(addr), addr: addr, conn: conn, used: time.Now()}
	p.callers[addr] = c
	p.answers.Go(func() { p.answer(c) })
	return c, nil
}

// forget drops the caller that was silent for longest. Called with mu.
func (p *proxy) forget() {
	var oldest *caller
	for _, c := range p.callers {
		if oldest == nil || c.used.Before(oldest.used) {
			oldest = c
		}
	}
	oldest.conn.Close()
	delete(p.callers, oldest.addr)
}

// carry sends a datagram on as the weather lets it.
func (p *proxy) carry(b []byte, w weather, send func([]byte)) {
	if w == (weather{}) {
		p.mu.Lock()
		p.count.Passed++
		p.mu.Unlock()
		send(b)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	copies := w.fate(p.random)
	if len(copies) == 0 || len(p.queue)+len(copies) > queuedMax {
		p.count.Dropped++
		return
	}
	p.count.Duplicated += uint64(len(copies) - 1)
	p.count.Delayed++
	now, kept := time.Now(), append([]byte(nil), b...)
	for _, after := range copies {
		heap.Push(&p.queue, &flying{now.Add(after), kept, send})
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// deliver sends delayed datagrams when they are due.
func (p *proxy) deliver() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return
		}
		var due []*flying
		now, next := time.Now(), time.Hour
		for len(p.queue) > 0 {
			if next = p.queue[0].at.Sub(now); next > 0 {
				break
			}
			due = append(due, heap.Pop(&p.queue).(*flying))
			next = time.Hour
		}
		p.count.Passed += uint64(len(due))
		p.mu.Unlock()
		for _, f := range due {
			f.send(f.bytes)
		}
		timer.Reset(next)
		select {
		case <-p.wake:
		case <-timer.C:
		}
	}
}

func (p *proxy) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	p.public.Close()
	for _, c := range p.callers {
		c.conn.Close()
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// flying is a datagram on its way.
type flying struct {
	at    time.Time
	bytes []byte
	send  func([]byte)
}

// queue is a heap of datagrams, the next one first.
type queue []*flying

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

// Push is heap.Interface's.
func (q *queue) Push(x any) { *q = append(*q, x.(*flying)) }

// Pop is heap.Interface's.
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return x
}
