package saml

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
	library "github.com/crewjam/saml"
)

// remote is an identity provider as its metadata describes it. It is never changed once it is made.
type remote struct {
	entityID string
	name     string            // its organization's; empty if not said
	at       map[string]string // a binding's URI to the address for requests
	keys     []*x509.Certificate
	until    time.Time // of the metadata; zero: not said
}

// readMetadata reads the metadata of all identity providers in a document, by entity ID. With a
// signer, its signature has to cover all of it. A provider that is described wrongly is left out,
// and does not spoil the others.
func readMetadata(document []byte, signer *x509.Certificate, now time.Time) (map[string]*remote,
	error) {
	root, err := metadataShape.read(document)
	if err != nil {
		return nil, err
	}
	if signer != nil {
		if root, err = verify(root, []*x509.Certificate{signer}, now); err != nil {
			return nil, err
		}
	}
	if !is(root, nsMetadata, "EntityDescriptor") && !is(root, nsMetadata, "EntitiesDescriptor") {
		return nil, errors.New("no metadata of SAML")
	}
	found := map[string]*remote{}
	var errs []error
	if err := entities(root, now, func(r *remote, err error) {
		switch {
		case err != nil:
			errs = append(errs, err)
		case found[r.entityID] != nil:
			errs = append(errs, fmt.Errorf("%s is there twice", r.entityID))
		default:
			found[r.entityID] = r
		}
	}); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errors.Join(append(errs, errors.New("no identity provider"))...)
	}
	return found, nil
}

// entities visits every identity provider that e is or holds.
func entities(e *etree.Element, now time.Time, visit func(*remote, error)) error {
	until := time.Time{}
	if attribute(e, "validUntil") != "" {
		var err error
		if until, err = instantOf(e, "validUntil"); err != nil {
			return err
		}
		if !now.Before(until) {
			return fmt.Errorf("valid until %s only", until.UTC().Format(time.DateTime))
		}
	}
	if is(e, nsMetadata, "EntityDescriptor") {
		if roles := children(e, nsMetadata, "IDPSSODescriptor"); len(roles) == 1 {
			visit(readRemote(e, roles[0], until))
		}
		return nil
	}
	for _, child := range e.ChildElements() {
		if is(child, nsMetadata, "EntityDescriptor") || is(child, nsMetadata, "EntitiesDescriptor") {
			if err := entities(child, now, visit); err != nil {
				visit(nil, err)
			}
		}
	}
	return nil
}

// readRemote reads one provider: where it takes requests, and by which certificates it signs.
func readRemote(e, role *etree.Element, until time.Time) (*remote, error) {
	r := &remote{entityID: strings.TrimSpace(attribute(e, "entityID")), at: map[string]string{},
		until: until}
	for _, service := range children(role, nsMetadata, "SingleSignOnService") {
		address := attribute(service, "Location")
		if isSecure(address) {
			r.at[attribute(service, "Binding")] = address
		}
	}
	for _, key := range children(role, nsMetadata, "KeyDescriptor") {
		if use := attribute(key, "use"); use != "" && use != "signing" {
			continue
		}
		certificates, err := certificatesOf(key)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.entityID, err)
		}
		r.keys = append(r.keys, certificates...)
	}
	r.keys = slices.CompactFunc(slices.DeleteFunc(r.keys, func(c *x509.Certificate) bool {
		return !usable(c)
	}), (*x509.Certificate).Equal)
	if organizations := children(e, nsMetadata, "Organization"); len(organizations) == 1 {
		r.name = displayName(organizations[0])
	}
	switch {
	case r.entityID == "" || len(r.entityID) > urlMax:
		return nil, errors.New("an identity provider without an entity ID")
	case r.at[library.HTTPRedirectBinding] == "" && r.at[library.HTTPPostBinding] == "":
		return nil, fmt.Errorf("%s: no https address for requests", r.entityID)
	case len(r.keys) == 0 || len(r.keys) > certificatesMax:
		return nil, fmt.Errorf("%s: %d certificates that can sign, want 1 to %d", r.entityID,
			len(r.keys), certificatesMax)
	}
	return r, nil
}

func certificatesOf(key *etree.Element) ([]*x509.Certificate, error) {
	var found []*x509.Certificate
	err := every(key, func(e *etree.Element) error {
		if !is(e, nsSignature, "X509Certificate") {
			return nil
		}
		encoded, err := text(e)
		if err != nil {
			return err
		}
		der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(encoded), ""))
		if err != nil {
			return errors.New("a certificate that is no base64")
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return errors.New("a certificate that cannot be read")
		}
		found = append(found, c)
		return nil
	})
	return found, err
}

// displayName is an organization's name for people: the Italian one, or the first.
func displayName(organization *etree.Element) string {
	name := ""
	for _, e := range children(organization, nsMetadata, "OrganizationDisplayName") {
		said, err := text(e)
		if err != nil || len(said) > 100 {
			continue
		}
		lang := e.SelectAttrValue("xml:lang", "")
		if lang == "it" {
			return said
		}
		if name == "" {
			name = said
		}
	}
	return name
}
