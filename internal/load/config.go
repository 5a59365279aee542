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
	// sockets.
	ConcurrencyDefault = 64
	ConcurrencyMax     = 4096
	// StreamsDefault is ConcurrencyDefault for bulk: one stream keeps several blocks full, and
	// the second one shows what streams do to each other.
	StreamsDefault = 2
	// WindowDefault is some blocks of lines for each of a few regions; WindowMax bounds the
	// lines whose times are held.
	WindowDefault   = 1024
	WindowMax       = 1 << 16
	DurationDefault = 30 * time.Second
	WarmUpDefault   = 3 * time.Second
	RateMax         = 1_000_000
	// answerTimeout ends a request; a gateway answers within 5 s.
	answerTimeout = 15 * time.Second
	// drainTimeout is how long answers are waited for once a run is interrupted.
	drainTimeout = 2 * time.Second
	// redialWait is what a connection that cannot be made waits before the next try.
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
	// Zipf prefers few recipients, by Zipf's law with the exponent 1; else all are as likely.
	Zipf bool
	// Concurrency is the number of connections, each with one request or, for bulk, one stream;
	// 0 is ConcurrencyDefault or StreamsDefault.
	Concurrency int
	// Bulk sends messages as lines of streams to the bulk endpoint, up to Window of each stream
	// without a verdict; 0 is WindowDefault.
	Bulk   bool
	Window int
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

	inTurn bool // every recipient gets as many messages as the next
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
	c.setDefaults()
	if c.Concurrency < 1 || c.Concurrency > ConcurrencyMax {
		fail("concurrency: %d, want 1-%d", c.Concurrency, ConcurrencyMax)
	}
	if c.Window < 1 || c.Window > WindowMax {
		fail("window: %d, want 1-%d", c.Window, WindowMax)
	}
	if !(c.Rate >= 0 && c.Rate <= RateMax) {
		fail("rate: %v, want 0-%d", c.Rate, RateMax)
	}
	if c.Duration < 0 || c.Count < 0 || c.WarmUp < 0 {
		fail("duration, count or warm-up is negative")
	}
	return errors.Join(problems...)
}

func (c *Config) setDefaults() {
	switch {
	case c.Concurrency == 0 && c.Bulk:
		c.Concurrency = StreamsDefault
	case c.Concurrency == 0:
		c.Concurrency = ConcurrencyDefault
	}
	if c.Window == 0 {
		c.Window = WindowDefault
	}
	if c.Duration == 0 && c.Count == 0 {
		c.Duration = DurationDefault
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
}
