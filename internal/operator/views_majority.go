package operator

import (
	"fmt"
	"strings"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// standstill is a group without a majority of voters that answer: one cause, however many of its
// nodes are away.
type standstill struct {
	group  string
	voters int
	silent []NodeView // of the voters
}

// standstills finds the groups of a map that cannot go on, the federation's first.
func standstills(m *wire.Map, views []NodeView) (list []standstill) {
	nonvoter := map[wire.NodeID]bool{}
	for _, n := range m.Nodes {
		nonvoter[n.ID] = n.Nonvoter
	}
	find := func(group string, votes func(*NodeView) bool) {
		var voters []NodeView
		for i := range views {
			if votes(&views[i]) {
				voters = append(voters, views[i])
			}
		}
		if s := standstillOf(group, voters); s != nil {
			list = append(list, *s)
		}
	}
	find(link.FederationGroup, func(v *NodeView) bool { return v.Voter })
	for _, r := range m.Regions {
		find(link.RegionGroup(r.ID), func(v *NodeView) bool {
			return v.Region == r.ID && !nonvoter[v.Node]
		})
	}
	return list
}

// standstillOf judges a group by the views of its voters; nil: it can go on.
func standstillOf(group string, voters []NodeView) *standstill {
	s := &standstill{group: group, voters: len(voters)}
	for i := range voters {
		if voters[i].Status == nil {
			s.silent = append(s.silent, voters[i])
		}
	}
	if _, led := leaderOf(voters, group); led != nil || s.voters == 0 ||
		s.voters-len(s.silent) > s.voters/2 {
		return nil
	}
	return s
}

// name is the group as people say it.
func (s *standstill) name() string {
	if region, is := strings.CutPrefix(s.group, "region/"); is {
		return "region " + region
	}
	return "the federation's group"
}

// String says what is the matter, and who is missing.
func (s *standstill) String() string {
	text := fmt.Sprintf("%s has no majority: %d of its %d voters answer, %d are needed", s.name(),
		s.voters-len(s.silent), s.voters, s.voters/2+1)
	reasons := map[string][]string{}
	var order []string
	for i := range s.silent {
		v := &s.silent[i]
		why := v.Problem
		if v.HeardMillis >= 0 {
			why = lastHeard(v) + ", " + why
		}
		if reasons[why] == nil {
			order = append(order, why)
		}
		reasons[why] = append(reasons[why], fmt.Sprintf("%s (%s)", v.Node, v.Addr))
	}
	for _, why := range order {
		text += "; " + strings.Join(reasons[why], ", ") + ": " + why
	}
	return text
}

// nodesSaid are the nodes about which a standstill has said all there is.
func nodesSaid(list []standstill) map[wire.NodeID]bool {
	nodes := map[wire.NodeID]bool{}
	for i := range list {
		for _, v := range list[i].silent {
			nodes[v.Node] = true
		}
	}
	return nodes
}

// consequence reports whether a node's reason not to be ready is only that one of the groups stands
// still.
func consequence(list []standstill, reason string) bool {
	for i := range list {
		if strings.HasPrefix(reason, list[i].group+": no leader") {
			return true
		}
	}
	return false
}
