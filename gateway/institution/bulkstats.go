package institution

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/wire"
)

const (
	// streamsMax bounds a gateway's bulk requests under way. Each holds three goroutines, 64 KiB
	// to read into, up to 4 MiB of content and, while a line is that long, 256 KiB.
	streamsMax = 64
	// streamsOfOneMax bounds one institution's, so that it takes eight to shut out the others.
	streamsOfOneMax = 8
	// streamsRetry is when to try again above the latter.
	streamsRetry = 5 * time.Second
)

// bulkEnd says how a bulk request ended.
type bulkEnd string

const (
	endWhole  bulkEnd = "whole"  // all was read and answered
	endBroken bulkEnd = "broken" // the client left, sent no HTTP or did not read
	endIdle   bulkEnd = "idle"   // nothing moved for bulkIdle
	endKey    bulkEnd = "key"    // the key does not open the operation any more
	endDrain  bulkEnd = "drain"  // the gateway stops
	endFault  bulkEnd = "fault"  // a fault of ours
)

// streams are the bulk requests under way.
type streams struct {
	stats *bulkStats

	mu       sync.Mutex
	under    map[*stream]struct{}       // guarded by mu
	of       map[wire.InstitutionID]int // guarded by mu; none is zero
	draining bool                       // guarded by mu
}

func newStreams(stats *bulkStats) *streams {
	return &streams{stats: stats, under: map[*stream]struct{}{}, of: map[wire.InstitutionID]int{}}
}

// open takes a place for a stream, which close gives back, or refuses it.
func (t *streams) open(s *stream) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.draining:
		return wire.Errorf(wire.NotReady, "the gateway stops")
	case t.of[s.institution] >= streamsOfOneMax:
		retry := []string{strconv.Itoa(seconds(streamsRetry))}
		h := s.call.W.Header()
		h["X-Rate-Limit-Retry-After"], h["Retry-After"] = retry, retry
		return gatewayRefusal{streamsExceeded.With("Too many bulk requests at a time. Try again " +
			"in " + retry[0] + " seconds.")}
	case len(t.under) >= streamsMax:
		return wire.Errorf(wire.Overloaded, "too many bulk requests")
	}
	t.under[s] = struct{}{}
	t.of[s.institution]++
	t.stats.open.Inc()
	return nil
}

func (t *streams) close(s *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.under, s)
	if t.of[s.institution]--; t.of[s.institution] == 0 {
		delete(t.of, s.institution)
	}
	t.stats.open.Dec()
}

// drain ends all streams, and refuses others.
func (t *streams) drain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draining = true
	for s := range t.under {
		s.drain()
	}
}

// bulkStats are the metrics of bulk requests.
type bulkStats struct {
	open prometheus.Gauge
	ends *prometheus.CounterVec
}

func newBulkStats(r prometheus.Registerer) (*bulkStats, error) {
	s := &bulkStats{
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "staffetta_institution_bulk_streams",
			Help: "Bulk requests under way.",
		}),
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "staffetta_institution_bulk_streams_total",
			Help: "Bulk requests that ended, by how: whole, broken, idle, key, drain, fault.",
		}, []string{"end"}),
	}
	if r == nil {
		return s, nil
	}
	for _, c := range []prometheus.Collector{s.open, s.ends} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return s, nil
}
