package institution

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// The contract's limits: calls of one institution, all its services and operations together.
const (
	rateWindow      = 5 * time.Second
	rateCalls       = 150
	rateCallsRaised = 250
)

// ratesMax bounds the institutions that are counted at once. Each had to show a valid key, and
// Italy has some 23,000; above the bound, those not yet counted in a window are refused.
const ratesMax = 1 << 16

// rates counts calls per institution. A window is fixed: it begins with an institution's first
// call and ends whole, so that what is left, and for how long, can be told exactly.
type rates struct {
	window        time.Duration
	calls, raised int

	mu      sync.Mutex
	windows map[wire.InstitutionID]*window // guarded by mu, as are the windows
	swept   time.Time                      // guarded by mu
}

type window struct {
	ends  time.Time
	calls int
}

func newRates(length time.Duration, calls, raised int) *rates {
	r := &rates{window: rateWindow, calls: rateCalls, raised: rateCallsRaised,
		windows: map[wire.InstitutionID]*window{}}
	if length > 0 {
		r.window = length
	}
	if calls > 0 {
		r.calls = calls
	}
	if raised > 0 {
		r.raised = raised
	}
	return r
}

// allowance is where an institution stands after a call.
type allowance struct {
	limit     int // 0: unlimited
	remaining int
	resets    time.Duration
	refused   bool
}

// take counts a call.
func (r *rates) take(institution *wire.Institution) allowance {
	limit := r.calls
	switch {
	case institution.HasScope(scopeNoRateLimit):
		return allowance{}
	case institution.HasScope(scopeRateLimit250):
		limit = r.raised
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.windows[institution.ID]
	if w == nil {
		if len(r.windows) >= ratesMax && !r.sweep(now) {
			return allowance{limit: limit, resets: r.window, refused: true}
		}
		w = &window{}
		r.windows[institution.ID] = w
	}
	if !now.Before(w.ends) {
		*w = window{ends: now.Add(r.window)}
	}
	a := allowance{limit: limit, resets: w.ends.Sub(now)}
	if w.calls >= limit {
		a.refused = true
		return a
	}
	w.calls++
	a.remaining = limit - w.calls
	return a
}

// sweep drops the windows that have ended, at most once per window since it looks at all, and
// reports whether there is room. The caller holds mu.
func (r *rates) sweep(now time.Time) bool {
	if now.Before(r.swept.Add(r.window)) {
		return false
	}
	r.swept = now
	for id, w := range r.windows {
		if !now.Before(w.ends) {
			delete(r.windows, id)
		}
	}
	return len(r.windows) < ratesMax
}

// tell sets the headers: the contract's, and those of draft-ietf-httpapi-ratelimit-headers-11.
func (a allowance) tell(h http.Header, window time.Duration) {
	if a.limit == 0 {
		return
	}
	left, resets := strconv.Itoa(a.remaining), strconv.Itoa(seconds(a.resets))
	values := [...]string{left, `"institution";r=` + left + `;t=` + resets,
		`"institution";q=` + strconv.Itoa(a.limit) + `;w=` + strconv.Itoa(seconds(window)), resets}
	// Assigned, not Set: these are the canonical spellings. Each is its part of one array.
	h["X-Rate-Limit-Remaining"] = values[0:1:1]
	h["Ratelimit"] = values[1:2:2]
	h["Ratelimit-Policy"] = values[2:3:3]
	if a.refused {
		h["X-Rate-Limit-Retry-After"] = values[3:4:4]
		h["Retry-After"] = values[3:4:4]
	}
}

// seconds rounds up: a client that waits as told finds the next window open.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

func (a allowance) refusal() error {
	return gatewayRefusal{rateExceeded.With("Rate limit is exceeded. Try again in " +
		strconv.Itoa(seconds(a.resets)) + " seconds.")}
}
