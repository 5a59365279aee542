package route

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/wire"
)

// stats are the router's metrics, all named staffetta_route_….
type stats struct {
	submissions   *prometheus.CounterVec
	submitSeconds prometheus.Histogram
	moved         prometheus.Counter
	retries       *prometheus.CounterVec
	blockRecords  prometheus.Histogram
	blockBytes    prometheus.Histogram
	blockSeconds  *prometheus.HistogramVec
	resolved      prometheus.Histogram
	cacheHits     *prometheus.CounterVec
	cacheMisses   *prometheus.CounterVec
	feedEvents    prometheus.Counter
	feedEnds      prometheus.Counter
	refused       *prometheus.CounterVec
	bulkBlocked   prometheus.Counter
	spoolRefused  prometheus.Counter
	stale         prometheus.Counter
	// Of their families, at hand because every submission or block counts there.
	processed       prometheus.Counter
	directoryHits   prometheus.Counter
	directoryMisses prometheus.Counter
	blocks          [1 << classes]prometheus.Counter // by the set of classes in the block
	router          *Router                          // for the values read at a scrape
}

// latencies are the buckets of times, in seconds, up to OwnerWait.
var latencies = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

var (
	waitingDesc = prometheus.NewDesc("staffetta_route_waiting_records",
		"Records without a verdict yet, by owner region.", []string{"region"}, nil)
	queuedDesc = prometheus.NewDesc("staffetta_route_queued_records",
		"Records that are in no block yet, by class, of all regions.", []string{"class"}, nil)
	indexDesc = prometheus.NewDesc("staffetta_route_feed_index",
		"Federation log index up to which the changes feed was followed.", nil, nil)
	contactDesc = prometheus.NewDesc("staffetta_route_contact_seconds",
		"Time since a home node was last known to hear from the federation's leader.", nil, nil)
	awayDesc = prometheus.NewDesc("staffetta_route_region_away",
		"1 while a region does not answer and what is for it is spooled, by region.",
		[]string{"region"}, nil)
	cachedDesc = prometheus.NewDesc("staffetta_route_cached",
		"Entries cached, by cache.", []string{"cache"}, nil)
)

func newStats(reg prometheus.Registerer, r *Router) (*stats, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "staffetta_route_" + name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "staffetta_route_" + name, Help: help, Buckets: buckets})
	}
	feedEvents := counter("feed_events_total", "Changes that the feed brought.")
	feedEnds := counter("feed_ends_total", "Sessions with home nodes that ended.")
	bulkBlocked := counter("bulk_blocked_total", "Bulk submissions that waited for room.")
	blocks := counter("blocks_total", "Blocks, by the classes of their records.", "class")
	moved := counter("moved_total", "Times a region answered that it is not the owner.")
	spoolRefused := counter("spool_refused_total",
		"Blocks that the home region's spool did not take, being full or too old.")
	stale := counter("stale_reads_total",
		"Citizens' reads that a region without a leader answered, as of an earlier time.")
	s := &stats{
		spoolRefused: spoolRefused.WithLabelValues(),
		stale:        stale.WithLabelValues(),
		submissions: counter("submissions_total",
			"Submissions by verdict, or by error where there was none.", "outcome"),
		submitSeconds: histogram("submit_seconds",
			"Time from an interactive submission to its verdict.", latencies),
		moved: moved.WithLabelValues(),
		retries: counter("retries_total",
			"Attempts to reach a leader that failed, by error.", "error"),
		blockRecords: histogram("block_records", "Records per block.",
			[]float64{1, 2, 4, 8, 16, 32, 64, 127, 128}),
		blockBytes: histogram("block_bytes", "Compressed bytes per block.",
			prometheus.ExponentialBuckets(512, 2, 12)),
		blockSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "staffetta_route_block_seconds", Buckets: latencies,
			Help: "Time from sending a block to its outcomes, retries included, by region."},
			[]string{"region"}),
		resolved: histogram("resolve_recipients", "Recipients per resolve call.",
			prometheus.ExponentialBuckets(1, 4, 6)),
		cacheHits:   counter("cache_hits_total", "Look-ups answered by a cache.", "cache"),
		cacheMisses: counter("cache_misses_total", "Look-ups that a node was asked.", "cache"),
		feedEvents:  feedEvents.WithLabelValues(),
		feedEnds:    feedEnds.WithLabelValues(),
		refused: counter("refused_total",
			"Records that a lane did not take, or gave up, by reason.", "reason"),
		bulkBlocked: bulkBlocked.WithLabelValues(),
		router:      r,
	}
	s.processed = s.submissions.WithLabelValues(outcomeName(processed, nil))
	s.directoryHits = s.cacheHits.WithLabelValues("directory")
	s.directoryMisses = s.cacheMisses.WithLabelValues("directory")
	for set, name := range blockClasses {
		s.blocks[set] = blocks.WithLabelValues(name)
	}
	var errs []error
	for _, c := range []prometheus.Collector{s.submissions, s.submitSeconds, moved, s.retries,
		s.blockRecords, s.blockBytes, s.blockSeconds, s.resolved, s.cacheHits, s.cacheMisses,
		feedEvents, feedEnds, s.refused, bulkBlocked, blocks, spoolRefused, stale, s} {
		errs = append(errs, reg.Register(c))
	}
	return s, errors.Join(errs...)
}

// Describe is prometheus.Collector's.
func (s *stats) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{waitingDesc, queuedDesc, indexDesc, contactDesc, awayDesc,
		cachedDesc} {
		ch <- d
	}
}

// Collect is prometheus.Collector's: it reads the router's present state.
func (s *stats) Collect(ch chan<- prometheus.Metric) {
	st := s.router.Status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	var queued Queued
	for region, w := range st.Lanes {
		gauge(waitingDesc, float64(w.Records), string(region))
		away := 0.0
		if w.Away {
			away = 1
		}
		gauge(awayDesc, away, string(region))
		queued.Interactive += w.Queued.Interactive
		queued.Bulk += w.Queued.Bulk
	}
	gauge(queuedDesc, float64(queued.Interactive), interactive.String())
	gauge(queuedDesc, float64(queued.Bulk), bulk.String())
	gauge(indexDesc, float64(st.FeedIndex))
	gauge(contactDesc, st.ContactSeconds)
	gauge(cachedDesc, float64(st.CachedOwners), "directory")
	gauge(cachedDesc, float64(st.CachedKeys), "key")
	gauge(cachedDesc, float64(st.CachedServices), "service")
}

// processed is the usual outcome.
var processed = wire.Outcome{Kind: wire.Decided, Verdict: wire.Verdict{Status: wire.Processed}}

func (s *stats) submitted(o wire.Outcome, err error) {
	if err == nil && o.Kind == processed.Kind && o.Verdict == processed.Verdict {
		s.processed.Inc()
		return
	}
	s.submissions.WithLabelValues(outcomeName(o, err)).Inc()
}

// blockClasses names sets of classes; a block is of one at least.
var blockClasses = map[int]string{1 << interactive: "interactive", 1 << bulk: "bulk",
	1<<interactive | 1<<bulk: "both"}

// block counts a block that leaves.
func (s *stats) block(batch []*item, size int) {
	set := 0
	for _, it := range batch {
		set |= 1 << it.class
	}
	s.blocks[set].Inc()
	s.blockRecords.Observe(float64(len(batch)))
	s.blockBytes.Observe(float64(size))
}

// failed counts an attempt on a node that was not answered, or not as hoped.
func (s *stats) failed(code wire.Code) { s.retries.WithLabelValues(code.String()).Inc() }
