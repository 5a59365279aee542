package oidc

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/staffetta/staffetta/gateway/identity"
)

// Provider is one provider of OpenID Connect. It implements identity.Provider.
type Provider struct{ cfg Config }

// New makes a Provider. It asks nobody anything.
func New(cfg Config) (*Provider, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("identity provider %s: %w", cfg.Info.ID, err)
	}
	if cfg.Client == nil {
		cfg.Client = NewClient()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Provider{cfg}, nil
}

// Info is identity.Provider's.
func (p *Provider) Info() identity.Info { return p.cfg.Info }

// Begin is identity.Provider's.
func (p *Provider) Begin(ctx context.Context, b identity.Begin) (*identity.Started, error) {
	party, err := p.cfg.Source.Party(ctx, false)
	if err != nil {
		return nil, identity.Refuse(identity.Away, err.Error())
	}
	var secret [32]byte
	rand.Read(secret[:]) // crypto/rand.Read never fails
	verifier := base64.RawURLEncoding.EncodeToString(secret[:])
	params := p.request(b, verifier)
	q := url.Values{}
	for name, value := range params {
		if !p.cfg.Dialect.SignedRequest || slices.Contains(p.cfg.Dialect.Outside, name) {
			q.Set(name, fmt.Sprint(value))
		}
	}
	if p.cfg.Dialect.SignedRequest {
		now := p.cfg.Now()
		params["iss"], params["aud"] = p.cfg.ClientID, []string{party.Issuer}
		params["iat"], params["exp"] = now.Unix(), now.Add(requestFor).Unix()
		signed, err := p.cfg.Key.Sign(params, "")
		if err != nil {
			return nil, identity.Refuse(identity.Away, "the request cannot be signed")
		}
		q.Set("request", signed)
	}
	between := "?"
	if strings.Contains(party.Authorization, "?") {
		between = "&"
	}
	return &identity.Started{URL: party.Authorization + between + q.Encode(),
		Pending: []byte(verifier)}, nil
}

// requestFor is how long a signed request is valid: the browser brings it at once.
const requestFor = 5 * time.Minute

// request is what a login asks for.
func (p *Provider) request(b identity.Begin, verifier string) map[string]any {
	challenge := sha256.Sum256([]byte(verifier))
	params := map[string]any{"client_id": p.cfg.ClientID, "response_type": "code",
		"scope": p.cfg.Dialect.Scopes, "redirect_uri": p.cfg.Redirect, "state": b.State,
		"nonce": b.Nonce, "acr_values": b.Level.URL(), "code_challenge_method": "S256",
		"code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:])}
	if p.cfg.Dialect.Prompt != "" {
		params["prompt"] = p.cfg.Dialect.Prompt
	}
	if p.cfg.Dialect.AskClaims {
		wanted := map[string]any{}
		for _, name := range []string{p.cfg.Names.FiscalNumber, p.cfg.Names.Name,
			p.cfg.Names.FamilyName, p.cfg.Names.DateOfBirth} {
			wanted[name] = map[string]bool{"essential": true}
		}
		wanted[p.cfg.Names.Email] = nil
		claims := map[string]any{"userinfo": wanted}
		if p.cfg.Dialect.AskInIDToken {
			claims["id_token"] = wanted
		}
		params["claims"] = claims
	}
	return params
}

// Finish is identity.Provider's.
func (p *Provider) Finish(ctx context.Context, a *identity.Answer) (*identity.Assertion, error) {
	party, err := p.cfg.Source.Party(ctx, false)
	if err != nil {
		return nil, identity.Refuse(identity.Away, err.Error())
	}
	code, err := p.readAnswer(party, a.Form)
	if err != nil {
		return nil, err
	}
	tokens, err := p.exchange(ctx, party, code, string(a.Pending))
	if err != nil {
		return nil, err
	}
	id, err := p.checkIDToken(ctx, party, tokens, &a.Begin)
	if err != nil {
		return nil, identity.Refuse(identity.Invalid, "the ID token: "+err.Error())
	}
	evidence := identity.Evidence{Issuer: party.Issuer, Subject: id.Text("sub"),
		RequestID: a.Begin.State, ResponseID: id.Text("jti"), Documents: []identity.Document{
			{Name: "id_token", Text: []byte(tokens.id)}}}
	evidence.IssuedAt, _ = id.Time("iat")
	person, err := p.readPerson(ctx, party, tokens, id, &evidence)
	if err != nil {
		return nil, err
	}
	text := func(name string) string {
		if s := person.Text(name); s != "" {
			return s
		}
		return id.Text(name)
	}
	n := &p.cfg.Names
	return &identity.Assertion{FiscalNumber: text(n.FiscalNumber), Name: text(n.Name),
		FamilyName: text(n.FamilyName), DateOfBirth: text(n.DateOfBirth), Email: text(n.Email),
		Level: id.Text("acr"), Evidence: evidence}, nil
}

var _ identity.Provider = (*Provider)(nil)

// maxAge is how old an ID token may be: it was made for this login.
const maxAge = 10 * time.Minute
