package renewal

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// Judge says whose certificate this is, DER with its intermediates behind it, or why peers would
// refuse it now; link.Link's is one.
type Judge func(der []byte) (link.Identity, error)

// proofOf keeps a signature of a renewal from being good for anything else.
const proofOf = "staffetta certificate renewal v1\x00"

// Due reports whether a certificate is to be renewed: a third of its life is left, or less.
func Due(cert *x509.Certificate, now time.Time) bool { return leftOf(cert, now, 3) }

// Overdue reports whether it should have been by now: a quarter of its life is left.
func Overdue(cert *x509.Certificate, now time.Time) bool { return leftOf(cert, now, 4) }

// leftOf reports whether at most one part in so many of a certificate's life is left.
func leftOf(cert *x509.Certificate, now time.Time, parts int) bool {
	life := cert.NotAfter.Sub(cert.NotBefore)
	return cert.NotAfter.Sub(now) <= life/time.Duration(parts)
}

// newAsk asks for what request asks for, on the strength of the certificate in use.
func newAsk(cert *tls.Certificate, request []byte) (*wire.AskRenewal, error) {
	key, ok := cert.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign", cert.PrivateKey)
	}
	proof, err := sign(key, append([]byte(proofOf), request...))
	if err != nil {
		return nil, err
	}
	return &wire.AskRenewal{Request: request, Chain: bytes.Join(cert.Certificate, nil),
		Proof: proof}, nil
}

func sign(key crypto.Signer, message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	switch key.Public().(type) {
	case ed25519.PublicKey:
		return key.Sign(rand.Reader, message, crypto.Hash(0))
	case *rsa.PublicKey:
		return key.Sign(rand.Reader, digest[:], &rsa.PSSOptions{Hash: crypto.SHA256,
			SaltLength: rsa.PSSSaltLengthEqualsHash})
	}
	return key.Sign(rand.Reader, digest[:], crypto.SHA256)
}

// algorithm is what sign uses for a certificate's key.
func algorithm(cert *x509.Certificate) x509.SignatureAlgorithm {
	switch cert.PublicKey.(type) {
	case ed25519.PublicKey:
		return x509.PureEd25519
	case *rsa.PublicKey:
		return x509.SHA256WithRSAPSS
	}
	return x509.ECDSAWithSHA256
}

// Check says who asks, and refuses a request that is not signed by who holds a certificate that is
// good now, or that asks for anything but a certificate of that identity for another key.
func Check(a *wire.AskRenewal, judge Judge) (link.Identity, error) {
	id, _, err := check(a, judge)
	return id, err
}

// check is Check, and returns the certificate in use.
func check(a *wire.AskRenewal, judge Judge) (link.Identity, *x509.Certificate, error) {
	if err := a.Validate(); err != nil {
		return link.Identity{}, nil, err
	}
	id, err := judge(a.Chain)
	if err != nil {
		return id, nil, err
	}
	if id.Role != link.RoleNode && id.Role != link.RoleGateway {
		return id, nil, wire.Errorf(wire.Forbidden, "the certificate of %s is not renewed "+
			"unattended: only those of nodes and gateways are", id)
	}
	chain, err := x509.ParseCertificates(a.Chain)
	if err != nil {
		return id, nil, wire.Malformedf("certificate: %s", err)
	}
	old := chain[0]
	err = old.CheckSignature(algorithm(old), append([]byte(proofOf), a.Request...), a.Proof)
	if err != nil {
		return id, nil, wire.Errorf(wire.Unauthenticated, "the request is not signed with the key "+
			"of the certificate of %s", id)
	}
	if err := checkRequest(a.Request, id, old); err != nil {
		return id, nil, wire.Errorf(wire.Forbidden, "%s", err)
	}
	return id, old, nil
}

// checkRequest holds what is asked for against who asks.
func checkRequest(request []byte, id link.Identity, old *x509.Certificate) error {
	asked, key, err := ca.ReadRequest(request)
	if err != nil {
		return err
	}
	if asked.String() != id.String() {
		return fmt.Errorf("%s asks for a certificate of %.200q", id, asked)
	}
	if was, ok := old.PublicKey.(*ecdsa.PublicKey); ok && was.Equal(key) {
		return fmt.Errorf("%s asks for a certificate of the key that it has", id)
	}
	r, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return err
	}
	if len(r.DNSNames)+len(r.IPAddresses)+len(r.EmailAddresses) > 0 {
		return errors.New("the request asks for names besides the identity")
	}
	return nil
}

// OnMap refuses an identity that is not on the map, where and as what it says.
func OnMap(m *wire.Map, id link.Identity) error {
	switch id.Role {
	case link.RoleNode:
		if n, ok := m.Node(wire.NodeID(id.Name)); ok && n.Region == id.Region {
			return nil
		}
	case link.RoleGateway:
		if slices.ContainsFunc(m.Gateways, func(g wire.Gateway) bool {
			return string(g.ID) == id.Name && g.Region == id.Region
		}) {
			return nil
		}
	}
	return wire.Errorf(wire.Forbidden, "%s is not on the map", id)
}
