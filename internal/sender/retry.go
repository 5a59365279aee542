package sender

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Waiting between attempts: doubling from backoffFirst to backoffMax, drawn at random from the
// upper half so that those who failed together do not come back together.
const (
	backoffFirst = 100 * time.Millisecond
	backoffMax   = 10 * time.Second
	// retryAfterMax bounds what an answer may ask for.
	retryAfterMax = 5 * time.Minute
)

func backoff(attempt int) time.Duration {
	d := backoffMax
	if attempt < 7 {
		d = min(backoffFirst<<attempt, backoffMax)
	}
	return d/2 + rand.N(d/2)
}

// retriable reports whether an answer with this status decided nothing about the message, so
// that the same request may get another one. No status at all is a request without an answer.
func retriable(status int) bool {
	switch status {
	case 0, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return status >= 500
}

// retryAfter is how long an answer asks to wait: the standard header in either of its forms, or
// the contract's own; zero when it does not say.
func retryAfter(h http.Header, now time.Time) time.Duration {
	for _, name := range []string{"Retry-After", "X-Rate-Limit-Retry-After"} {
		v := h.Get(name)
		if seconds, err := strconv.Atoi(v); err == nil && seconds >= 0 {
			return min(time.Duration(min(seconds, 1<<20))*time.Second, retryAfterMax)
		}
		if at, err := http.ParseTime(v); err == nil && at.After(now) {
			return min(at.Sub(now), retryAfterMax)
		}
	}
	return 0
}

// gate holds everybody back after a 429: the limit is the institution's, so one answer speaks
// for all requests.
type gate struct {
	mu    sync.Mutex
	until time.Time
}

func (g *gate) close(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if until := time.Now().Add(d); until.After(g.until) {
		g.until = until
	}
}

// wait returns when the gate is open, or ctx's error.
func (g *gate) wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		d := time.Until(g.until)
		g.mu.Unlock()
		if d <= 0 {
			return ctx.Err()
		}
		if err := pause(ctx, d); err != nil {
			return err
		}
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
