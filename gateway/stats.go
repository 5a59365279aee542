package gateway

import (
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/wire"
)

// errBusy is the refusal of a request above Limits.Requests.
var errBusy = &wire.Error{Code: wire.Overloaded}

// stats are the access metrics, all named staffetta_http_….
type stats struct {
	// Set at construction.
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	panics   prometheus.Counter

	// Guarded by mu.
	mu    sync.RWMutex
	lines map[kind]line // what was answered once: as many as patterns and statuses
}

// kind is what requests are told apart by.
type kind struct {
	route  string
	status int
}

// line is where requests of one kind are counted.
type line struct {
	requests prometheus.Counter
	seconds  prometheus.Observer
}

func newStats(reg prometheus.Registerer, e *edge) (*stats, error) {
	s := &stats{lines: make(map[kind]line),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "staffetta_http_requests_total",
			Help: "Requests answered, by route (a pattern, none where nothing is served) and " +
				"status (499: cut off).",
		}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "staffetta_http_seconds", Help: "Time from a request's header to its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "staffetta_http_panics_total", Help: "Requests whose handler panicked."}),
	}
	return s, errors.Join(reg.Register(s.requests), reg.Register(s.seconds),
		reg.Register(s.panics),
		reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "staffetta_http_in_flight", Help: "Requests being worked on.",
		}, func() float64 { return float64(e.requests.Load()) })),
		reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "staffetta_http_connections", Help: "Connections from clients.",
		}, func() float64 { return float64(e.connections.Load()) })))
}

func (s *stats) observe(k kind, took time.Duration) {
	s.mu.RLock()
	l, known := s.lines[k]
	s.mu.RUnlock()
	if !known {
		l = line{s.requests.WithLabelValues(k.route, strconv.Itoa(k.status)),
			s.seconds.WithLabelValues(k.route)}
		s.mu.Lock()
		s.lines[k] = l
		s.mu.Unlock()
	}
	l.requests.Inc()
	l.seconds.Observe(took.Seconds())
}
