package link

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/staffetta/staffetta/wire"
)

// Right is a kind of thing that an operator may do. Every right lets its holder look at what is no
// citizen's.
type Right string

// The rights.
const (
	RightObserver Right = "observer" // looks
	RightOperator Right = "operator" // keeps things working: slots, moves, services, restores
	RightMember   Right = "member"   // says who belongs to it: nodes, gateways, certificates
	RightData     Right = "data"     // reads what is a citizen's: copies, restores, explanations
)

// Rights are all that there are.
func Rights() []Right {
	return []Right{RightObserver, RightOperator, RightMember, RightData}
}

// AllRegions, as a grant's region, stands for every region and for what belongs to none, such as
// institutions, services, and the federation's own group.
const AllRegions wire.RegionID = "*"

// Grant is a right in a region.
type Grant struct {
	Right  Right
	Region wire.RegionID // or AllRegions
}

// String is the grant on the command line: "operator:lazio".
func (g Grant) String() string { return string(g.Right) + ":" + string(g.Region) }

// ParseGrant reads what String gives.
func ParseGrant(text string) (Grant, error) {
	right, region, ok := strings.Cut(text, ":")
	g := Grant{Right(right), wire.RegionID(region)}
	if !ok || !slices.Contains(Rights(), g.Right) ||
		g.Region != AllRegions && !g.Region.Valid() {
		return Grant{}, fmt.Errorf("%.80q is no grant: observer, operator, member or data, a "+
			"colon, and a region or *", text)
	}
	return g, nil
}

// Grants are what an operator's certificate says that its holder may do. Nil: the certificate
// says nothing of it, as those of before there were grants.
type Grants []Grant

// AllGrants are all rights everywhere.
func AllGrants() Grants {
	var all Grants
	for _, r := range Rights() {
		all = append(all, Grant{r, AllRegions})
	}
	return all
}

const (
	// grantPrefix marks, among the organizational units of a certificate's subject, its grants:
	// "OU = staffetta:operator:lazio". They are the one place where any authority can put them and
	// anybody can read them.
	grantPrefix = "staffetta:"
	// grantsMax bounds the grants of a certificate: four rights in thirty regions.
	grantsMax = 128
)

// Units are the organizational units that say the grants in a certificate's subject.
func (gs Grants) Units() (units []string) {
	for _, g := range gs {
		units = append(units, grantPrefix+g.String())
	}
	return units
}

// UnitsOf are those of a certificate that lets its holder do all that one of its role can: all
// grants for an operator, none for others.
func UnitsOf(id Identity) []string {
	if id.Role != RoleOperator {
		return nil
	}
	return AllGrants().Units()
}

// Strings are the grants as ParseGrant reads them.
func (gs Grants) Strings() (texts []string) {
	for _, g := range gs {
		texts = append(texts, g.String())
	}
	return texts
}

// GrantsOf reads the grants of a certificate. One that cannot be read spoils them all: what an
// authority meant to limit must not be left unlimited.
func GrantsOf(cert *x509.Certificate) (Grants, error) {
	var gs Grants
	for _, unit := range cert.Subject.OrganizationalUnit {
		text, ours := strings.CutPrefix(unit, grantPrefix)
		if !ours {
			continue
		}
		g, err := ParseGrant(text)
		if err != nil {
			return nil, err
		}
		if gs = append(gs, g); len(gs) > grantsMax {
			return nil, fmt.Errorf("more than %d grants", grantsMax)
		}
	}
	return gs, nil
}

// Allow reports whether the grants hold a right in a region, AllRegions included; an empty region
// asks for the right anywhere. Every right is also that of an observer.
func (gs Grants) Allow(right Right, region wire.RegionID) bool {
	return slices.ContainsFunc(gs, func(g Grant) bool {
		return (g.Right == right || right == RightObserver) &&
			(region == "" || g.Region == region || g.Region == AllRegions)
	})
}

// within are the grants that are left of an authority that speaks for some regions only.
func (gs Grants) within(regions []wire.RegionID) Grants {
	left := Grants{}
	for _, g := range gs {
		if g.Region != AllRegions {
			if slices.Contains(regions, g.Region) {
				left = append(left, g)
			}
			continue
		}
		for _, r := range regions {
			left = append(left, Grant{g.Right, r})
		}
	}
	return left
}

// bounds are the regions that the authorities of a certificate may speak for; bounded is false when
// one of them may speak for all.
func (b *believed) bounds(chain, roots []*x509.Certificate) (regions []wire.RegionID,
	bounded bool) {
	if len(b.bounded) == 0 {
		return nil, false
	}
	for _, root := range authoritiesOf(chain, roots) {
		of, ok := b.bounded[wire.FingerprintOf(root.Raw)]
		if !ok {
			return nil, false
		}
		regions = append(regions, of...)
	}
	return regions, true
}

// outside says that an identity is of a region for which its authority does not speak; nil: it is
// not. An operator is of no region: its grants are cut down instead.
func (b *believed) outside(id Identity, chain, roots []*x509.Certificate) *wire.Error {
	if id.Role == RoleOperator {
		return nil
	}
	regions, bounded := b.bounds(chain, roots)
	if !bounded || slices.Contains(regions, id.Region) {
		return nil
	}
	return wire.Errorf(wire.Unauthenticated, "certificate of %s is of an authority that speaks "+
		"for %v only", id, regions)
}

// grants are what the operator at the other end of a connection may do, as of now: an authority
// may have been bounded since the handshake.
func (l *Link) grants(c *inConn) (Grants, *wire.Error) {
	gs, err := GrantsOf(c.chain[0])
	if err != nil {
		return nil, wire.Errorf(wire.Unauthenticated, "certificate: %s", err)
	}
	if regions, bounded := l.trust.now.Load().bounds(c.chain, l.authorities()); bounded {
		gs = gs.within(regions)
	}
	return gs, nil
}

// grantsKey is the context's key of a caller's grants.
type grantsKey struct{}

// WithGrants is a context in which GrantsIn answers gs.
func WithGrants(ctx context.Context, gs Grants) context.Context {
	return context.WithValue(ctx, grantsKey{}, gs)
}

// GrantsIn are the grants of the operator whose call a handler's context is of; nil for others.
func GrantsIn(ctx context.Context) Grants {
	gs, _ := ctx.Value(grantsKey{}).(Grants)
	return gs
}
