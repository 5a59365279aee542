package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/staffetta/staffetta/gateway/identity/jwt"
)

// Discover is the Source of a provider that publishes its configuration below its issuer (OpenID
// Connect Discovery 1.0). id is the provider's; now nil: time.Now.
func Discover(issuer, id string, client *http.Client, now func() time.Time) *Kept {
	if client == nil {
		client = NewClient()
	}
	return Keep(id, func(ctx context.Context) (*Party, error) {
		return discover(ctx, issuer, client)
	}, now)
}

func discover(ctx context.Context, issuer string, client *http.Client) (*Party, error) {
	const place = "/.well-known/openid-configuration"
	b, err := Get(ctx, client, strings.TrimSuffix(issuer, "/")+place)
	if err != nil {
		return nil, fmt.Errorf("its configuration: %w", err)
	}
	doc, err := jwt.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("its configuration: %w", err)
	}
	if doc.Text("issuer") != issuer {
		return nil, errors.New("its configuration is of another issuer")
	}
	keys := doc.Text("jwks_uri")
	p, err := ReadParty(doc)
	if err != nil {
		return nil, err
	}
	if b, err = Get(ctx, client, keys); err != nil {
		return nil, fmt.Errorf("its keys: %w", err)
	}
	if p.Keys, err = jwt.ParseKeys(b); err != nil {
		return nil, fmt.Errorf("its keys: %w", err)
	}
	return p, nil
}

// ReadParty reads a provider's metadata, without its keys.
func ReadParty(doc *jwt.Claims) (*Party, error) {
	p := &Party{Issuer: doc.Text("issuer"), Authorization: doc.Text("authorization_endpoint"),
		Token: doc.Text("token_endpoint"), Userinfo: doc.Text("userinfo_endpoint"),
		NamesIssuer: string(doc.Raw("authorization_response_iss_parameter_supported")) == "true"}
	for name, address := range map[string]string{"authorization_endpoint": p.Authorization,
		"token_endpoint": p.Token, "userinfo_endpoint": p.Userinfo} {
		if name == "userinfo_endpoint" && address == "" {
			continue
		}
		if err := CheckAddress(address); err != nil {
			return nil, fmt.Errorf("its %s: %w", name, err)
		}
	}
	return p, nil
}
