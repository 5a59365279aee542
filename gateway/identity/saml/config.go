package saml

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/staffetta/staffetta/gateway/identity"
)

const (
	// SkewDefault is how far a provider's clock may be from ours, SkewMax what the setting allows:
	// the library takes no more.
	SkewDefault = 30 * time.Second
	SkewMax     = 3 * time.Minute
	// rolling is how long a certificate is still believed that a newer copy of the metadata has no
	// more: one copy to the next, since a provider may sign with it until others have that copy.
	rolling = 24 * time.Hour
	// fetchWait bounds one fetch of metadata.
	fetchWait = 20 * time.Second
	// providersMax bounds the identity providers; SPID has a dozen.
	providersMax = 64
	// certificatesMax bounds the certificates of one provider; each is tried.
	certificatesMax = 8
	// urlMax bounds an address in metadata; one is kept in what a login leaves pending.
	urlMax = 512
)

// Organization is who runs the federation, as SPID's metadata has to say.
type Organization struct {
	Name    string // in full
	Display string // for people; default: Name
	URL     string
	// IPACode is its code in the index of public administrations; FiscalCode its own.
	IPACode    string
	FiscalCode string
	Email      string
	Telephone  string // optional, with +39
}

// Remote is one identity provider.
type Remote struct {
	// Info.ID is ours to choose: what the app calls entityID. Info.Name may be empty: the metadata's.
	Info identity.Info
	// EntityID is its name in SAML.
	EntityID string
	// Post says to send requests by HTTP-POST; else by HTTP-Redirect, if its metadata has that.
	Post bool
}

// Source is where the metadata of identity providers comes from.
type Source struct {
	// File is read at start and at each refresh; URL is fetched. At least one; with both, the file is
	// what is believed until the address has answered.
	File, URL string
	// Certificate, if not nil, has to have signed the metadata: that of the registry. A URL without
	// one is trusted as far as its TLS is.
	Certificate *x509.Certificate
}

// Config of an Entity.
type Config struct {
	// EntityID is our name in SAML, a URL.
	EntityID string
	// Callback is the address that answers are posted to, Logout that of SPID's single logout.
	Callback, Logout string
	Key              crypto.Signer // RSA
	Certificate      *x509.Certificate
	Organization     Organization
	Source           Source
	Remotes          []Remote
	// Skew between a provider's clock and ours; default SkewDefault.
	Skew time.Duration
	// Fetch gets an address, at most max bytes. nil: over HTTPS, following nothing.
	Fetch func(ctx context.Context, address string, max int64) ([]byte, error)
	Now   func() time.Time // nil: time.Now
}

var remoteID = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)

// withDefaults fills what is zero and reports everything that cannot work.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	complain := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("saml: "+format, args...))
	}
	for name, address := range map[string]string{"entity ID": c.EntityID, "callback": c.Callback,
		"logout": c.Logout} {
		if !isSecure(address) {
			complain("the %s is not an https address of at most %d characters", name, urlMax)
		}
	}
	switch key, ok := publicOf(c.Key).(*rsa.PublicKey); {
	case !ok || key.N.BitLen() < rsaBitsMin:
		complain("the key is not an RSA key of %d bits or more", rsaBitsMin)
	case c.Certificate == nil || !key.Equal(c.Certificate.PublicKey):
		complain("the certificate is not the key's")
	}
	if o := c.Organization; o.Name == "" || !isSecure(o.URL) || o.Email == "" || o.IPACode == "" {
		complain("the organization lacks its name, address, e-mail or code in the IPA index")
	}
	if c.Source.File == "" && c.Source.URL == "" {
		complain("no file and no address of providers' metadata")
	}
	if c.Source.URL != "" && !isSecure(c.Source.URL) {
		complain("the address of providers' metadata is not https")
	}
	if len(c.Remotes) == 0 || len(c.Remotes) > providersMax {
		complain("%d identity providers, want 1 to %d", len(c.Remotes), providersMax)
	}
	seen := map[string]bool{}
	for _, r := range c.Remotes {
		if !remoteID.MatchString(r.Info.ID) || r.EntityID == "" || seen[r.Info.ID] ||
			seen["entity "+r.EntityID] || !r.Info.Kind.Valid() {
			complain("identity provider %q: its ID, kind or entity ID is missing, wrong or there twice",
				r.Info.ID)
		}
		seen[r.Info.ID], seen["entity "+r.EntityID] = true, true
	}
	if c.Skew < 0 || c.Skew > SkewMax {
		complain("the clock skew is not within 0 and %s", SkewMax)
	}
	if c.Skew == 0 {
		c.Skew = SkewDefault
	}
	if c.Organization.Display == "" {
		c.Organization.Display = c.Organization.Name
	}
	if c.Fetch == nil {
		c.Fetch = fetch
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, errors.Join(errs...)
}

func publicOf(key crypto.Signer) crypto.PublicKey {
	if key == nil {
		return nil
	}
	return key.Public()
}

// isSecure reports whether an address is one that nobody on the way can read: https, or on this
// machine.
func isSecure(address string) bool {
	u, err := url.Parse(address)
	if err != nil || len(address) > urlMax || u.User != nil || u.Fragment != "" {
		return false
	}
	if u.Scheme == "https" {
		return u.Hostname() != ""
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// client follows nothing: an address that has moved is the operator's to know.
var client = &http.Client{Timeout: fetchWait, CheckRedirect: func(*http.Request,
	[]*http.Request) error {
	return http.ErrUseLastResponse
}}

func fetch(ctx context.Context, address string, max int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d", req.URL.Host, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, max+1))
	if err == nil && int64(len(body)) > max {
		err = fmt.Errorf("%s sends more than %d bytes", req.URL.Host, max)
	}
	return body, err
}
