package membership

import (
	"context"
	"crypto/tls"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/internal/adminhttp"
	"github.com/staffetta/staffetta/internal/renewal"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
)

// Config says how a node takes part.
type Config struct {
	// Joined says that the node joined a federation that was there; Founds, that it was the first
	// of its region, and begins the region's group alone.
	Joined, Founds bool
	// Renew are the files that Certificate is read from, which are renewed; none: whoever writes
	// them renews them.
	Renew       renewal.Files
	Certificate func() (*tls.Certificate, error)
	Registerer  prometheus.Registerer
	// CheckSpools refuses the removal of a region for which, or in which, something waits.
	CheckSpools func(context.Context, wire.RegionID) error
}

// Membership is who takes part: it changes the map on an operator's order, and brings the groups
// that this node leads into line with it. Its methods may be called concurrently.
type Membership struct {
	*seat.Seat
	cfg       Config
	changing  sync.Mutex // held while an operator's change of members is judged and logged
	seeds     *seeds
	renewals  *renewals
	holder    *renewal.Holder // of this node's certificate; nil: others renew it
	admission atomic.Pointer[admission]
}

// New makes the duty. Close ends what it holds.
func New(at *seat.Seat, cfg Config) *Membership {
	return &Membership{Seat: at, cfg: cfg, seeds: &seeds{Seat: at, open: map[string]*seed{}},
		renewals: newRenewals(at)}
}

// Close drops the copies of states that are kept for nodes that join.
func (d *Membership) Close() { d.seeds.close() }

// Calls are the calls about who takes part.
func (d *Membership) Calls() []seat.Call {
	return slices.Concat(d.memberCalls(), d.fenceCalls(), d.trustCalls(), d.renewalCalls())
}

// Health adds certificates that are renewed late, this node's own and those of others, and why this
// node is not to lead.
func (d *Membership) Health(h *adminhttp.Health) {
	if late := d.renewals.concern(); late != "" {
		h.Degraded = append(h.Degraded, late)
	}
	if d.holder != nil {
		if late := d.holder.Concern(); late != "" {
			h.Degraded = append(h.Degraded, late)
		}
	}
	if self, _ := d.Map().Node(d.ID); self.Maintenance != "" {
		h.Degraded = append(h.Degraded, "maintenance: "+self.Maintenance)
	}
}
