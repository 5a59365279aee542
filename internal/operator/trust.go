package operator

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
	"golang.org/x/sync/errgroup"
)

// Witness is a node of the map and what it says about certificates: its own, and those of who is
// connected to it. Identities is nil when it did not answer; Problem says why.
type Witness struct {
	Node       wire.Node
	Identities *wire.Identities
	Problem    string
}

// Witnesses are all nodes of the map, in its order.
type Witnesses []Witness

// Witnesses asks every node of the map at once. A node without an answer is no error.
func (c *Client) Witnesses(ctx context.Context) (*wire.Map, Witnesses, error) {
	m, err := c.Map(ctx)
	if err != nil {
		return nil, nil, err
	}
	ws := make(Witnesses, len(m.Nodes))
	var g errgroup.Group
	g.SetLimit(nodesAtOnce)
	for i := range ws {
		w := &ws[i]
		w.Node = m.Nodes[i]
		g.Go(func() error {
			said := new(wire.Identities)
			if err := c.one(ctx, w.Node.ID, wire.MethodIdentities, nil, said); err != nil {
				w.Problem = err.Error()
				return nil
			}
			w.Identities = said
			return nil
		})
	}
	g.Wait() // nothing fails: problems are in the list
	return m, ws, nil
}

// AddAuthority makes the federation believe an authority, DER, for the regions given; none: for
// all.
func (c *Client) AddAuthority(ctx context.Context, der []byte, regions ...wire.RegionID) error {
	return c.call(ctx, wire.MethodAddAuthority, &wire.Authority{DER: der, Regions: regions})
}

// RemoveAuthority makes the federation believe an authority no more. Whether somebody still needs
// it is the caller's to ask first, with Needs.
func (c *Client) RemoveAuthority(ctx context.Context, f wire.Fingerprint) error {
	return c.call(ctx, wire.MethodRemoveAuthority, &wire.AuthorityRef{Fingerprint: f})
}

// Revoke makes the certificates of an identity worthless that are valid from now or earlier. On
// return every process that is in contact with the federation has cut it off, or does so as soon
// as it hears, within a second.
func (c *Client) Revoke(ctx context.Context, id link.Identity) error {
	return c.call(ctx, wire.MethodRevoke, &wire.Revocation{Identity: id.String()})
}

// Silent are the nodes that did not answer.
func (ws Witnesses) Silent() (nodes []wire.NodeID) {
	for _, w := range ws {
		if w.Identities == nil {
			nodes = append(nodes, w.Node.ID)
		}
	}
	return nodes
}

// Credentials are the certificates in use, each once, in the order of their identities.
func (ws Witnesses) Credentials() (list []wire.Credential) {
	seen := map[wire.Fingerprint]bool{}
	for _, w := range ws {
		if w.Identities == nil {
			continue
		}
		for _, c := range append([]wire.Credential{w.Identities.Self}, w.Identities.Members...) {
			if !seen[c.Fingerprint] {
				seen[c.Fingerprint] = true
				list = append(list, c)
			}
		}
	}
	slices.SortFunc(list, func(a, b wire.Credential) int {
		return strings.Compare(a.Identity, b.Identity)
	})
	return list
}

// NeededBy are the running members whose certificates come from this authority and from no other
// one that is believed.
func (ws Witnesses) NeededBy(f wire.Fingerprint) (identities []string) {
	for _, c := range ws.Credentials() {
		if len(c.Authorities) == 1 && c.Authorities[0] == f &&
			!slices.Contains(identities, c.Identity) {
			identities = append(identities, c.Identity)
		}
	}
	return identities
}

// InFiles are the nodes whose own files name the authority.
func (ws Witnesses) InFiles(f wire.Fingerprint) (nodes []wire.NodeID) {
	for _, w := range ws {
		if w.Identities != nil && slices.ContainsFunc(w.Identities.FileAuthorities,
			func(der []byte) bool { return wire.FingerprintOf(der) == f }) {
			nodes = append(nodes, w.Node.ID)
		}
	}
	return nodes
}

// FileAuthorities are the authorities (DER) that nodes name in their own files, one after the
// other.
func (ws Witnesses) FileAuthorities() (roots [][]byte) {
	for _, w := range ws {
		if w.Identities != nil {
			roots = append(roots, w.Identities.FileAuthorities...)
		}
	}
	return roots
}

// Quorum says which group would be left without a majority of nodes that answer if one were cut
// off; nil: none would.
func (ws Witnesses) Quorum(without wire.NodeID) error {
	at := slices.IndexFunc(ws, func(w Witness) bool { return w.Node.ID == without })
	if at < 0 {
		return nil
	}
	region := ws[at].Node.Region
	for _, g := range []struct {
		name    string
		belongs func(wire.Node) bool
	}{
		{link.RegionGroup(region), func(n wire.Node) bool { return n.Region == region }},
		{link.FederationGroup, func(n wire.Node) bool { return n.Voter }},
	} {
		if !g.belongs(ws[at].Node) {
			continue
		}
		all, left := 0, 0
		for _, w := range ws {
			if !g.belongs(w.Node) {
				continue
			}
			if all++; w.Identities != nil && w.Node.ID != without {
				left++
			}
		}
		if left <= all/2 {
			return fmt.Errorf("%s has %d nodes, of which %d would be left that answer: no majority",
				g.name, all, left)
		}
	}
	return nil
}

// Find returns the one identity of a role that has this name, among the map's nodes and gateways
// and those who are connected.
func (ws Witnesses) Find(m *wire.Map, role link.Role, name string) (link.Identity, error) {
	found := map[link.Identity]bool{}
	note := func(region wire.RegionID, have string) {
		if have == name {
			found[link.Identity{Federation: m.Federation, Role: role, Region: region,
				Name: name}] = true
		}
	}
	switch role {
	case link.RoleNode:
		for _, n := range m.Nodes {
			note(n.Region, string(n.ID))
		}
	case link.RoleGateway:
		for _, g := range m.Gateways {
			note(g.Region, string(g.ID))
		}
	case link.RoleOperator:
		note("", name) // its name is all that there is
	}
	for _, c := range ws.Credentials() {
		if id, err := link.ReadIdentity(c.Identity); err == nil && id.Role == role {
			note(id.Region, id.Name)
		}
	}
	if len(found) != 1 {
		return link.Identity{}, fmt.Errorf("%d identities of a %s %q are known: give the whole "+
			"one, spiffe://…", len(found), role, name)
	}
	for id := range found {
		return id, nil
	}
	panic("unreachable")
}
