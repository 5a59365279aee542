package oidc

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/identity/jwt"
)

// Names are the claims in which a provider says who a person is.
type Names struct {
	FiscalNumber string
	Name         string
	FamilyName   string
	DateOfBirth  string
	Email        string
}

// StandardNames are those of OpenID Connect, and of the Italian rules for what it does not have.
var StandardNames = Names{FiscalNumber: "https://attributes.eid.gov.it/fiscal_number",
	Name: "given_name", FamilyName: "family_name", DateOfBirth: "birthdate", Email: "email"}

// Dialect is in what providers differ.
type Dialect struct {
	Scopes string // separated by blanks
	// Prompt, where it is not empty, has the person log in or consent anew.
	Prompt string
	// SignedRequest has the request signed; Outside are the parameters that stand beside it, for
	// those who look there.
	SignedRequest bool
	Outside       []string
	// AskClaims has attributes asked for one by one: at userinfo, or in the ID token too.
	AskClaims, AskInIDToken bool
	// Issuer has the answer name its issuer, whether the provider says that it does or not.
	Issuer bool
	// SignedUserinfo refuses attributes that are not signed, EncryptedUserinfo those that are not
	// encrypted to us.
	SignedUserinfo, EncryptedUserinfo bool
	// AudienceEndpoint has the token endpoint be the audience of our assertion, in place of the
	// issuer.
	AudienceEndpoint bool
}

// Plain is OpenID Connect as its text has it.
var Plain = Dialect{Scopes: "openid profile email"}

// Config of a Provider.
type Config struct {
	Info     identity.Info
	Source   Source // required
	Dialect  Dialect
	Names    Names
	ClientID string
	// Redirect is the address to which browsers come back.
	Redirect string
	// Secret authenticates us, or Key does.
	Secret string
	Key    *jwt.Private
	// Decrypts opens what is encrypted to us. None: nothing is.
	Decrypts []*jwt.Private
	// Client reaches the provider. nil: one that NewClient makes.
	Client *http.Client
	// Now is the wall clock. nil: time.Now.
	Now func() time.Time
}

const (
	clientIDMax = 512
	secretMax   = 512
)

func (c *Config) validate() error {
	switch {
	case c.Source == nil:
		return errors.New("no source")
	case c.ClientID == "" || len(c.ClientID) > clientIDMax:
		return fmt.Errorf("the client's id has 1 to %d bytes", clientIDMax)
	case (c.Secret == "") == (c.Key == nil):
		return errors.New("either a secret or a key authenticates the client")
	case len(c.Secret) > secretMax:
		return fmt.Errorf("a secret has up to %d bytes", secretMax)
	case c.Dialect.SignedRequest && c.Key == nil:
		return errors.New("a signed request needs a key")
	}
	return CheckAddress(c.Redirect)
}
