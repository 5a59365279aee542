package node

import (
	"fmt"
	"strings"
	"time"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/node/seat"
)

// slowDisk is the 99th percentile of appends to a log above which its disk is called slow: one
// message in a hundred waits that long, and heartbeats with it.
const slowDisk = 100 * time.Millisecond

// troubles are what hinders the node without keeping it from its job.
func (n *Node) troubles() (list []string) {
	for _, g := range []*consensus.Group{n.RegionGroup, n.FederationGroup} {
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
	if c := n.owners.contradictions.Load(); c > 0 {
		list = append(list, fmt.Sprintf("%s: the directory contradicts the log about %d codes: those "+
			"that nobody owned are taken back, of others see the log", seat.RegionGroup(n.RegionID),
			c))
	}
	if b := n.Seat.Region.Broken(); b > 0 {
		list = append(list, fmt.Sprintf("%s: %d records were not decided, as rows contradict each "+
			"other on every replica", seat.RegionGroup(n.RegionID), b))
	}
	if allowed, have := n.Seat.Federation.ActiveVersion(),
		n.Seat.Region.ActiveVersion(); have < allowed {
		list = append(list, fmt.Sprintf("%s: logs version %d, the federation has gone on to %d: a "+
			"member is away or runs an older program", seat.RegionGroup(n.RegionID), have, allowed))
	}
	return append(list, n.members.Concerns()...)
}
