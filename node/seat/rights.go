package seat

import (
	"slices"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// Askers are who may make a call. What a node may ask of another region than its own is the
// answerer's to decide.
type Askers struct {
	Roles []link.Role
	// Of operators the call asks a right, in every one of the regions that it is about.
	Right link.Right
	// regions reads from a request which regions the call is about. AllRegions stands for what is
	// no region's; none at all for a right that may be held anywhere.
	Regions regionsOf
}

type regionsOf = func(s *Seat, req []byte) ([]wire.RegionID, error)

// Only are those of some roles, and no operator.
func Only(roles ...link.Role) Askers { return Askers{Roles: roles} }

// Operators are those with a right.
func Operators(right link.Right, regions regionsOf) Askers { return Askers{}.Or(right, regions) }

// Observers are operators of anything.
var Observers = Operators(link.RightObserver, Anywhere)

// Or adds operators with a right.
func (a Askers) Or(right link.Right, regions regionsOf) Askers {
	return Askers{Roles: append(slices.Clip(a.Roles), link.RoleOperator), Right: right,
		Regions: regions}
}

// Anywhere is for a right that may be held in any region.
func Anywhere(*Seat, []byte) ([]wire.RegionID, error) { return nil, nil }

// Everywhere is for what is no region's.
func Everywhere(*Seat, []byte) ([]wire.RegionID, error) { return Just(link.AllRegions), nil }

// Here is the region of the node that answers.
func Here(s *Seat, _ []byte) ([]wire.RegionID, error) { return Just(s.RegionID), nil }

// Just is one region; AllRegions when a request names none.
func Just(r wire.RegionID) []wire.RegionID {
	if r == "" { // whatever that request means, it names no region that one could have a right in
		r = link.AllRegions
	}
	return []wire.RegionID{r}
}

// Of reads the region that a request is about.
func Of[Q any, PQ Message[Q]](f func(PQ) wire.RegionID) regionsOf {
	return Asked(func(_ *wire.Map, q PQ) []wire.RegionID { return Just(f(q)) })
}

// Asked reads the regions from the request.
func Asked[Q any, PQ Message[Q]](f func(*wire.Map, PQ) []wire.RegionID) regionsOf {
	return func(s *Seat, req []byte) ([]wire.RegionID, error) {
		q := PQ(new(Q))
		if err := wire.Decode(req, q); err != nil {
			return nil, err
		}
		return f(s.Map(), q), nil
	}
}

// Permit says why an operator may not make a call; nil: it may.
func (s *Seat) Permit(from link.Identity, grants link.Grants, m wire.Method,
	req []byte) *wire.Error {
	if grants == nil && s.Map().ActiveVersion < wire.VersionGrants {
		return nil // of before there were grants
	}
	c := s.Table[m]
	if c == nil || c.By.Regions == nil {
		return wire.Errorf(wire.Forbidden, "method %d is for no operator", m)
	}
	regions, err := c.By.Regions(s, req)
	if err != nil {
		return wire.AsError(err)
	}
	if len(regions) == 0 {
		regions = []wire.RegionID{""}
	}
	for _, r := range regions {
		if m != wire.MethodWhoami && !grants.Allow(c.By.Right, r) {
			return wire.Errorf(wire.Forbidden, "this takes the right %q %s, which the certificate "+
				"of %s does not grant: see `staffetta admin whoami`", c.By.Right, inRegion(r), from)
		}
	}
	return nil
}

func inRegion(r wire.RegionID) string {
	switch r {
	case "":
		return "of any region"
	case link.AllRegions:
		return "of all regions (*)"
	}
	return "of region " + string(r)
}

// MayReadData reports whether an operator may read what is a citizen's, in any region.
func (s *Seat) MayReadData(grants link.Grants) bool {
	if grants == nil {
		return s.Map().ActiveVersion < wire.VersionGrants
	}
	return grants.Allow(link.RightData, "")
}
