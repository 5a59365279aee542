package system

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/staffetta/staffetta/internal/load"
)

// freePorts are n ports of the loopback interface that were free a moment ago.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // after all are found, so that they differ
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// metric is the sum of a metric's samples whose labels have these values; of a histogram it is
// the number of observations.
func metric(ctx context.Context, url, name string, labels map[string]string) (float64, error) {
	text, err := load.Page(ctx, url)
	if err != nil {
		return 0, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", url, err)
	}
	family, ok := families[name]
	if !ok {
		return 0, fmt.Errorf("%s: no metric %s", url, name)
	}
	var sum float64
	for _, m := range family.Metric {
		matches := 0
		for _, l := range m.Label {
			if want, ok := labels[l.GetName()]; ok && want == l.GetValue() {
				matches++
			}
		}
		if matches == len(labels) {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() +
				float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum, nil
}
