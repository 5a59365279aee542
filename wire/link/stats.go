package link

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go"
	"github.com/staffetta/staffetta/wire"
)

// direction says who opened a connection or stream, or where bytes went.
type direction uint8

// The directions.
const (
	inbound direction = iota
	outbound
	directionsEnd
)

var (
	directionNames = [directionsEnd]string{"in", "out"}
	kindNames      = [kindsEnd]string{"raft", "call", "stream"}
)

// stats are the metrics of one link.
type stats struct {
	conns   *prometheus.GaugeVec
	dials   *prometheus.CounterVec
	refused *prometheus.CounterVec
	cut     prometheus.Counter
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	// Looked up once, since they count on the way of every call.
	streams    [directionsEnd][kindsEnd]prometheus.Gauge
	payload    [directionsEnd][kindsEnd][rolesEnd]prometheus.Counter
	streamsVec *prometheus.GaugeVec
	payloadVec *prometheus.CounterVec
	udpDesc    *prometheus.Desc

	mu   sync.Mutex
	open map[*quic.Conn]string            // protocol of each connection
	past map[string][directionsEnd]uint64 // bytes of connections that have ended, by protocol
}

func newStats() *stats {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "staffetta_link_" + name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "staffetta_link_" + name, Help: help}, labels)
	}
	s := &stats{
		conns: gauge("connections", "Open QUIC connections, by who dialled, protocol and "+
			"the peer's role.", "direction", "protocol", "role"),
		dials: counter("dials_total", "Dials of peers, by protocol and result.",
			"protocol", "result"),
		refused: counter("refused_total", "Incoming handshakes refused, by reason.", "reason"),
		cut: prometheus.NewCounter(prometheus.CounterOpts{Name: "staffetta_link_cut_total",
			Help: "Open connections cut because the peer's certificate is revoked."}),
		calls: counter("calls_total", "Calls made and served, by method and result.",
			"direction", "method", "code"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "staffetta_link_handler_seconds", Help: "Time in the handlers of calls.",
			Buckets: []float64{.0001, .0003, .001, .003, .01, .03, .1, .3, 1, 3, 10}},
			[]string{"method"}),
		streamsVec: gauge("streams", "Open streams, by who opened them and kind.",
			"direction", "kind"),
		payloadVec: counter("bytes_total", "Bytes of requests, answers and raft streams, by "+
			"kind and the peer's role.", "direction", "kind", "role"),
		udpDesc: prometheus.NewDesc("staffetta_link_quic_bytes_total",
			"Bytes of QUIC packets, headers and retransmissions included, by protocol.",
			[]string{"direction", "protocol"}, nil),
		open: map[*quic.Conn]string{},
		past: map[string][directionsEnd]uint64{},
	}
	for d, dir := range directionNames {
		for k, kind := range kindNames {
			s.streams[d][k] = s.streamsVec.WithLabelValues(dir, kind)
			for r := RoleNode; r < rolesEnd; r++ {
				s.payload[d][k][r] = s.payloadVec.WithLabelValues(dir, kind, r.String())
			}
		}
	}
	return s
}

// register registers everything with r.
func (s *stats) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{s.conns, s.dials, s.refused, s.cut, s.calls, s.seconds,
		s.streamsVec, s.payloadVec, (*packetStats)(s)} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (s *stats) opened(d direction, k kind) prometheus.Gauge { return s.streams[d][k] }

func (s *stats) bytes(d direction, k kind, r Role) prometheus.Counter { return s.payload[d][k][r] }

// called counts a call that this process made or refused.
func (s *stats) called(d direction, m wire.Method, err *wire.Error) {
	code := "ok"
	if err != nil {
		code = err.Code.String()
	}
	s.calls.WithLabelValues(directionNames[d], strconv.Itoa(int(m)), code).Inc()
}

// handled counts a call that a handler answered.
func (s *stats) handled(m wire.Method, took time.Duration, err *wire.Error) {
	s.called(inbound, m, err)
	s.seconds.WithLabelValues(strconv.Itoa(int(m))).Observe(took.Seconds())
}

// began counts a new connection.
func (s *stats) began(c *quic.Conn, d direction, proto string, r Role) {
	s.conns.WithLabelValues(directionNames[d], proto, r.String()).Inc()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[c] = proto
}

// ended keeps the bytes of a connection that has ended.
func (s *stats) ended(c *quic.Conn, d direction, proto string, r Role) {
	s.conns.WithLabelValues(directionNames[d], proto, r.String()).Dec()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	s.past[proto] = addPackets(s.past[proto], c)
}

func addPackets(sum [directionsEnd]uint64, c *quic.Conn) [directionsEnd]uint64 {
	of := c.ConnectionStats()
	sum[inbound] += of.BytesReceived
	sum[outbound] += of.BytesSent
	return sum
}

// packetStats collects what QUIC itself counts, when asked.
type packetStats stats

// Describe implements prometheus.Collector.
func (s *packetStats) Describe(ch chan<- *prometheus.Desc) { ch <- s.udpDesc }

// Collect implements prometheus.Collector.
func (s *packetStats) Collect(ch chan<- prometheus.Metric) {
	s.mu.Lock()
	sums := map[string][directionsEnd]uint64{protoRaft: s.past[protoRaft],
		protoRelay: s.past[protoRelay]}
	for c, proto := range s.open {
		sums[proto] = addPackets(sums[proto], c)
	}
	s.mu.Unlock()
	for proto, sum := range sums {
		for d, dir := range directionNames {
			ch <- prometheus.MustNewConstMetric(s.udpDesc, prometheus.CounterValue,
				float64(sum[d]), dir, proto)
		}
	}
}
