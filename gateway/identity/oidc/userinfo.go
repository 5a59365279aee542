package oidc

import (
	"context"
	"errors"
	"net/http"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/identity/jwt"
)

// readPerson asks for what the provider says of the person, beyond the ID token.
func (p *Provider) readPerson(ctx context.Context, party *Party, t *tokens, id *jwt.Claims,
	evidence *identity.Evidence) (*jwt.Claims, error) {
	if party.Userinfo == "" {
		if p.cfg.Dialect.SignedUserinfo {
			return nil, identity.Refuse(identity.Away, "the provider has no userinfo endpoint")
		}
		return id, nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, party.Userinfo, nil)
	if err != nil {
		return nil, identity.Refuse(identity.Away, "the userinfo endpoint is no address")
	}
	r.Header.Set("Authorization", "Bearer "+t.access)
	r.Header.Set("Accept", "application/jwt, application/json;q=0.9")
	a, err := fetch(p.cfg.Client, r)
	switch {
	case err != nil:
		return nil, identity.Refuse(identity.Away, "the userinfo endpoint: "+err.Error())
	case a.status >= 500:
		return nil, identity.Refuse(identity.Away, "the userinfo endpoint fails")
	case a.status != http.StatusOK:
		return nil, identity.Refuse(identity.Invalid, "the userinfo endpoint refuses the token")
	}
	person, err := p.readUserinfo(ctx, party, a)
	if err != nil {
		return nil, identity.Refuse(identity.Invalid, "userinfo: "+err.Error())
	}
	if person.Text("sub") != id.Text("sub") {
		return nil, identity.Refuse(identity.Invalid, "userinfo is of another sub")
	}
	if a.kind == "application/jwt" {
		evidence.Documents = append(evidence.Documents,
			identity.Document{Name: "userinfo", Text: a.body})
	}
	return person, nil
}

// readUserinfo reads an object, a signed one, or a signed one within an encrypted one.
func (p *Provider) readUserinfo(ctx context.Context, party *Party, a *answer) (*jwt.Claims, error) {
	if a.kind != "application/jwt" {
		if p.cfg.Dialect.SignedUserinfo || p.cfg.Dialect.EncryptedUserinfo {
			return nil, errors.New("not signed")
		}
		if a.kind != "application/json" {
			return nil, errors.New("neither JSON nor a token")
		}
		return jwt.Parse(a.body)
	}
	text := string(a.body)
	if p.cfg.Dialect.EncryptedUserinfo && !jwt.IsEncrypted(text) {
		return nil, errors.New("not encrypted")
	}
	text, err := p.open(text)
	if err != nil {
		return nil, err
	}
	person, err := verify(ctx, p.cfg.Source, party, text)
	if err != nil {
		return nil, err
	}
	if !jwt.SameIssuer(person.Text("iss"), party.Issuer) {
		return nil, errors.New("iss is another")
	}
	if err := person.CheckAudience(p.cfg.ClientID); err != nil {
		return nil, err
	}
	if person.Has("exp") {
		return person, person.CheckTimes(p.cfg.Now(), 0)
	}
	return person, nil
}
