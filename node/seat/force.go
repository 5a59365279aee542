package seat

import (
	"github.com/staffetta/staffetta/wire"
)

// Answering are the regions of which a majority of the nodes answers this node, which leads the
// federation. A region between two leaders is one of them; one that was cut off is none after some
// seconds.
func (s *Seat) Answering() (map[wire.RegionID]bool, error) {
	progress, err := s.FederationGroup.Progress()
	if err != nil {
		return nil, err
	}
	answer, of := map[wire.NodeID]bool{}, map[wire.RegionID][2]int{}
	for _, p := range progress {
		answer[p.Node] = p.Answers || p.Node == s.ID
	}
	for _, node := range s.Map().Nodes {
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

// CheckLost refuses what is only for a region that is lost, when that answers. The operator may
// know better, and say so.
func (s *Seat) CheckLost(what string, region wire.RegionID, healthy bool) error {
	if healthy {
		return nil
	}
	answers, err := s.Answering()
	if err == nil && answers[region] {
		err = NotLostError(what, region)
	}
	return err
}

// NotLostError refuses what is only for a region that is lost.
func NotLostError(what string, region wire.RegionID) error {
	return wire.Errorf(wire.Conflict, "region %s answers, and %s is for one that is lost; "+
		"--even-if-healthy does it all the same", region, what)
}
