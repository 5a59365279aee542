package spool

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/internal/adminhttp"
	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/wire"
)

// spoolStats are the spool's metrics.
type spoolStats struct {
	spool *Spool
	taken *prometheus.CounterVec
	done  *prometheus.CounterVec
}

var (
	spoolBlocksDesc = prometheus.NewDesc("staffetta_spool_blocks",
		"Sealed blocks that wait, by owner region.", []string{"owner"}, nil)
	spoolRecordsDesc = prometheus.NewDesc("staffetta_spool_records",
		"Records in sealed blocks that wait, by owner region.", []string{"owner"}, nil)
	spoolBytesDesc = prometheus.NewDesc("staffetta_spool_bytes",
		"Bytes of sealed blocks that wait, by owner region.", []string{"owner"}, nil)
	spoolOldestDesc = prometheus.NewDesc("staffetta_spool_oldest_seconds",
		"Age of the sealed block that has waited longest, by owner region.",
		[]string{"owner"}, nil)
	spoolStuckDesc = prometheus.NewDesc("staffetta_spool_refused_blocks",
		"Sealed blocks that wait because their owner could not read them, by owner region; on "+
			"the leader.", []string{"owner"}, nil)
)

func newSpoolStats(s *Spool) *spoolStats {
	return &spoolStats{spool: s,
		taken: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "staffetta_spool_taken_total",
			Help: "Blocks that gateways brought, by what the spool said.",
		}, []string{"answer"}),
		done: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "staffetta_spool_relayed_records_total",
			Help: "Records that left the spool, by what their owner said.",
		}, []string{"outcome"})}
}

func (s *spoolStats) took(a *wire.Spooled) {
	answer := "kept"
	switch {
	case a.Refused == wire.SpoolFull:
		answer = "full"
	case a.Refused == wire.SpoolTooOld:
		answer = "too-old"
	case len(a.Outcomes) > 0 && a.Outcomes[0].Verdict.Status != wire.Throttled:
		answer = "known"
	}
	s.taken.WithLabelValues(answer).Inc()
}

func (s *spoolStats) relayed(b *region.SpooledBlock, outcomes []wire.Outcome) {
	for i := range outcomes {
		name := "moved"
		switch o := &outcomes[i]; {
		case o.Kind == wire.KeyConflict:
			name = "failed"
		case o.Kind == wire.Decided && o.ID != b.IDs[i]:
			name = "alias"
		case o.Kind == wire.Decided && o.Verdict.Status == wire.Processed:
			name = "processed"
		case o.Kind == wire.Decided:
			name = "rejected"
		}
		s.done.WithLabelValues(name).Inc()
	}
}

// Health adds what waits, and how long it has waited.
func (s *Spool) Health(h *adminhttp.Health) {
	now := s.Now()
	for _, t := range s.Status() {
		line := fmt.Sprintf("spool: %d messages wait in %d blocks of %d bytes for region %s, the "+
			"oldest for %s", t.Records, t.Blocks, t.Bytes, t.Owner,
			max(0, now.Sub(t.Oldest)).Round(time.Second))
		if t.Refused > 0 {
			line += fmt.Sprintf("; %d blocks cannot be read there", t.Refused)
		}
		h.Degraded = append(h.Degraded, line)
	}
}

// Metrics are the spool's.
func (s *Spool) Metrics() []prometheus.Collector { return []prometheus.Collector{s.stats} }

// Describe is prometheus.Collector's.
func (s *spoolStats) Describe(ch chan<- *prometheus.Desc) {
	s.taken.Describe(ch)
	s.done.Describe(ch)
	for _, d := range []*prometheus.Desc{spoolBlocksDesc, spoolRecordsDesc, spoolBytesDesc,
		spoolOldestDesc, spoolStuckDesc} {
		ch <- d
	}
}

// Collect is prometheus.Collector's: it reads this replica's state.
func (s *spoolStats) Collect(ch chan<- prometheus.Metric) {
	s.taken.Collect(ch)
	s.done.Collect(ch)
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	now := s.spool.Now()
	for _, t := range s.spool.Status() {
		owner := string(t.Owner)
		gauge(spoolBlocksDesc, float64(t.Blocks), owner)
		gauge(spoolRecordsDesc, float64(t.Records), owner)
		gauge(spoolBytesDesc, float64(t.Bytes), owner)
		gauge(spoolStuckDesc, float64(t.Refused), owner)
		gauge(spoolOldestDesc, max(0, now.Sub(t.Oldest).Seconds()), owner)
	}
}
