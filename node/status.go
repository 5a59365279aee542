package node

import (
	"fmt"
	"time"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/internal/adminhttp"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
)

// Status is what a node says of itself at /status.
type Status struct {
	ID     wire.NodeID        `json:"id"`
	Region wire.RegionID      `json:"region"`
	Groups []consensus.Status `json:"groups"`
}

// Status returns the node's status.
func (n *Node) Status() Status {
	return Status{ID: n.ID, Region: n.RegionID, Groups: []consensus.Status{
		n.RegionGroup.Status(), n.FederationGroup.Status()}}
}

// Health says whether the node can do its job: serve its region. A federation out of reach
// degrades it (known citizens and services go on), and does not stop it.
func (n *Node) Health() adminhttp.Health {
	var h adminhttp.Health
	if err := n.RegionGroup.Ready(); err != nil {
		h.Reasons = append(h.Reasons, seat.RegionGroup(n.RegionID)+": "+err.Error())
	}
	if _, ok := n.Seat.Federation.Map(); !ok {
		h.Reasons = append(h.Reasons, "the federation's map is not known yet")
	}
	if n.Seat.Region.Slots() == 0 && n.anchorsSlots() {
		h.Reasons = append(h.Reasons, "the region's anchor slots are not granted yet")
	} else if waits := n.slotFit().waits; waits > 0 {
		h.Degraded = append(h.Degraded, fmt.Sprintf("%d anchor slots are on their way to the "+
			"region: first logins and refusals of their codes wait", waits))
	}
	if n.desk.VersionAwaited() {
		h.Reasons = append(h.Reasons, "the region's log is not at its founding version yet")
	}
	if n.Disk.Refuses() {
		h.Reasons = append(h.Reasons, n.Disk.String()+": submissions are refused")
	}
	h.Degraded = append(h.Degraded, n.troubles()...)
	if err := n.FederationGroup.Ready(); err != nil {
		h.Degraded = append(h.Degraded, "federation: "+err.Error()+
			": claims and changes of services wait")
	} else if c := n.FederationContact(); c > seat.ContactMax {
		h.Degraded = append(h.Degraded, "federation: no contact for "+
			c.Round(time.Second).String())
	}
	reasons, degraded := n.Link.Concerns()
	h.Reasons, h.Degraded = append(h.Reasons, reasons...), append(h.Degraded, degraded...)
	h.Degraded = append(h.Degraded, n.members.Maintenance()...)
	h.Degraded = append(h.Degraded, n.spool.Health(n.Now())...)
	n.recovery.Health(&h)
	h.Ready = len(h.Reasons) == 0
	return h
}
