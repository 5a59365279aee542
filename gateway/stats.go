package gateway

import (
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/wire"
)

// errBusy is the refusal of a request above Limits.Requests.
var errBusy = &wire.Error{Code: wire.Overloaded}

// stats are the access metrics, all named staffetta_http_….
type stats struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	panics   prometheus.Counter
}

func newStats(reg prometheus.Registerer, e *edge) (*stats, error) {
	s := &stats{
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

func (s *stats) observe(route string, status int, took time.Duration) {
	s.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	s.seconds.WithLabelValues(route).Observe(took.Seconds())
}
