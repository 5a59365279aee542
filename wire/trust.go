package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/staffetta/staffetta/internal/codec"
)

// The bounds of trust. The map, which holds it, goes to every gateway at every change.
const (
	// AuthoritiesMax bounds the federation's authorities: one for each of Italy's regions that has its
	// own, twice while they are replaced.
	AuthoritiesMax = 48
	// BoundRegionsMax bounds the regions that one authority is bound to: beyond it, it speaks for
	// all of them.
	BoundRegionsMax = 32
	// auditRegionsMax is how many regions a line of the audit names.
	auditRegionsMax = 4
	// AuthorityBytesMax bounds an authority's certificate (DER); one with an RSA key of 4,096 bits has
	// some 1,500 bytes.
	AuthorityBytesMax = 4 << 10
	// RevokedMax bounds the revoked identities, some 100 bytes each. One is forgotten when no
	// certificate that it is about can be valid any more.
	RevokedMax = 1024
	// IdentityBytesMax bounds an identity's URI: scheme, words and three names.
	IdentityBytesMax = 160
	// CertificateLifeMax bounds how long a certificate may be valid, from its beginning to its end:
	// three years and some days. Peers refuse longer ones, which is what lets a revocation be
	// forgotten.
	CertificateLifeMax = 1100 * 24 * time.Hour
	// MembersMax bounds the connected members that one node names.
	MembersMax = NodesMax + GatewaysMax
)

// Fingerprint names a certificate: the SHA-256 of its DER bytes.
type Fingerprint [32]byte

// FingerprintOf is the fingerprint of a certificate's DER bytes.
func FingerprintOf(der []byte) Fingerprint { return sha256.Sum256(der) }

// String is the fingerprint as operators write it: 64 hexadecimal digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// ParseFingerprint reads what String gives.
func ParseFingerprint(s string) (Fingerprint, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(Fingerprint{}) {
		return Fingerprint{}, Malformedf("a fingerprint has 64 hexadecimal digits")
	}
	return Fingerprint(b), nil
}

// Authority is an authority that the federation is to believe, as DER. TooLarge when it or the list
// would be; adding one that is there changes nothing but its bounds.
type Authority struct {
	DER []byte
	// Regions are those that the authority may speak for; none: all, and the federation. It has an
	// effect from version 3 on.
	Regions []RegionID
}

// Fields declares the message.
func (r *Authority) Fields(c *codec.Codec) {
	codec.Bytes(c, 1, &r.DER)
	codec.Strings(c, 2, &r.Regions)
}

// AuditSubject names the authority in the audit.
func (r *Authority) AuditSubject() string {
	subject := FingerprintOf(r.DER).String()
	if len(r.Regions) > 0 {
		subject += " for " + joinRegions(r.Regions)
	}
	return subject
}

// joinRegions lists regions in a line of the audit, which holds few of them.
func joinRegions(regions []RegionID) string {
	var b strings.Builder
	for i, r := range regions {
		if i == auditRegionsMax {
			fmt.Fprintf(&b, " and %d more", len(regions)-i)
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(r))
	}
	return b.String()
}

// AuthorityRef is an authority that the federation is to believe no more. Conflict when it is the
// last one; removing one that is not there changes nothing.
type AuthorityRef struct{ Fingerprint Fingerprint }

// Fields declares the message.
func (r *AuthorityRef) Fields(c *codec.Codec) { codec.Fixed(c, 1, r.Fingerprint[:]) }

// AuditSubject names the authority in the audit.
func (r *AuthorityRef) AuditSubject() string { return r.Fingerprint.String() }

// AuditSubject names the identity in the audit.
func (r *Revocation) AuditSubject() string { return r.Identity }

// Covers reports whether a certificate of the identity that is valid from notBefore is worthless.
func (r *Revocation) Covers(notBefore time.Time) bool {
	return !notBefore.After(r.Before.Std())
}

// Credential is the certificate that a member shows to its peers.
type Credential struct {
	Identity    string // its spiffe:// URI
	Fingerprint Fingerprint
	NotBefore   Time
	NotAfter    Time
	// Authorities are those that it comes from, of all that the node believes: more than one when
	// several have the same key. None: it is believed no more.
	Authorities []Fingerprint
}

// Fields declares the message.
func (m *Credential) Fields(c *codec.Codec) {
	codec.String(c, 1, &m.Identity)
	codec.Fixed(c, 2, m.Fingerprint[:])
	codec.Int(c, 3, &m.NotBefore)
	codec.Int(c, 4, &m.NotAfter)
	list := make([]byte, 0, len(m.Authorities)*len(Fingerprint{}))
	for _, f := range m.Authorities {
		list = append(list, f[:]...)
	}
	codec.Bytes(c, 5, &list)
	if !c.Decoding() {
		return
	}
	if len(list)%len(Fingerprint{}) != 0 {
		c.Fail("list of fingerprints of %d bytes", len(list))
		return
	}
	for ; len(list) > 0; list = list[len(Fingerprint{}):] {
		m.Authorities = append(m.Authorities, Fingerprint(list[:len(Fingerprint{})]))
	}
}

// Identities answers MethodIdentities: what the node shows and whom it sees.
type Identities struct {
	Self Credential
	// FileAuthorities are the authorities (DER) of the node's own files, besides the federation's.
	FileAuthorities [][]byte
	// Members are those with a connection to the node that they dialled: nodes, gateways and
	// operators, one line for each certificate in use, at most MembersMax.
	Members []Credential
	// Problem says why the node's certificate files cannot be used as they are now.
	Problem string
}

// Fields declares the message.
func (i *Identities) Fields(c *codec.Codec) {
	codec.Nested(c, 1, &i.Self)
	codec.ByteStrings(c, 2, &i.FileAuthorities)
	codec.Repeated(c, 3, &i.Members)
	codec.String(c, 4, &i.Problem)
}
