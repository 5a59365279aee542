package consensus

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/wire"
)

// stats are a group's metrics, listed in docs/metrics.md.
type stats struct {
	registerer prometheus.Registerer
	all        []prometheus.Collector

	proposals   *prometheus.CounterVec
	entries     prometheus.Counter
	applySecs   prometheus.Histogram
	storeSecs   prometheus.Histogram
	storeBytes  prometheus.Counter
	reads       prometheus.Counter
	readRounds  prometheus.Counter
	snapshots   prometheus.Counter
	checkpoints prometheus.Counter
	installs    prometheus.Counter
	stalled     prometheus.Gauge
	latencies   latencies
}

var secondsBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25,
	.5, 1, 2.5, 10}

func newStats(g *Group) *stats {
	s := &stats{}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "staffetta_raft_" + name,
			Help: help})
		s.all = append(s.all, c)
		return c
	}
	seconds := func(name, help string) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "staffetta_raft_" + name,
			Help: help, Buckets: secondsBuckets})
		s.all = append(s.all, h)
		return h
	}
	s.proposals = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "staffetta_raft_proposals_total",
		Help: "Entries proposed here, by outcome."}, []string{"outcome"})
	s.all = append(s.all, s.proposals)
	s.entries = counter("applied_entries_total", "Entries that the state applied.")
	s.applySecs = seconds("apply_seconds", "Time to apply one batch of entries.")
	s.storeSecs = seconds("store_seconds", "Time to append entries to the log and fsync it.")
	s.storeBytes = counter("stored_bytes_total", "Bytes of entries appended to the log.")
	s.reads = counter("reads_total", "Linearizable reads asked of this replica as leader.")
	s.readRounds = counter("read_rounds_total", "Leadership checks that those reads shared.")
	s.snapshots = counter("snapshots_total", "Flushes of the state before log truncation.")
	s.checkpoints = counter("checkpoints_total", "Copies of the state sent to followers.")
	s.installs = counter("installs_total", "Copies of the state installed here.")
	s.stalled = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "staffetta_raft_stalled_followers",
		Help: "Followers that answer this leader and do not move."})
	s.all = append(s.all, s.stalled)
	s.gauges(g)
	return s
}

// register offers the metrics to to, which may be nil. They are collected from then on, so the
// group must be complete.
func (s *stats) register(group string, to prometheus.Registerer) error {
	if to == nil {
		return nil
	}
	s.registerer = prometheus.WrapRegistererWith(prometheus.Labels{"group": group}, to)
	for i, c := range s.all {
		if err := s.registerer.Register(c); err != nil {
			s.all = s.all[:i]
			s.unregister()
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

func (s *stats) gauges(g *Group) {
	gauge := func(name, help string, value func(r *raft.Raft) float64) {
		s.all = append(s.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "staffetta_raft_" + name, Help: help},
			func() float64 { return value(g.raft) }))
	}
	gauge("leader", "1 when this replica leads.", func(r *raft.Raft) float64 {
		if r.State() == raft.Leader {
			return 1
		}
		return 0
	})
	gauge("term", "The term.", func(r *raft.Raft) float64 { return float64(r.CurrentTerm()) })
	gauge("last_index", "The last entry of the log.", func(r *raft.Raft) float64 {
		return float64(r.LastIndex())
	})
	gauge("commit_index", "The last entry known to be committed.", func(r *raft.Raft) float64 {
		return float64(r.CommitIndex())
	})
	gauge("applied_index", "The last entry that the state applied.", func(*raft.Raft) float64 {
		return float64(g.fsm.index.Load())
	})
	gauge("store_p99_seconds", "The 99th percentile of store_seconds in the last minute.",
		func(*raft.Raft) float64 { return g.StoreLatency().Seconds() })
	gauge("agreed_index", "The last index at which this replica's digest was a majority's.",
		func(*raft.Raft) float64 { return float64(g.AgreedIndex()) })
	gauge("digests_disputed", "1 while voters differ at equal index and no majority agrees.",
		func(*raft.Raft) float64 {
			if g.Disputed() {
				return 1
			}
			return 0
		})
	gauge("log_bytes", "The log's size on disk.", func(*raft.Raft) float64 {
		return float64(g.stores.bytes())
	})
}

func (s *stats) unregister() {
	if s.registerer == nil {
		return
	}
	for _, c := range s.all {
		s.registerer.Unregister(c)
	}
}

func (s *stats) proposed(err error) {
	outcome := "applied"
	var e *wire.Error
	if errors.As(err, &e) {
		outcome = e.Code.String()
	}
	s.proposals.WithLabelValues(outcome).Inc()
}

func (s *stats) stored(logs []*raft.Log, took time.Duration) {
	s.storeSecs.Observe(took.Seconds())
	s.latencies.note(time.Now(), took)
	for _, l := range logs {
		s.storeBytes.Add(float64(len(l.Data)))
	}
}

func (s *stats) appliedBatch(entries int, took time.Duration) {
	s.entries.Add(float64(entries))
	s.applySecs.Observe(took.Seconds())
}

func (s *stats) readRound(reads int) {
	s.reads.Add(float64(reads))
	s.readRounds.Inc()
}
