package oidc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/identity/jwt"
)

// tokens are what a code is worth.
type tokens struct{ id, access string }

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertionFor is how long our assertion is valid.
const assertionFor = time.Minute

// exchange gives the code and takes tokens for it. The provider takes a code once.
func (p *Provider) exchange(ctx context.Context, party *Party, code, verifier string) (*tokens,
	error) {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {p.cfg.Redirect}, "code_verifier": {verifier},
		"client_id": {p.cfg.ClientID}}
	if p.cfg.Key != nil {
		assertion, err := p.assertion(party)
		if err != nil {
			return nil, identity.Refuse(identity.Away, "the assertion cannot be signed")
		}
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", assertion)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, party.Token,
		strings.NewReader(form.Encode()))
	if err != nil {
		return nil, identity.Refuse(identity.Away, "the token endpoint is no address")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if p.cfg.Key == nil {
		r.SetBasicAuth(url.QueryEscape(p.cfg.ClientID), url.QueryEscape(p.cfg.Secret))
	}
	a, err := fetch(p.cfg.Client, r)
	if err != nil {
		return nil, identity.Refuse(identity.Away, "the token endpoint: "+err.Error())
	}
	claims, err := jwt.Parse(a.body)
	switch {
	case a.status >= 500:
		return nil, identity.Refuse(identity.Away, "the token endpoint fails")
	case err != nil:
		return nil, identity.Refuse(identity.Away, "the token endpoint: "+err.Error())
	case a.status != http.StatusOK && claims.Text("error") == "invalid_grant":
		return nil, identity.Refuse(identity.Invalid, "the provider does not take the code")
	case a.status != http.StatusOK:
		return nil, identity.Refuse(identity.Away, "the token endpoint refuses us")
	}
	t := &tokens{id: claims.Text("id_token"), access: claims.Text("access_token")}
	if t.id == "" || t.access == "" || !strings.EqualFold(claims.Text("token_type"), "Bearer") {
		return nil, identity.Refuse(identity.Invalid, "the token endpoint gives no tokens")
	}
	return t, nil
}

// assertion says who we are (RFC 7523).
func (p *Provider) assertion(party *Party) (string, error) {
	var id [16]byte
	rand.Read(id[:])
	aud := party.Issuer
	if p.cfg.Dialect.AudienceEndpoint {
		aud = party.Token
	}
	now := p.cfg.Now()
	return p.cfg.Key.Sign(map[string]any{"iss": p.cfg.ClientID, "sub": p.cfg.ClientID,
		"aud": []string{aud}, "jti": hex.EncodeToString(id[:]), "iat": now.Unix(),
		"exp": now.Add(assertionFor).Unix()}, "")
}
