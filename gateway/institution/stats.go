package institution

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/wire"
)

// stats are the API's metrics. No label can take a value that a client chooses.
type stats struct {
	submissions *prometheus.CounterVec
	processed   prometheus.Counter // of submissions: what becomes of most
	refusals    *prometheus.CounterVec
}

func newStats(r prometheus.Registerer) (*stats, error) {
	s := &stats{
		submissions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "staffetta_institution_submissions_total",
			Help: "Submissions answered with 201, by verdict.",
		}, []string{"status", "reason"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "staffetta_institution_refusals_total",
			Help: "Calls answered with an error, by problem type.",
		}, []string{"problem"}),
	}
	s.processed = s.submissions.WithLabelValues(wire.Processed.String(), "")
	if r == nil {
		return s, nil
	}
	for _, c := range []prometheus.Collector{s.submissions, s.refusals} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *stats) verdict(v wire.Verdict) {
	if v == (wire.Verdict{Status: wire.Processed}) {
		s.processed.Inc()
		return
	}
	s.submissions.WithLabelValues(v.Status.String(), v.Reason.String()).Inc()
}
