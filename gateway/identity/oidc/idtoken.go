package oidc

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/identity/jwt"
)

// subjectMax bounds a subject (OpenID Connect Core, 2).
const subjectMax = 255

// checkIDToken checks that the provider says: this person logged in just now, for us, in answer to
// this request. The level is not judged here.
func (p *Provider) checkIDToken(ctx context.Context, party *Party, t *tokens,
	b *identity.Begin) (*jwt.Claims, error) {
	text, err := p.open(t.id)
	if err != nil {
		return nil, err
	}
	id, err := verify(ctx, p.cfg.Source, party, text)
	if err != nil {
		return nil, err
	}
	if err := p.checkClaims(id, party); err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(id.Text("nonce")), []byte(b.Nonce)) != 1 {
		return nil, errors.New("the nonce is another login's")
	}
	if id.Has("at_hash") && !isHash(id.Text("at_hash"), t.access) {
		return nil, errors.New("at_hash is of another access token")
	}
	return id, nil
}

// checkClaims checks issuer, subject, audience and times.
func (p *Provider) checkClaims(id *jwt.Claims, party *Party) error {
	if !jwt.SameIssuer(id.Text("iss"), party.Issuer) {
		return errors.New("iss is another")
	}
	if sub := id.Text("sub"); sub == "" || len(sub) > subjectMax {
		return errors.New("no sub")
	}
	if err := id.CheckAudience(p.cfg.ClientID); err != nil {
		return err
	}
	return id.CheckTimes(p.cfg.Now(), maxAge)
}

// open decrypts what is encrypted to us.
func (p *Provider) open(text string) (string, error) {
	if !jwt.IsEncrypted(text) {
		return text, nil
	}
	return jwt.Decrypt(text, p.cfg.Decrypts...)
}

// isHash reports whether a hash is that of a token: the left half of SHA-256, or of SHA-512 where
// the signature has that.
func isHash(hash, token string) bool {
	short, long := sha256.Sum256([]byte(token)), sha512.Sum512([]byte(token))
	for _, sum := range [][]byte{short[:16], long[:32]} {
		if base64.RawURLEncoding.EncodeToString(sum) == hash {
			return true
		}
	}
	return false
}
