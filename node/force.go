package node

import (
	"slices"

	"github.com/staffetta/staffetta/wire"
)

// answering are the regions of which a majority of the nodes answers this node, which leads the
// federation. A region between two leaders is one of them; one that was cut off is none after some
// seconds.
func (n *Node) answering() (map[wire.RegionID]bool, error) {
	progress, err := n.federationGroup.Progress()
	if err != nil {
		return nil, err
	}
	answer, of := map[wire.NodeID]bool{}, map[wire.RegionID][2]int{}
	for _, p := range progress {
		answer[p.Node] = p.Answers || p.Node == n.cfg.ID
	}
	for _, node := range n.currentMap().Nodes {
		count := of[node.Region]
		if count[1]++; answer[node.ID] {
			count[0]++
		}
		of[node.Region] = count
	}
	answers := map[wire.RegionID]bool{}
	for region, count := range of {
		answers[region] = count[0] > count[1]/2
	}
	return answers, nil
}

// lost refuses what is only for a region that is lost, when that answers. The operator may know
// better, and say so.
func (n *Node) lost(what string, region wire.RegionID, healthy bool) error {
	if healthy {
		return nil
	}
	answers, err := n.answering()
	if err == nil && answers[region] {
		err = notLost(what, region)
	}
	return err
}

func notLost(what string, region wire.RegionID) error {
	return wire.Errorf(wire.Conflict, "region %s answers, and %s is for one that is lost; "+
		"--even-if-healthy does it all the same", region, what)
}

// mayDeal holds a deal against what its regions say now: nothing goes to one that does not answer,
// and nothing is taken by force from one that does.
func (n *Node) mayDeal(d *wire.DealSlots) error {
	answers, err := n.answering()
	if err != nil {
		return err
	}
	m := n.currentMap()
	for _, s := range d.Slots {
		if int(s) >= wire.Slots {
			continue // refused later on
		}
		var bypassed []wire.RegionID // who may know what is then missing
		if a := m.Anchor(s); a != d.To {
			if !answers[d.To] {
				return wire.Errorf(wire.Conflict, "region %s does not answer: it is given nothing", d.To)
			}
			bypassed = append(bypassed, a)
		}
		if deal, moving := m.SlotDeal(s); moving {
			from, _ := m.RegionByTag(deal.From)
			bypassed = append(bypassed, from.ID)
		}
		silent := func(r wire.RegionID) bool { return !answers[r] }
		if d.Force && !d.Healthy && len(bypassed) > 0 && !slices.ContainsFunc(bypassed, silent) {
			return notLost("--force", bypassed[0])
		}
	}
	return nil
}
