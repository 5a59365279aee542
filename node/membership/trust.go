package membership

import (
	"context"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// trustCalls are the calls about certificates.
func (d *Membership) trustCalls() []seat.Call {
	members := seat.Operators(link.RightMember, seat.Everywhere)
	return []seat.Call{
		seat.Answers(d.Seat, wire.MethodIdentities, seat.Observers, seat.AnyNode, d.identities),
		seat.Answers(d.Seat, wire.MethodAddAuthority, members, seat.FederationLeads, d.addAuthority).When(
			seat.Always[wire.Authority]()),
		seat.Administers[wire.AuthorityRef](d.Seat, wire.MethodRemoveAuthority, members, "ca remove",
			wire.CmdRemoveAuthority).When(seat.Always[wire.AuthorityRef]()),
		seat.Answers(d.Seat, wire.MethodRevoke, seat.Operators(link.RightMember,
			seat.Asked(revokedRegion)), seat.FederationLeads, d.revoke).When(
			seat.Always[wire.Revocation]()),
	}
}

// identities says what this node shows to its peers, and who is connected to it.
func (d *Membership) identities(_ context.Context, _ link.Identity, _ *seat.None) (*wire.Identities,
	error) {
	return d.Link.Identities(), nil
}

// addAuthority answers MethodAddAuthority. That it is an authority which is valid now is checked
// here, once: the state takes the bytes as they are.
func (d *Membership) addAuthority(ctx context.Context, from link.Identity,
	r *wire.Authority) (*seat.None, error) {
	root, err := link.ParseAuthority(r.DER)
	if err != nil {
		return nil, wire.Malformedf("no authority: %s", err)
	}
	if now := d.Now().Std(); now.Before(root.NotBefore) || now.After(root.NotAfter) {
		return nil, wire.Malformedf("the authority is valid from %s to %s only",
			wire.TimeOf(root.NotBefore), wire.TimeOf(root.NotAfter))
	}
	_, err = d.Administrate(ctx, from, "ca add", wire.CmdAddAuthority, r)
	return nil, err
}

// revoke answers MethodRevoke. Without a time it is this moment.
func (d *Membership) revoke(ctx context.Context, from link.Identity,
	r *wire.Revocation) (*seat.None, error) {
	id, err := link.ReadIdentity(r.Identity)
	switch {
	case err != nil:
		return nil, wire.Malformedf("%s", err)
	case id.Federation != from.Federation:
		return nil, wire.Malformedf("%s is not of federation %s", id, from.Federation)
	case id == from:
		return nil, wire.Errorf(wire.Conflict, "%s cannot revoke itself, since the answer would "+
			"not reach it: another operator can", id)
	}
	if r.Before == 0 {
		r.Before = d.Now()
		if err := d.FederationGroup.Believe(ctx, r.Before.Std()); err != nil {
			return nil, err
		}
	}
	_, err = d.Administrate(ctx, from, "revoke", wire.CmdRevoke, r)
	return nil, err
}

// admission is which gateways a map names.
type admission struct {
	m        *wire.Map
	gateways map[wire.GatewayID]wire.RegionID
}

// Admit refuses a gateway that is not on the map: it was taken off it, and its certificate is
// good for long. The first version of the logs had no way to put one there.
func (d *Membership) Admit(from link.Identity) *wire.Error {
	m := d.Map()
	if from.Role != link.RoleGateway || m.ActiveVersion < wire.VersionGateways {
		return nil
	}
	a := d.admission.Load()
	if a == nil || a.m != m {
		a = &admission{m: m, gateways: make(map[wire.GatewayID]wire.RegionID, len(m.Gateways))}
		for _, g := range m.Gateways {
			a.gateways[g.ID] = g.Region
		}
		d.admission.Store(a)
	}
	if home, ok := a.gateways[wire.GatewayID(from.Name)]; ok && home == from.Region {
		return nil
	}
	return wire.Errorf(wire.NotReady, "gateway %s of region %s is not on the map: see `staffetta "+
		"admin gateway add`", from.Name, from.Region)
}

// TakeTrust tells the link whom the replica's map says to believe.
func (d *Membership) TakeTrust() (changed <-chan struct{}) {
	m, founded, changed := d.Federation.WatchMap()
	if founded {
		d.Link.Trust(&m.Trust)
	}
	return changed
}

// FollowTrust keeps the link's trust that of the map until ctx ends.
func (d *Membership) FollowTrust(ctx context.Context) error {
	for {
		select {
		case <-d.TakeTrust():
		case <-ctx.Done():
			return nil
		}
	}
}

// revokedRegion is that of who is revoked. Operators are of none.
func revokedRegion(_ *wire.Map, r *wire.Revocation) []wire.RegionID {
	id, err := link.ReadIdentity(r.Identity)
	if err != nil {
		return seat.Just(link.AllRegions)
	}
	return seat.Just(id.Region)
}
