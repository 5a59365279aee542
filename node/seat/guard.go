package seat

import "github.com/staffetta/staffetta/wire"

// CheckFederates is CheckLeads for the federation's group.
func (s *Seat) CheckFederates() error {
	if leader, _ := s.FederationGroup.Leader(); leader != s.ID {
		return &wire.Error{Code: wire.NotLeader, Leader: leader}
	}
	if s.Disk.Refuses() {
		return wire.Errorf(wire.Unavailable, "%s", s.Disk)
	}
	return nil
}

// mapKnown reports whether Map is the federation's own, and not the founding file's.
func (s *Seat) mapKnown() bool {
	if s.Federation == nil {
		return false
	}
	_, ok := s.Federation.Map()
	return ok
}

// CheckServes says why a region that was restored, or is about to be, takes nothing and answers
// nothing.
func (s *Seat) CheckServes() error {
	own := s.Region.Incarnation()
	r, known := s.Map().RegionByID(s.RegionID)
	switch {
	case known && r.Incarnation > own:
		return wire.Errorf(wire.NotReady, "region %s was restored as incarnation %d, this node is "+
			"of incarnation %d", s.RegionID, r.Incarnation, own)
	case own == 0:
		return nil
	case !s.mapKnown():
		return wire.Errorf(wire.NotReady, "region %s is restored as incarnation %d, and the "+
			"federation's map is not known yet", s.RegionID, own)
	case r.Incarnation < own:
		return wire.Errorf(wire.NotReady, "region %s is restored as incarnation %d, and the map "+
			"has %d: fence the region", s.RegionID, own, r.Incarnation)
	case !s.Region.Reconciled():
		return wire.Errorf(wire.NotReady, "region %s is restored, and its codes are being "+
			"compared with the directory", s.RegionID)
	}
	return nil
}

// CheckLeads refuses early what Propose would refuse late, before work is done for it. Whether the
// region serves comes first: of one that does not, no node is to be looked for that leads.
func (s *Seat) CheckLeads() error {
	if err := s.CheckServes(); err != nil {
		return err
	}
	if leader, _ := s.RegionGroup.Leader(); leader != s.ID {
		return &wire.Error{Code: wire.NotLeader, Leader: leader}
	}
	if s.Disk.Refuses() {
		return wire.Errorf(wire.Unavailable, "%s", s.Disk)
	}
	return nil
}
