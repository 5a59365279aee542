package saml

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/beevik/etree"
	library "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/staffetta/staffetta/gateway/identity"
)

// request is a request that was made, as much of it as is not our configuration: it is kept in what
// a login leaves pending, and makes the same request again, byte by byte, for the evidence.
type request struct {
	ID   string    `json:"id"`
	At   time.Time `json:"at"`
	To   string    `json:"to"`
	Post bool      `json:"post,omitzero"`
}

// named is a name that a request may have from outside: the thumbprint of a device's key, which is
// an XML name too.
var named = regexp.MustCompile(`^sha(256|384|512)-[A-Za-z0-9_-]{1,88}$`)

// newRequest makes a request to a provider.
func (e *Entity) newRequest(b *identity.Begin, to *remote, post bool) (*request, error) {
	r := &request{ID: "_" + b.Nonce, At: e.cfg.Now().UTC().Truncate(time.Millisecond)}
	if b.Request != "" {
		if r.ID = b.Request; !named.MatchString(r.ID) {
			return nil, errors.New("the request's name is no thumbprint of a key")
		}
	}
	r.To, r.Post = to.at[library.HTTPRedirectBinding], false
	if r.To == "" || post && to.at[library.HTTPPostBinding] != "" {
		r.To, r.Post = to.at[library.HTTPPostBinding], true
	}
	return r, nil
}

// authn is the request in SPID's form.
func (e *Entity) authn(r *request, level identity.Level) *library.AuthnRequest {
	format := transient
	authn := &library.AuthnRequest{
		ID: r.ID, Version: "2.0", IssueInstant: r.At, Destination: r.To,
		Issuer: &library.Issuer{Format: entityFormat, NameQualifier: e.cfg.EntityID,
			Value: e.cfg.EntityID},
		NameIDPolicy: &library.NameIDPolicy{Format: &format},
		RequestedAuthnContext: &library.RequestedAuthnContext{Comparison: "minimum",
			AuthnContextClassRefs: []string{level.URL()}},
		AssertionConsumerServiceIndex:  strconv.Itoa(callbackIndex),
		AttributeConsumingServiceIndex: strconv.Itoa(attributesIndex),
	}
	if level > identity.Level1 { // an older login at the provider does not do
		force := true
		authn.ForceAuthn = &force
	}
	return authn
}

// started signs the request and says where the browser takes it, with the state as RelayState.
func (e *Entity) started(r *request, b *identity.Begin) (*identity.Started, error) {
	pending, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	authn, signer := e.authn(r, b.Level), e.library(nil, nil, r.At)
	if !r.Post {
		address, err := authn.Redirect(b.State, signer)
		if err != nil {
			return nil, err
		}
		return &identity.Started{URL: address.String(), Pending: pending}, nil
	}
	if err := signer.SignAuthnRequest(authn); err != nil {
		return nil, err
	}
	doc := etree.NewDocument()
	doc.SetRoot(authn.Element())
	document, err := doc.WriteToBytes()
	if err != nil {
		return nil, err
	}
	return &identity.Started{URL: r.To, Pending: pending, Fields: map[string]string{
		"SAMLRequest": base64.StdEncoding.EncodeToString(document), "RelayState": b.State}}, nil
}

// evidence is the request as it went out: the signed document, or the signed query. An RSA
// signature of the same bytes is the same.
func (e *Entity) evidence(r *request, b *identity.Begin) ([]byte, error) {
	started, err := e.started(r, b)
	if err != nil {
		return nil, err
	}
	if r.Post {
		return base64.StdEncoding.DecodeString(started.Fields["SAMLRequest"])
	}
	address, err := url.Parse(started.URL)
	if err != nil {
		return nil, err
	}
	return []byte(address.RawQuery), nil
}

// library is the entity as the library knows it, for one provider at one moment.
func (e *Entity) library(from *library.EntityDescriptor, verifier library.SignatureVerifier,
	now time.Time) *library.ServiceProvider {
	return &library.ServiceProvider{
		EntityID: e.cfg.EntityID, Key: e.cfg.Key, Certificate: e.cfg.Certificate,
		AcsURL: e.callback, SignatureMethod: dsig.RSASHA256SignatureMethod,
		IDPMetadata: from, SignatureVerifier: verifier, RejectSHA1Signatures: true,
		Clock: dsig.NewFakeClockAt(now),
	}
}
