package session

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Result is what became of a login.
type Result string

// The results.
const (
	Opened  Result = "opened"
	Refused Result = "refused" // for a reason that another try does not mend
	Failed  Result = "failed"
)

// Logins counts logins, whoever vouched for the citizen.
type Logins struct{ counted *prometheus.CounterVec }

// NewLogins makes the counter. reg may be nil.
func NewLogins(reg prometheus.Registerer) (*Logins, error) {
	l := &Logins{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "staffetta_citizen_logins_total",
		Help: "Logins by who vouched (test, spid, cie, oidc) and by their result: opened, " +
			"refused, failed.",
	}, []string{"kind", "result"})}
	if reg == nil {
		return l, nil
	}
	if err := reg.Register(l.counted); err != nil {
		return nil, fmt.Errorf("session: register metrics: %w", err)
	}
	return l, nil
}

// Count counts a login. kind is who vouched.
func (l *Logins) Count(kind string, r Result) { l.counted.WithLabelValues(kind, string(r)).Inc() }
