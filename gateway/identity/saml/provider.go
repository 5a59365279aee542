package saml

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/beevik/etree"
	library "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/staffetta/staffetta/gateway/identity"
)

// Entity is this federation towards SAML's identity providers: one entity, whichever gateway
// speaks. It is safe for concurrent use.
type Entity struct {
	cfg      Config
	callback url.URL
	metadata []byte
	registry registry
}

var _ identity.Source = (*Entity)(nil)

// New makes an Entity. It knows no provider until it has been refreshed.
func New(cfg Config) (*Entity, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	callback, err := url.Parse(cfg.Callback)
	if err != nil {
		return nil, err
	}
	e := &Entity{cfg: cfg, callback: *callback}
	e.metadata, err = makeMetadata(&cfg)
	return e, err
}

// Metadata is our signed metadata. It must not be changed.
func (e *Entity) Metadata() []byte { return e.metadata }

// Provider is one identity provider of an Entity: an identity.Provider.
type Provider struct {
	entity *Entity
	remote Remote
}

var _ identity.Provider = (*Provider)(nil)

// Providers are the Entity's, in the order of its configuration.
func (e *Entity) Providers() []*Provider {
	all := make([]*Provider, len(e.cfg.Remotes))
	for i, r := range e.cfg.Remotes {
		all[i] = &Provider{e, r}
	}
	return all
}

// Info is what a login page says of the provider.
func (p *Provider) Info() identity.Info {
	info := p.remote.Info
	info.Posts = true
	if info.Name == "" {
		if known, _ := p.entity.registry.of(p.remote.EntityID, p.entity.cfg.Now()); known != nil {
			info.Name = known.name
		}
	}
	if info.Name == "" {
		info.Name = p.remote.Info.ID
	}
	return info
}

// EntityID is the provider's name in SAML.
func (p *Provider) EntityID() string { return p.remote.EntityID }

// Begin makes the request of a login.
func (p *Provider) Begin(_ context.Context, b identity.Begin) (*identity.Started, error) {
	e := p.entity
	known, _ := e.registry.of(p.remote.EntityID, e.cfg.Now())
	if known == nil {
		return nil, identity.Refuse(identity.Away, "the provider's metadata is not known")
	}
	if !b.Level.Valid() {
		return nil, identity.Refuse(identity.Invalid, "no level was asked for")
	}
	r, err := e.newRequest(&b, known, p.remote.Post)
	if err != nil {
		return nil, invalid(err)
	}
	started, err := e.started(r, &b)
	if err != nil {
		return nil, identity.Refuse(identity.Away, "the request could not be signed")
	}
	return started, nil
}

// Finish reads the provider's answer.
func (p *Provider) Finish(_ context.Context, a *identity.Answer) (*identity.Assertion, error) {
	e, now := p.entity, p.entity.cfg.Now()
	var r request
	if err := json.Unmarshal(a.Pending, &r); err != nil {
		return nil, identity.Refuse(identity.Stray, "the login that is pending is another's")
	}
	document, err := documentOf(a.Form, a.Begin.State)
	if err != nil {
		return nil, err
	}
	known, keys := e.registry.of(p.remote.EntityID, now)
	if known == nil {
		return nil, identity.Refuse(identity.Away, "the provider's metadata is not known")
	}
	x := &expected{kind: p.remote.Info.Kind, entity: e.cfg.EntityID, callback: e.cfg.Callback,
		issuer: p.remote.EntityID, believed: keys, request: r.ID, asked: r.At, now: now,
		level: a.Begin.Level, skew: e.cfg.Skew}
	said, err := x.read(document)
	if err != nil {
		return nil, err
	}
	if err := e.second(x, document, said); err != nil {
		return nil, err
	}
	sent, err := e.evidence(&r, &a.Begin)
	if err != nil {
		return nil, identity.Refuse(identity.Away, "the request could not be made again")
	}
	return &identity.Assertion{
		FiscalNumber: said.attributes[attrFiscalNumber],
		Name:         said.attributes[attrName],
		FamilyName:   said.attributes[attrFamilyName],
		DateOfBirth:  said.attributes[attrDateOfBirth],
		Email:        said.attributes[attrEmail],
		Level:        said.level.URL(),
		Evidence: identity.Evidence{Issuer: x.issuer, Subject: said.subject, RequestID: r.ID,
			ResponseID: said.responseID, IssuedAt: said.issuedAt,
			Documents: []identity.Document{{Name: "request", Text: sent},
				{Name: "response", Text: document}}},
	}, nil
}

// documentOf is the response that a form carries.
func documentOf(form url.Values, state string) ([]byte, error) {
	switch {
	case len(form["SAMLResponse"]) != 1 || len(form["RelayState"]) != 1:
		return nil, identity.Refuse(identity.Invalid, "the form has not one response and one state")
	case form.Get("RelayState") != state:
		return nil, identity.Refuse(identity.Stray, "the state is another login's")
	}
	encoded := form.Get("SAMLResponse")
	if base64.StdEncoding.DecodedLen(len(encoded)) > 2*answerShape.bytes {
		return nil, identity.Refuse(identity.Invalid, "the response is too long")
	}
	document, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, identity.Refuse(identity.Invalid, "the response is no base64")
	}
	return document, nil
}

// second has the library read the same document: a second reader with rules of its own, who has to
// find the same assertion, about the same subject.
func (e *Entity) second(x *expected, document []byte, said *answered) error {
	var role library.IDPSSODescriptor
	for _, c := range x.believed {
		encoded := base64.StdEncoding.EncodeToString(c.Raw)
		role.KeyDescriptors = append(role.KeyDescriptors, library.KeyDescriptor{Use: "signing",
			KeyInfo: library.KeyInfo{X509Data: library.X509Data{
				X509Certificates: []library.X509Certificate{{Data: encoded}}}}})
	}
	reader := e.library(&library.EntityDescriptor{EntityID: x.issuer,
		IDPSSODescriptors: []library.IDPSSODescriptor{role}}, verifier{x}, x.now)
	a, err := reader.ParseXMLResponse(document, []string{x.request}, e.callback)
	if err != nil || a.ID != said.assertionID || a.Subject == nil || a.Subject.NameID == nil ||
		strings.TrimSpace(a.Subject.NameID.Value) != said.subject {
		return identity.Refuse(identity.Invalid, "the library reads the response another way")
	}
	return nil
}

// verifier lends the library our rules for signatures and keys.
type verifier struct{ x *expected }

// VerifySignature is the library's way to ask; it takes the next one where that is there.
func (v verifier) VerifySignature(context *dsig.ValidationContext, e *etree.Element) error {
	_, err := v.VerifySignedElement(context, e)
	return err
}

// VerifySignedElement returns what the signature covers.
func (v verifier) VerifySignedElement(_ *dsig.ValidationContext, e *etree.Element) (
	*etree.Element, error) {
	return verify(e, v.x.believed, v.x.now)
}

var _ library.SignedElementVerifier = verifier{}
