package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/quic-go/quic-go"
	"github.com/staffetta/staffetta/wire"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// Link is one process's end of all its connections. Its methods are safe for concurrent use,
// unless they say otherwise.
type Link struct {
	// Set at construction.
	cfg         Config
	log         *slog.Logger
	self        Identity
	transport   *quic.Transport
	stats       *stats
	pool        *pool
	requests    *semaphore.Weighted // bytes of the requests in memory
	buffers     sync.Pool           // of *[]byte, to write frames from
	trust       trust
	refusalLogs *rate.Limiter
	heard       heard
	started     chan struct{} // closed when Run serves
	stopping    chan struct{} // closed when Run begins to end
	wg          sync.WaitGroup

	// Set before Run.
	handlers map[wire.Method]handler

	// Guarded by mu.
	mu      sync.Mutex
	running bool
	closed  bool
	fault   error // why the link cannot go on
	failed  chan struct{}
	inbound map[inboundKey][]*inConn // oldest first
	groups  map[string]*RaftLayer
}

// Handler answers a call. The request is the handler's to keep. ctx ends when the caller has
// given up, its connection is lost or the link ends, and a handler must return then. An error
// that is not a *wire.Error or wire.Code reaches the caller as Internal, without its text.
type Handler func(ctx context.Context, from Identity, req []byte) ([]byte, error)

// StreamHandler answers a call with a sequence of frames, which ends when it returns. send
// returns when the frame is on its way, blocks while the caller is behind, and fails when ctx
// has ended; the frame is the handler's again. It must not be called concurrently.
type StreamHandler func(ctx context.Context, from Identity, req []byte,
	send func(frame []byte) error) error

type handler struct {
	call   Handler
	stream StreamHandler
	roles  [rolesEnd]bool
}

// New checks the configuration and this process's own certificate. It opens nothing yet: calls
// wait until Run.
func New(cfg Config) (*Link, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	l := &Link{
		cfg:         cfg,
		log:         cfg.Logger,
		stats:       newStats(),
		requests:    semaphore.NewWeighted(requestBytesMax),
		refusalLogs: rate.NewLimiter(refusalLogsPerSecond, 8),
		started:     make(chan struct{}),
		stopping:    make(chan struct{}),
		failed:      make(chan struct{}),
		handlers:    map[wire.Method]handler{},
		inbound:     map[inboundKey][]*inConn{},
		groups:      map[string]*RaftLayer{},
	}
	l.buffers.New = func() any { return new([]byte) }
	l.pool = newPool(l)
	l.trust.now.Store(new(believed))
	self, err := l.identify()
	if err != nil {
		return nil, fmt.Errorf("link: this process's certificate: %w", err)
	}
	if cfg.Listen && self.Role != RoleNode {
		return nil, fmt.Errorf("link: %s is no node, and only nodes listen", self)
	}
	l.self = self
	l.transport = l.newTransport()
	if cfg.Registerer != nil {
		err := errors.Join(l.stats.register(cfg.Registerer), cfg.Registerer.Register(newExpiry(l)))
		if err != nil {
			return nil, fmt.Errorf("link: metrics: %w", err)
		}
	}
	return l, nil
}

// identify reads who this process is, and refuses a certificate that peers would refuse.
func (l *Link) identify() (Identity, error) {
	cert, err := l.cfg.Certificate()
	if err != nil {
		return Identity{}, err
	}
	return checkOwn(cert, certPool(l.authorities()), l.cfg.Federation)
}

func (l *Link) newTransport() *quic.Transport {
	handshakes := rate.NewLimiter(handshakesPerSecond, handshakeBurst)
	t := &quic.Transport{
		Conn:                l.cfg.PacketConn,
		ConnectionIDLength:  8,
		VerifySourceAddress: l.noting(verifyAbove(handshakes)),
	}
	if l.cfg.ResetKey != nil {
		key := quic.StatelessResetKey(*l.cfg.ResetKey)
		t.StatelessResetKey = &key
	}
	return t
}

// Self is who this process is, from its certificate at the time of New.
func (l *Link) Self() Identity { return l.self }

// Handle registers the answer to a call, for callers of the given roles; others are answered
// Forbidden. It must come before Run. Registering a method twice, or for nobody, panics.
func (l *Link) Handle(m wire.Method, h Handler, roles ...Role) {
	l.register(m, handler{call: h}, roles)
}

// HandleStream is Handle for a call that is answered by a sequence of frames.
func (l *Link) HandleStream(m wire.Method, h StreamHandler, roles ...Role) {
	l.register(m, handler{stream: h}, roles)
}

func (l *Link) register(m wire.Method, h handler, roles []Role) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, dup := l.handlers[m]; dup || l.running || len(roles) == 0 {
		panic(fmt.Sprintf("link: method %d registered twice, after Run, or for nobody", m))
	}
	for _, r := range roles {
		h.roles[r] = true
	}
	l.handlers[m] = h
}

// Methods says which calls are answered here, and for callers of which roles.
func (l *Link) Methods() map[wire.Method][]Role {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[wire.Method][]Role, len(l.handlers))
	for m, h := range l.handlers {
		for r := RoleNode; r < rolesEnd; r++ {
			if h.roles[r] {
				all[m] = append(all[m], r)
			}
		}
	}
	return all
}

// buffer lends a write buffer.
func (l *Link) buffer() *[]byte { return l.buffers.Get().(*[]byte) }

func (l *Link) putBuffer(b *[]byte) {
	if cap(*b) <= bufferKeepMax {
		*b = (*b)[:0]
		l.buffers.Put(b)
	}
}
