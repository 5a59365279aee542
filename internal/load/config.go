package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
)

// Bounds and defaults of a run.
const (
	// ConcurrencyDefault fills blocks without queues at the gateway; ConcurrencyMax bounds
	// sockets and memory (a histogram of 180 KB for each connection).
	ConcurrencyDefault = 64
	ConcurrencyMax     = 4096
	DurationDefault    = 30 * time.Second
	WarmUpDefault      = 3 * time.Second
	RateMax            = 1_000_000
	// answerTimeout ends a request; a gateway answers within 5 s.
	answerTimeout = 15 * time.Second
	// drainTimeout is how long answers are waited for once a run is interrupted.
	drainTimeout = 2 * time.Second
	// redialWait is what a connection that can not be made waits before the next try.
	redialWait = 200 * time.Millisecond
	// answerBytesMax bounds an answer; a gateway's are below 2 KiB.
	answerBytesMax = 64 << 10
)

// Config is what a run needs.
type Config struct {
	// Gateways are base URLs; connections are spread over them.
	Gateways []string
	// Key is the service's key.
	Key string
	// Codes are the recipients, drawn at random.
	Codes []fiscalcode.Code
	// UnknownPercent is the share of messages to citizens that nobody knows, 0-100.
	UnknownPercent float64
	// MedianBytes is the median size of a message as JSON; 0 is that of the corpus.
	MedianBytes int
	// Keys adds a fresh idempotency key to each message.
	Keys bool
	// Seed decides messages and recipients.
	Seed uint64
	// Concurrency is the number of connections; 0 is ConcurrencyDefault.
	Concurrency int
	// Rate is the number of messages offered a second; 0 offers as many as are answered.
	Rate float64
	// Duration and Count end the measured phase, whichever comes first; both zero is
	// DurationDefault.
	Duration time.Duration
	Count    int64
	// WarmUp is offered before, and not measured.
	WarmUp time.Duration
	// Federation finds the processes to measure; nil measures the generator alone.
	Federation Federation
	// Dial makes a connection to a gateway; nil is TCP.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (c *Config) complete() error {
	var problems []error
	fail := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf(format, args...))
	}
	if len(c.Gateways) == 0 {
		fail("no gateway")
	}
	for _, g := range c.Gateways {
		u, err := url.Parse(g)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			fail("gateway: want a URL such as http://host:port")
		}
	}
	if c.Key == "" {
		fail("key: none given")
	}
	for i := range len(c.Key) {
		if c.Key[i] <= ' ' || c.Key[i] > '~' {
			fail("key: has characters that no key has")
			break
		}
	}
	if len(c.Codes) == 0 && c.UnknownPercent < 100 {
		fail("no recipients")
	}
	if c.UnknownPercent < 0 || c.UnknownPercent > 100 {
		fail("unknown recipients: %v percent, want 0-100", c.UnknownPercent)
	}
	if c.Concurrency == 0 {
		c.Concurrency = ConcurrencyDefault
	}
	if c.Concurrency < 1 || c.Concurrency > ConcurrencyMax {
		fail("concurrency: %d, want 1-%d", c.Concurrency, ConcurrencyMax)
	}
	if !(c.Rate >= 0 && c.Rate <= RateMax) {
		fail("rate: %v, want 0-%d", c.Rate, RateMax)
	}
	if c.Duration < 0 || c.Count < 0 || c.WarmUp < 0 {
		fail("duration, count or warm-up is negative")
	}
	if c.Duration == 0 && c.Count == 0 {
		c.Duration = DurationDefault
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	return errors.Join(problems...)
}
