package transfer

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/wire"
)

// moveMetrics show the moves away from the region that its log, as far as it is applied here, has
// under way.
func (t *Transfer) moveMetrics() []prometheus.Collector {
	gauge := func(name, help string, of func([]wire.Move) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 {
				list, err := t.Region.Moves(movesScan)
				if err != nil {
					return 0 // the node is stopping, or says so elsewhere
				}
				return of(list)
			})
	}
	return []prometheus.Collector{
		gauge("staffetta_moves_under_way", "Moves of citizens to other regions that are under way.",
			func(list []wire.Move) float64 { return float64(len(list)) }),
		gauge("staffetta_moves_oldest_seconds", "Age of the oldest of them.",
			func(list []wire.Move) float64 {
				oldest := t.Now()
				now := oldest
				for i := range list {
					oldest = min(oldest, list[i].Since)
				}
				return now.Sub(oldest).Truncate(time.Second).Seconds()
			}),
	}
}
