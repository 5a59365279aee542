package saml

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

const (
	enveloped = string(dsig.EnvelopedSignatureAltorithmId)
	exclusive = string(dsig.CanonicalXML10ExclusiveAlgorithmId)
	// rsaBitsMin is SPID's least size of a key.
	rsaBitsMin = 2048
)

// The algorithms that are believed. What is absent is refused: SHA-1, and HMAC, whose key would be
// a certificate that everybody has.
var (
	signatureMethods = map[string]x509.PublicKeyAlgorithm{
		dsig.RSASHA256SignatureMethod:   x509.RSA,
		dsig.RSASHA384SignatureMethod:   x509.RSA,
		dsig.RSASHA512SignatureMethod:   x509.RSA,
		dsig.ECDSASHA256SignatureMethod: x509.ECDSA,
		dsig.ECDSASHA384SignatureMethod: x509.ECDSA,
		dsig.ECDSASHA512SignatureMethod: x509.ECDSA,
	}
	digestMethods = map[string]bool{
		"http://www.w3.org/2001/04/xmlenc#sha256":       true,
		"http://www.w3.org/2001/04/xmldsig-more#sha384": true,
		"http://www.w3.org/2001/04/xmlenc#sha512":       true,
	}
)

// usable reports whether a certificate's key can have signed anything that is believed.
func usable(c *x509.Certificate) bool {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= rsaBitsMin
	case *ecdsa.PublicKey:
		return key.Curve.Params().BitSize >= 256
	}
	return false
}

// verify returns what e's own signature covers, made anew from the very bytes that were signed.
// Whoever reads that, and nothing of e, reads what the owner of one of the certificates said. What
// the signature says of its own key (KeyInfo) is not looked at.
func verify(e *etree.Element, believed []*x509.Certificate, now time.Time) (*etree.Element,
	error) {
	method, err := signatureOf(e)
	if err != nil {
		return nil, err
	}
	alone, err := detached(e, signatureMethods[method])
	if err != nil {
		return nil, err
	}
	err = errors.New("the signature is by none of the provider's certificates")
	for _, c := range believed {
		if c.PublicKeyAlgorithm != signatureMethods[method] || !usable(c) {
			continue
		}
		context := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{
			Roots: []*x509.Certificate{c}})
		context.Clock = dsig.NewFakeClockAt(now)
		signed, failed := context.Validate(alone)
		switch {
		case failed == nil && signed.Tag == e.Tag && signed.NamespaceURI() == e.NamespaceURI() &&
			attribute(signed, "ID") == attribute(e, "ID"):
			return signed, nil
		case now.Before(c.NotBefore) || now.After(c.NotAfter):
			err = fmt.Errorf("the signature is by none of the provider's certificates; one of them "+
				"is valid from %s to %s", c.NotBefore.UTC().Format(time.DateOnly),
				c.NotAfter.UTC().Format(time.DateOnly))
		}
	}
	return nil, err
}

// signatureOf holds e's signature to the one form that a SAML signature has: about e by its ID,
// enveloped, exclusively canonical, nothing left open. It returns its algorithm.
func signatureOf(e *etree.Element) (method string, err error) {
	signature, err := one(e, nsSignature, "Signature")
	if err != nil {
		return "", err
	}
	for i, child := range signature.ChildElements() {
		if tags := []string{"SignedInfo", "SignatureValue", "KeyInfo"}; i >= len(tags) ||
			!is(child, nsSignature, tags[i]) {
			return "", fmt.Errorf("%s is out of place in a Signature", child.Tag)
		}
	}
	info, err := one(signature, nsSignature, "SignedInfo")
	if err != nil {
		return "", err
	}
	parts := info.ChildElements()
	if len(parts) != 3 || !is(parts[0], nsSignature, "CanonicalizationMethod") ||
		!is(parts[1], nsSignature, "SignatureMethod") || !is(parts[2], nsSignature, "Reference") {
		return "", errors.New("SignedInfo is not a canonicalization, a method and one reference")
	}
	if a := attribute(parts[0], "Algorithm"); a != exclusive || len(parts[0].ChildElements()) > 0 {
		return "", errors.New("the signature's canonicalization is not the exclusive one")
	}
	method = attribute(parts[1], "Algorithm")
	if _, known := signatureMethods[method]; !known || len(parts[1].ChildElements()) > 0 {
		return "", errors.New("the signature's algorithm is none of those that are believed")
	}
	return method, reference(parts[2], attribute(e, "ID"))
}

// reference holds a signature's reference to the element of the ID, whole.
func reference(r *etree.Element, id string) error {
	parts := r.ChildElements()
	switch {
	case id == "" || attribute(r, "URI") != "#"+id:
		return errors.New("the signature is about another element")
	case len(parts) != 3 || !is(parts[0], nsSignature, "Transforms") ||
		!is(parts[1], nsSignature, "DigestMethod") || !is(parts[2], nsSignature, "DigestValue"):
		return errors.New("the signature's reference is not transforms, a method and a digest")
	case !digestMethods[attribute(parts[1], "Algorithm")]:
		return errors.New("the signature's digest is none of those that are believed")
	}
	transforms := parts[0].ChildElements()
	if len(transforms) != 2 || attribute(transforms[0], "Algorithm") != enveloped ||
		attribute(transforms[1], "Algorithm") != exclusive ||
		len(transforms[0].ChildElements()) > 0 {
		return errors.New("the signature's transforms are not the two of SAML, in their order")
	}
	for _, child := range transforms[1].ChildElements() {
		if !is(child, nsExclusive, "InclusiveNamespaces") || len(child.ChildElements()) > 0 {
			return errors.New("the signature's transforms hold more than prefixes")
		}
	}
	return nil
}

// detached copies e, with the namespaces that it stands in, so that its signature can be verified
// by the library: without KeyInfo, and an ECDSA signature in the form of X.509.
func detached(e *etree.Element, key x509.PublicKeyAlgorithm) (*etree.Element, error) {
	alone := e.Copy()
	if e.Parent() != nil && e.Parent().Tag != "" {
		around, err := etreeutils.NSBuildParentContext(e)
		if err != nil {
			return nil, errors.New("namespaces that cannot be followed")
		}
		if around, err = around.SubContext(e); err != nil {
			return nil, errors.New("namespaces that cannot be followed")
		}
		if alone, err = etreeutils.NSDetatch(around, e); err != nil {
			return nil, errors.New("namespaces that cannot be followed")
		}
	}
	signature, err := one(alone, nsSignature, "Signature")
	if err != nil {
		return nil, err
	}
	for _, info := range children(signature, nsSignature, "KeyInfo") {
		signature.RemoveChild(info)
	}
	value, err := one(signature, nsSignature, "SignatureValue")
	if err != nil {
		return nil, err
	}
	encoded, err := text(value)
	if err != nil {
		return nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(encoded), ""))
	if err != nil {
		return nil, errors.New("the signature's value is no base64")
	}
	if key == x509.ECDSA {
		if raw, err = asn1Signature(raw); err != nil {
			return nil, err
		}
	}
	value.SetText(base64.StdEncoding.EncodeToString(raw))
	return alone, nil
}

// asn1Signature makes of an ECDSA signature as XML has it, r and s of one length in a row, what
// X.509 has.
func asn1Signature(raw []byte) ([]byte, error) {
	if len(raw) == 0 || len(raw)%2 != 0 || len(raw) > 132 {
		return nil, errors.New("the signature's value is not two numbers")
	}
	r, s := raw[:len(raw)/2], raw[len(raw)/2:]
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(r), new(big.Int).SetBytes(s)})
}
