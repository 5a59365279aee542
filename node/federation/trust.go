package federation

import (
	"bytes"
	"slices"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// addAuthority adds an authority to those that the federation believes. Whether it is a certificate
// is the leader's to check before it logs it: libraries of two versions may read one differently,
// and replicas may not.
func (t *tx) addAuthority(r *wire.Authority) (codec.Message, *wire.Error) {
	if len(r.DER) == 0 || len(r.DER) > wire.AuthorityBytesMax {
		return nil, wire.Errorf(wire.TooLarge, "an authority of %d bytes, 1-%d allowed",
			len(r.DER), wire.AuthorityBytesMax)
	}
	bound := wire.AuthorityBound{Root: wire.FingerprintOf(r.DER), Regions: r.Regions}
	if err := validateBound(&bound); err != nil {
		return nil, err
	}
	return nil, t.changeMap(func(m *wire.Map) *wire.Error {
		if m.ActiveVersion >= wire.VersionBounds {
			for _, region := range r.Regions {
				if _, ok := m.RegionByID(region); !ok {
					return wire.Errorf(wire.NotFound, "no region %q on the map", string(region))
				}
			}
			bindAuthority(&m.Trust, bound)
		}
		roots := &m.Trust.Authorities
		if slices.ContainsFunc(*roots, func(b []byte) bool { return bytes.Equal(b, r.DER) }) {
			return nil
		}
		if len(*roots) >= wire.AuthoritiesMax {
			return wire.Errorf(wire.TooLarge, "the federation believes %d authorities already: "+
				"remove one first", wire.AuthoritiesMax)
		}
		*roots = append(*roots, r.DER)
		return nil
	})
}

// removeAuthority removes an authority. The last one stays: without any, every process would be
// left with what its own files say.
func (t *tx) removeAuthority(r *wire.AuthorityRef) (codec.Message, *wire.Error) {
	return nil, t.changeMap(func(m *wire.Map) *wire.Error {
		roots := &m.Trust.Authorities
		at := slices.IndexFunc(*roots, func(b []byte) bool {
			return wire.FingerprintOf(b) == r.Fingerprint
		})
		if at < 0 {
			return nil
		}
		if len(*roots) == 1 {
			return wire.Errorf(wire.Conflict, "this is the last authority that the federation "+
				"believes: add its successor first")
		}
		*roots = slices.Delete(*roots, at, at+1)
		bindAuthority(&m.Trust, wire.AuthorityBound{Root: r.Fingerprint})
		return nil
	})
}

// bindAuthority replaces the bounds of an authority; no regions: it has none.
func bindAuthority(t *wire.Trust, bound wire.AuthorityBound) {
	t.Bounds = slices.DeleteFunc(t.Bounds, func(b wire.AuthorityBound) bool {
		return b.Root == bound.Root
	})
	if len(bound.Regions) > 0 {
		t.Bounds = append(t.Bounds, bound)
	}
}

func validateBound(b *wire.AuthorityBound) *wire.Error {
	if len(b.Regions) > wire.BoundRegionsMax {
		return wire.Errorf(wire.TooLarge, "an authority for %d regions, %d allowed",
			len(b.Regions), wire.BoundRegionsMax)
	}
	for _, r := range b.Regions {
		if !r.Valid() {
			return wire.Malformedf("an authority for a region with a name that is none")
		}
	}
	return nil
}

// revoke makes an identity's certificates worthless that are valid from r.Before or earlier. A
// time before that of an earlier revocation changes nothing. What is so old that no certificate
// can be left is forgotten on the way.
func (t *tx) revoke(r *wire.Revocation) (codec.Message, *wire.Error) {
	if err := validateRevocation(r); err != nil {
		return nil, err
	}
	if r.Before > t.now.Add(wire.SkewMax) {
		return nil, wire.Malformedf("a revocation as of %s, which is not yet", r.Before)
	}
	return nil, t.changeMap(func(m *wire.Map) *wire.Error {
		list := slices.DeleteFunc(m.Trust.Revoked, func(old wire.Revocation) bool {
			return old.Before.Add(wire.CertificateLifeMax) < t.now
		})
		at, known := slices.BinarySearchFunc(list, *r, func(a, b wire.Revocation) int {
			return bytes.Compare([]byte(a.Identity), []byte(b.Identity))
		})
		switch {
		case known:
			list[at].Before = max(list[at].Before, r.Before)
		case len(list) >= wire.RevokedMax:
			return wire.Errorf(wire.TooLarge, "%d identities are revoked already: give the "+
				"authority up that issued them", wire.RevokedMax)
		default:
			list = slices.Insert(list, at, *r)
		}
		m.Trust.Revoked = list
		return nil
	})
}

func validateRevocation(r *wire.Revocation) *wire.Error {
	if err := validateText("identity", r.Identity, true, wire.IdentityBytesMax); err != nil {
		return err
	}
	if r.Before <= 0 {
		return wire.Malformedf("a revocation of %s without a time", r.Identity)
	}
	return nil
}

// validateTrust checks what the map says of trust, for a map that comes as a whole.
func validateTrust(t *wire.Trust) *wire.Error {
	if len(t.Authorities) > wire.AuthoritiesMax || len(t.Revoked) > wire.RevokedMax {
		return wire.Errorf(wire.TooLarge, "%d authorities and %d revocations, %d and %d allowed",
			len(t.Authorities), len(t.Revoked), wire.AuthoritiesMax, wire.RevokedMax)
	}
	for _, r := range t.Authorities {
		if len(r) == 0 || len(r) > wire.AuthorityBytesMax {
			return wire.Errorf(wire.TooLarge, "an authority of %d bytes, 1-%d allowed", len(r),
				wire.AuthorityBytesMax)
		}
	}
	if len(t.Bounds) > len(t.Authorities) {
		return wire.Malformedf("%d authorities are bound, of %d", len(t.Bounds), len(t.Authorities))
	}
	for i := range t.Bounds {
		if err := validateBound(&t.Bounds[i]); err != nil {
			return err
		}
	}
	for i := range t.Revoked {
		if err := validateRevocation(&t.Revoked[i]); err != nil {
			return err
		}
	}
	return nil
}
