package institution

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/gateway/operation"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// Relay is the federation as this API needs it. Errors are *wire.Error. A call that waits for
// others ends after wire.OwnerWait, whatever its context allows.
type Relay interface {
	NewID() wire.MessageID
	// Hasher is nil until a node has been spoken to.
	Hasher() *wire.Hasher
	// Submit returns a Decided or KeyConflict outcome of a message of an institution.
	Submit(ctx context.Context, rec *wire.Record, from wire.InstitutionID) (wire.Outcome,
		error)
	// StartBulk begins what Submit does, blocking only while the institution has too much under
	// way, and returns before it is decided. wait, which is called once, returns what Submit
	// would; the record's content is read until then.
	StartBulk(ctx context.Context, rec *wire.Record, from wire.InstitutionID) (
		wait func() (wire.Outcome, error))
	FindMessage(ctx context.Context, code fiscalcode.Code, id wire.MessageID) (
		*wire.MessageView, error)
	SenderProfile(ctx context.Context, code fiscalcode.Code, service wire.ServiceID) (
		*wire.SenderProfile, error)
	ServiceByKey(ctx context.Context, key wire.KeyHash) (*wire.ServiceAccess, error)
	// RemoteContent returns a configuration of remote content, or NotFound.
	RemoteContent(ctx context.Context, id wire.RemoteContentID) (*wire.RemoteContent, error)
}

// Config says what an API works with.
type Config struct {
	Relay      Relay                 // required
	Logger     *slog.Logger          // nil: slog.Default()
	Registerer prometheus.Registerer // nil: metrics are kept and shown nowhere

	// TrustedProxies are the addresses whose X-Forwarded-For is believed. Empty: nobody's, and
	// the client is whoever connects.
	TrustedProxies []netip.Prefix

	// RateWindow is the window of the rate limits; 0: the contract's 5 s.
	RateWindow time.Duration
	// RateCalls is how many calls an institution has per window; 0: the contract's 150.
	RateCalls int
	// RateCallsRaised is the same with the scope ApiRateLimit250; 0: the contract's 250.
	RateCallsRaised int
	// AcceptUnserved has messages taken with parts that nothing here can serve yet, a payment or
	// content of a configuration that is not there, and the answer name them in UnservedHeader. Else
	// such a message is refused: a citizen could read of a payment and not make it.
	AcceptUnserved bool
	// Capacity is how many submissions a second are taken, of all institutions together; more
	// are refused with 503 before their body is read. 0: no limit.
	Capacity int
}

func (c *Config) validate() error {
	var errs []error
	if c.Relay == nil {
		errs = append(errs, errors.New("institution: no relay"))
	}
	if c.RateWindow < 0 || c.RateCalls < 0 || c.RateCallsRaised < 0 {
		errs = append(errs, errors.New("institution: negative rate limit"))
	}
	if err := checkCapacity(c.Capacity); err != nil {
		errs = append(errs, err)
	}
	for _, p := range c.TrustedProxies {
		if !p.IsValid() {
			errs = append(errs, errors.New("institution: invalid trusted proxy"))
		}
	}
	return errors.Join(errs...)
}

// API serves the institutions. It is safe for concurrent use and holds no goroutines.
type API struct {
	relay    Relay
	log      *slog.Logger
	proxies  []netip.Prefix
	rates    *rates
	capacity *capacity
	stats    *stats
	bulk     *bulkStats
	streams  *streams

	acceptUnserved bool

	decoders sync.Pool // of *decoder
}

// New makes an API.
func New(c Config) (*API, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	stats, err := newStats(c.Registerer)
	if err != nil {
		return nil, err
	}
	bulk, err := newBulkStats(c.Registerer)
	if err != nil {
		return nil, err
	}
	a := &API{relay: c.Relay, log: c.Logger, stats: stats, bulk: bulk, streams: newStreams(bulk),
		rates:    newRates(c.RateWindow, c.RateCalls, c.RateCallsRaised),
		capacity: newCapacity(c.Capacity), acceptUnserved: c.AcceptUnserved}
	for _, p := range c.TrustedProxies {
		a.proxies = append(a.proxies, p.Masked())
	}
	a.decoders.New = func() any { return newDecoder() }
	return a, nil
}

// Register serves the API's operations on mux, each with and without a trailing slash.
func (a *API) Register(mux *http.ServeMux) {
	api := operation.API[*call]{
		Begin:  func(c operation.Call) *call { return &call{Call: c, api: a} },
		Admit:  (*call).admit,
		Refuse: (*call).refuse,
		Slash:  true,
	}
	api.Register(mux, rows())
}

// Drain ends the bulk requests under way, and refuses new ones: each is answered up to the lines
// that it has read, and one more that says so. It returns at once.
func (a *API) Drain() { a.streams.drain() }
