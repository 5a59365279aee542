package identity

import (
	"context"
	"net/url"
)

// Kind is the system that a provider belongs to.
type Kind string

// The kinds of providers.
const (
	SPID Kind = "spid"
	CIE  Kind = "cie"
	OIDC Kind = "oidc" // a region's or an agency's own, or the national hub
)

// Valid reports whether k is a kind.
func (k Kind) Valid() bool { return k == SPID || k == CIE || k == OIDC }

// Info is what a login page says of a provider.
type Info struct {
	// ID names it in the configuration, in paths and in the app's entityID: [a-z0-9_-]{1,64}.
	ID   string
	Name string // for people
	Kind Kind
	Logo string // an address below this gateway; empty: none
	// Posts is true of one whose answers arrive as a form that its site posts. A cookie that is to
	// arrive with it has to be one that other sites' requests carry.
	Posts bool
}

const (
	// PendingMax bounds what a provider keeps of a login that has begun, which lies in a cookie.
	PendingMax = 1 << 10
	// AnswerMax bounds the answer that a browser carries from a provider. A SAML response in base64
	// has some 20 KB.
	AnswerMax = 256 << 10
)

// Begin is a login that is to begin.
type Begin struct {
	// State and Nonce are unguessable: 64 hexadecimal characters each, new for each login.
	State, Nonce string
	// Level is the least one that will do.
	Level Level
	// Request, where it is not empty, is to name the request, as far as the protocol lets the
	// sender: the thumbprint of a device's key, which so gets bound to what the provider signs.
	Request string
}

// Started says where a browser goes for a login.
type Started struct {
	// URL is where it is sent; with Fields, where it posts them to.
	URL    string
	Fields map[string]string
	// Pending is what the provider needs at the end, at most PendingMax bytes. It is sealed: the
	// browser carries it and reads nothing of it.
	Pending []byte
}

// Answer is what came back from a provider to a login that began.
type Answer struct {
	Begin Begin
	// Form holds the values that came: of the query, or of the form that was posted. They are
	// bounded by AnswerMax and say anything.
	Form    url.Values
	Pending []byte // as Started had it, whichever gateway began the login
}

// Provider is one identity provider. It is safe for concurrent use, and keeps nothing of a login:
// the gateway that ends one may be another than the one that began it.
type Provider interface {
	Info() Info
	// Begin makes the request of a login. An error is a *Refusal.
	Begin(ctx context.Context, b Begin) (*Started, error)
	// Finish reads the answer. It returns what the provider asserts once it is certain that the
	// provider said it, just now, in answer to this login, to nobody but us. An error is a *Refusal.
	Finish(ctx context.Context, a *Answer) (*Assertion, error)
}
