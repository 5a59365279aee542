package node

import (
	"fmt"
	"time"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/internal/adminhttp"
	"github.com/staffetta/staffetta/wire"
)

// contactMax is the silence of the federation's leader after which a node says so.
const contactMax = 10 * time.Second

// Status is what a node says of itself at /status.
type Status struct {
	ID     wire.NodeID        `json:"id"`
	Region wire.RegionID      `json:"region"`
	Groups []consensus.Status `json:"groups"`
}

// Status returns the node's status.
func (n *Node) Status() Status {
	return Status{ID: n.cfg.ID, Region: n.cfg.Region, Groups: []consensus.Status{
		n.regionGroup.Status(), n.federationGroup.Status()}}
}

// Health says whether the node can do its job: serve its region. A federation out of reach
// degrades it (known citizens and services go on), and does not stop it.
func (n *Node) Health() adminhttp.Health {
	var h adminhttp.Health
	if err := n.regionGroup.Ready(); err != nil {
		h.Reasons = append(h.Reasons, regionGroup(n.cfg.Region)+": "+err.Error())
	}
	if _, ok := n.federation.Map(); !ok {
		h.Reasons = append(h.Reasons, "the federation's map is not known yet")
	}
	if n.region.Slots() == 0 && n.anchorsSlots() {
		h.Reasons = append(h.Reasons, "the region's anchor slots are not granted yet")
	} else if waits := n.slotFit().waits; waits > 0 {
		h.Degraded = append(h.Degraded, fmt.Sprintf("%d anchor slots are on their way to the "+
			"region: first logins and refusals of their codes wait", waits))
	}
	if n.versionAwaited() {
		h.Reasons = append(h.Reasons, "the region's log is not at its founding version yet")
	}
	if n.disk.refuses() {
		h.Reasons = append(h.Reasons, n.disk.String()+": submissions are refused")
	}
	h.Degraded = append(h.Degraded, n.troubles()...)
	if err := n.federationGroup.Ready(); err != nil {
		h.Degraded = append(h.Degraded, "federation: "+err.Error()+
			": claims and changes of services wait")
	} else if c := n.federationContact(); c > contactMax {
		h.Degraded = append(h.Degraded, "federation: no contact for "+
			c.Round(time.Second).String())
	}
	reasons, degraded := n.link.Concerns()
	h.Reasons, h.Degraded = append(h.Reasons, reasons...), append(h.Degraded, degraded...)
	h.Degraded = append(h.Degraded, n.maintenance()...)
	h.Degraded = append(h.Degraded, n.spool.health(n.clockNow())...)
	n.restoreHealth(&h)
	h.Ready = len(h.Reasons) == 0
	return h
}

// anchorsSlots reports whether the region has slots since the founding.
func (n *Node) anchorsSlots() bool {
	m := n.currentMap()
	for s := range wire.Slot(wire.Slots) {
		if n.foundingSlot(m, s) {
			return true
		}
	}
	return false
}
