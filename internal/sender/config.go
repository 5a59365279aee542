package sender

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Bounds and defaults of a run.
const (
	// ConcurrencyDefault keeps a gateway busy over a network; ConcurrencyMax bounds sockets.
	ConcurrencyDefault = 32
	ConcurrencyMax     = 1024
	// window is how many lines may be under way or wait for an earlier one's result. It bounds
	// memory: a waiting line keeps its result alone, at most 1 KiB.
	window = 8192
	// textBytesMax bounds the text of those of them that were not answered.
	textBytesMax = 32 << 20
	// attemptTimeout ends a request that gets no answer; a gateway answers within 5 s.
	attemptTimeout = 30 * time.Second
	// drainTimeout is how long requests under way may take once a run is interrupted.
	drainTimeout = 10 * time.Second
	// GiveUpDefault is how long one line is tried before it counts as failed: longer than an
	// election, a restart or a deployment take.
	GiveUpDefault = 10 * time.Minute
	// answerBytesMax bounds what is read of an answer; a gateway's are below 2 KiB.
	answerBytesMax = 64 << 10
)

// Config is what a run needs.
type Config struct {
	// Gateway is the base URL, as http://127.0.0.1:8080; the contract's path is added.
	Gateway string
	// Key is the service's key. It goes into a header and nowhere else.
	Key string
	// In has the messages. When the run is interrupted, a Read that blocks is left behind.
	In io.Reader
	// Size is the number of bytes that In has, when known, for the progress.
	Size int64
	// Results takes the result lines; nil for none.
	Results *Results
	// OneByOne sends each line in a request of its own, as it is done where a gateway takes no
	// bulk requests.
	OneByOne bool
	// Concurrency is the number of such requests at a time; 0 is ConcurrencyDefault.
	Concurrency int
	// GiveUp is how long one line is tried; 0 is GiveUpDefault.
	GiveUp time.Duration
	// Transport sends the requests; nil is a pool of persistent connections.
	Transport http.RoundTripper
	// Progress, when given, is called after each result from one goroutine; it must be quick.
	Progress func(Progress)
}

// Progress says how far a run is.
type Progress struct {
	Lines     int64 // with a result, those of earlier runs included
	Bytes     int64 // of the input, up to the last of those lines
	Size      int64 // of the input; 0 when unknown
	Processed int64
	Rejected  int64
	Failed    int64
}

// complete checks c, reports all problems at once, and fills in the defaults.
func (c *Config) complete() (endpoint string, err error) {
	var problems []error
	u, err := url.Parse(c.Gateway)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		// Not the URL itself: it may carry a password.
		problems = append(problems, errors.New("gateway: want a URL such as http://host:port"))
	} else {
		endpoint = u.JoinPath("/api/v1/messages").String()
	}
	if c.Key == "" {
		problems = append(problems, errors.New("key: none given"))
	}
	for i := range len(c.Key) {
		if c.Key[i] <= ' ' || c.Key[i] > '~' {
			problems = append(problems, errors.New("key: has characters that no key has"))
			break
		}
	}
	if c.In == nil {
		problems = append(problems, errors.New("no input"))
	}
	if c.Concurrency == 0 {
		c.Concurrency = ConcurrencyDefault
	}
	if c.Concurrency < 1 || c.Concurrency > ConcurrencyMax {
		problems = append(problems, fmt.Errorf("concurrency: %d, want 1-%d", c.Concurrency,
			ConcurrencyMax))
	}
	if c.GiveUp == 0 {
		c.GiveUp = GiveUpDefault
	}
	if c.GiveUp < 0 {
		problems = append(problems, fmt.Errorf("give up: %v is negative", c.GiveUp))
	}
	if c.Transport == nil {
		c.Transport = newTransport(c.Concurrency)
	}
	return endpoint, errors.Join(problems...)
}
