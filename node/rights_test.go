package node

import (
	"testing"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// TestPermit asks for things with few rights.
func TestPermit(t *testing.T) {
	n := made(t) // of lazio, on a map with no other region
	ada := link.Identity{Federation: "italia", Role: link.RoleOperator, Name: "ada"}
	grants := func(texts ...string) link.Grants {
		gs := link.Grants{}
		for _, text := range texts {
			g, err := link.ParseGrant(text)
			if err != nil {
				t.Fatal(err)
			}
			gs = append(gs, g)
		}
		return gs
	}
	lombardia := grants("observer:lombardia", "operator:lombardia", "member:lombardia",
		"data:lombardia")
	for _, c := range []struct {
		name   string
		grants link.Grants
		m      wire.Method
		req    codec.Message
		want   bool
	}{
		{"map", lombardia, wire.MethodGetMap, nil, true},
		{"map without a right", grants(), wire.MethodGetMap, nil, false},
		{"whoami without a right", grants(), wire.MethodWhoami, nil, true},
		{"a call for no operator", link.AllGrants(), wire.MethodSubmit, nil, false},
		{"a method that is none", link.AllGrants(), 60000, nil, false},
		{"foreign copy", lombardia, wire.MethodBackup,
			&wire.OpenBackup{Group: "region/lazio"}, false},
		{"own copy", lombardia, wire.MethodBackup,
			&wire.OpenBackup{Group: "region/lombardia"}, true},
		{"copy of the federation", lombardia, wire.MethodBackup,
			&wire.OpenBackup{Group: "federation"}, false},
		{"copy of a group that is none", lombardia, wire.MethodBackup, &wire.OpenBackup{}, false},
		{"copy without data", grants("operator:*", "member:*"), wire.MethodBackup,
			&wire.OpenBackup{Group: "region/lazio"}, false},
		{"explain elsewhere", lombardia, wire.MethodExplain, &wire.Explain{}, false},
		{"explain", grants("data:lazio"), wire.MethodExplain, &wire.Explain{}, true},
		{"slots from another", lombardia, wire.MethodDealSlots,
			&wire.DealSlots{Slots: []wire.Slot{3}, To: "lombardia", Force: true}, false},
		{"slots", grants("operator:lombardia", "operator:lazio"), wire.MethodDealSlots,
			&wire.DealSlots{Slots: []wire.Slot{3}, To: "lombardia"}, true},
		{"slots, beyond the last", lombardia, wire.MethodDealSlots,
			&wire.DealSlots{Slots: []wire.Slot{wire.Slots}, To: "lombardia"}, true},
		{"fence another", lombardia, wire.MethodFenceRegion,
			&wire.FenceRegion{Region: "lazio"}, false},
		{"fence", lombardia, wire.MethodFenceRegion, &wire.FenceRegion{Region: "lombardia"}, true},
		{"fence nobody", lombardia, wire.MethodFenceRegion, &wire.FenceRegion{}, false},
		{"node of another", lombardia, wire.MethodChangeMembers,
			&wire.MemberChange{RemoveNode: &wire.NodeRemoval{ID: "lazio-1"}}, false},
		{"node", grants("member:lazio"), wire.MethodChangeMembers,
			&wire.MemberChange{RemoveNode: &wire.NodeRemoval{ID: "lazio-1"}}, true},
		{"voters", grants("member:lazio"), wire.MethodChangeMembers,
			&wire.MemberChange{Voters: []wire.NodeID{"lazio-1"}}, false},
		{"gateway elsewhere", grants("member:lazio"), wire.MethodChangeMembers,
			&wire.MemberChange{PutGateway: &wire.Gateway{ID: "g", Region: "sicilia"}}, false},
		{"gateway that is not there", grants("member:lazio"), wire.MethodChangeMembers,
			&wire.MemberChange{RemoveGateway: "g"}, false},
		{"authority", lombardia, wire.MethodAddAuthority, &wire.Authority{}, false},
		{"authority of all", grants("member:*"), wire.MethodAddAuthority, &wire.Authority{}, true},
		{"revoke a node", grants("member:lazio"), wire.MethodRevoke,
			&wire.Revocation{Identity: "spiffe://italia/region/lazio/node/lazio-1"}, true},
		{"revoke an operator", grants("member:lazio"), wire.MethodRevoke,
			&wire.Revocation{Identity: "spiffe://italia/operator/bice"}, false},
		{"service", lombardia, wire.MethodPutService, &wire.ServiceSpec{}, false},
		{"service of all", grants("operator:*"), wire.MethodPutService, &wire.ServiceSpec{}, true},
	} {
		var req []byte
		if c.req != nil {
			req = wire.Encode(c.req)
		}
		err := n.seat.Permit(ada, c.grants, c.m, req)
		if refused := err != nil; refused == c.want {
			t.Errorf("%s: got %v, want allowed %t", c.name, err, c.want)
		}
	}
}

// TestPermitWithoutGrants: certificates of before there were grants allow everything until the
// federation has come to the version of grants, and nothing from then on.
func TestPermitWithoutGrants(t *testing.T) {
	n := made(t)
	ada := link.Identity{Federation: "italia", Role: link.RoleOperator, Name: "ada"}
	for version, want := range map[uint32]bool{1: true, 2: true, 3: false} {
		m := *n.seat.Founding
		m.ActiveVersion = version
		n.seat.Founding = &m
		err := n.seat.Permit(ada, nil, wire.MethodFinalise, wire.Encode(&wire.RaiseVersion{}))
		if (err == nil) != want {
			t.Errorf("version %d: got %v, want allowed %t", version, err, want)
		}
	}
}
