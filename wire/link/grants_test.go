package link

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"slices"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

func TestGrantsOfACertificate(t *testing.T) {
	for _, c := range []struct {
		units []string
		want  Grants
		bad   bool
	}{
		{nil, nil, false},
		{[]string{"Ufficio 3", "staffettista:x"}, nil, false},
		{[]string{"staffetta:operator:lazio", "Ufficio 3", "staffetta:data:*"},
			Grants{{RightOperator, "lazio"}, {RightData, AllRegions}}, false},
		{AllGrants().Units(), AllGrants(), false},
		{[]string{"staffetta:operator:lazio", "staffetta:everything:*"}, nil, true},
		{[]string{"staffetta:operator"}, nil, true},
		{[]string{"staffetta:operator:"}, nil, true},
		{[]string{"staffetta:operator:La zio"}, nil, true},
		{[]string{"staffetta:"}, nil, true},
	} {
		got, err := GrantsOf(&x509.Certificate{Subject: pkix.Name{OrganizationalUnit: c.units}})
		if !slices.Equal(got, c.want) || (err != nil) != c.bad {
			t.Errorf("%q: got %v, %v, want %v", c.units, got, err, c.want)
		}
	}
}

func TestGrantsAllow(t *testing.T) {
	own := Grants{{RightOperator, "lazio"}, {RightData, "sicilia"}}
	for _, c := range []struct {
		grants Grants
		right  Right
		region wire.RegionID
		want   bool
	}{
		{own, RightOperator, "lazio", true},
		{own, RightOperator, "sicilia", false},
		{own, RightOperator, AllRegions, false},
		{own, RightOperator, "", true},
		{own, RightData, "lazio", false},
		{own, RightMember, "", false},
		{own, RightObserver, "lazio", true},
		{own, RightObserver, "veneto", false},
		{own, RightObserver, "", true},
		{AllGrants(), RightData, "lazio", true},
		{AllGrants(), RightMember, AllRegions, true},
		{nil, RightObserver, "", false},
		{AllGrants().within([]wire.RegionID{"lazio"}), RightData, "lazio", true},
		{AllGrants().within([]wire.RegionID{"lazio"}), RightData, "sicilia", false},
		{AllGrants().within([]wire.RegionID{"lazio"}), RightOperator, AllRegions, false},
		{own.within([]wire.RegionID{"sicilia"}), RightOperator, "lazio", false},
		{own.within([]wire.RegionID{"sicilia"}), RightData, "sicilia", true},
	} {
		if got := c.grants.Allow(c.right, c.region); got != c.want {
			t.Errorf("%v allow %s of %q: got %t", c.grants, c.right, c.region, got)
		}
	}
}
