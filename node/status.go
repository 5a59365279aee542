package node

import (
	"fmt"
	"strings"
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
	return Status{ID: n.seat.ID, Region: n.seat.RegionID, Groups: []consensus.Status{
		n.seat.RegionGroup.Status(), n.seat.FederationGroup.Status()}}
}

// Health says whether the node can do its job: serve its region. A federation out of reach
// degrades it (known citizens and services go on), and does not stop it.
func (n *Node) Health() adminhttp.Health {
	var h adminhttp.Health
	if err := n.seat.RegionGroup.Ready(); err != nil {
		h.Reasons = append(h.Reasons, seat.RegionGroup(n.seat.RegionID)+": "+err.Error())
	}
	if _, ok := n.seat.Federation.Map(); !ok {
		h.Reasons = append(h.Reasons, "the federation's map is not known yet")
	}
	n.transfer.Health(&h)
	n.members.Health(&h)
	if n.desk.VersionAwaited() {
		h.Reasons = append(h.Reasons, "the region's log is not at its founding version yet")
	}
	if n.seat.Disk.Refuses() {
		h.Reasons = append(h.Reasons, n.seat.Disk.String()+": submissions are refused")
	}
	h.Degraded = append(h.Degraded, n.troubles()...)
	if err := n.seat.FederationGroup.Ready(); err != nil {
		h.Degraded = append(h.Degraded, "federation: "+err.Error()+
			": claims and changes of services wait")
	} else if c := n.seat.FederationContact(); c > seat.ContactMax {
		h.Degraded = append(h.Degraded, "federation: no contact for "+
			c.Round(time.Second).String())
	}
	reasons, degraded := n.seat.Link.Concerns()
	h.Reasons, h.Degraded = append(h.Reasons, reasons...), append(h.Degraded, degraded...)
	n.spool.Health(&h)
	n.recovery.Health(&h)
	h.Ready = len(h.Reasons) == 0
	return h
}

// slowDisk is the 99th percentile of appends to a log above which its disk is called slow: one
// message in a hundred waits that long, and heartbeats with it.
const slowDisk = 100 * time.Millisecond

// troubles are what hinders the node without keeping it from its job.
func (n *Node) troubles() (list []string) {
	for _, g := range []*consensus.Group{n.seat.RegionGroup, n.seat.FederationGroup} {
		name := g.Name()
		if slow := g.StoreLatency(); slow > slowDisk {
			list = append(list, fmt.Sprintf("%s: the log's disk is slow, 99 %% of the writes of the "+
				"last minute took up to %s", name, slow.Round(time.Millisecond)))
		}
		if stalled := g.Stalled(); len(stalled) > 0 {
			names := make([]string, len(stalled))
			for i, id := range stalled {
				names[i] = string(id)
			}
			list = append(list, fmt.Sprintf("%s: followers that answer and do not move: %s", name,
				strings.Join(names, ", ")))
		}
		if g.Disputed() {
			list = append(list, name+": replicas differ at equal index and no majority agrees")
		}
	}
	if b := n.seat.Region.Broken(); b > 0 {
		list = append(list, fmt.Sprintf("%s: %d records were not decided, as rows contradict each "+
			"other on every replica", seat.RegionGroup(n.seat.RegionID), b))
	}
	if allowed, have := n.seat.Federation.ActiveVersion(),
		n.seat.Region.ActiveVersion(); have < allowed {
		list = append(list, fmt.Sprintf("%s: logs version %d, the federation has gone on to %d: a "+
			"member is away or runs an older program", seat.RegionGroup(n.seat.RegionID), have, allowed))
	}
	return list
}
