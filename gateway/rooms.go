package gateway

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/wire"
)

// roomPeriod is how often the file descriptors are counted.
const roomPeriod = 5 * time.Second

// watchDescriptors counts the file descriptors until ctx ends: each client and the answers to the
// operator take one. A gateway gives none up by itself: it says so, and with the last ones that it
// is not ready, so that clients are sent to another.
func (g *Gateway) watchDescriptors(ctx context.Context) {
	tick := time.NewTicker(roomPeriod)
	defer tick.Stop()
	for {
		level, before := g.descriptors.Look()
		if level != before && (before != wire.DiskUnknown || level != wire.DiskAmple) {
			g.cfg.Logger.Warn("file descriptors crossed a watermark", "level", level,
				"before", before, "room", g.descriptors.String())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// roomConcerns says that descriptors are scarce, for /health.
func (g *Gateway) roomConcerns() (reasons, degraded []string) {
	switch level := g.descriptors.Level(); {
	case level >= wire.DiskFull:
		return []string{g.descriptors.String()}, nil
	case level >= wire.DiskLow:
		return nil, []string{g.descriptors.String()}
	}
	return nil, nil
}

func (g *Gateway) registerRooms() error {
	return g.cfg.Registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "staffetta_gateway_descriptors_left",
		Help: "How many file descriptors are left to the gateway.",
	}, func() float64 { return float64(g.descriptors.Left()) }))
}
