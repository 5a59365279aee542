package process

import (
	"encoding/json"
	"net"
	"os"
	"strconv"

	"github.com/staffetta/staffetta/internal/localfile"
	"github.com/staffetta/staffetta/internal/operator"
)

// The identity provider of a local federation, and its gateways towards it.
const (
	providerID     = "test"
	providerClient = "staffetta"
	providerFile   = "identity-providers.json"
	providerSecret = "identity-provider.secret"
	providerChild  = "test-provider"
)

// provider is the child that citizens log in at; nil: none.
type provider struct {
	*child
	file localfile.Provider
}

// browserAddress is where a browser of this machine reaches a gateway; "": none does.
func browserAddress(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || host != "" && host != "localhost" &&
		(ip == nil || !ip.IsLoopback() && !ip.IsUnspecified()) {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// makeProvider describes the identity provider and writes the gateways' file of it. gateway is the
// address of the first one, where browsers come back to. Without an address of this machine there
// is no provider: it lets everybody be anybody.
func (f *Federation) makeProvider(listen, gateway string) ([]string, error) {
	c := &f.cfg
	address := browserAddress(gateway)
	if !c.IdentityProvider || address == "" {
		return nil, nil
	}
	if _, err := os.Stat(c.path(providerSecret)); err != nil {
		err := os.WriteFile(c.path(providerSecret), []byte(operator.NewKey()+"\n"), 0o600)
		if err != nil {
			return nil, err
		}
	}
	saml, err := c.makeSAML("http://"+listen+"/saml", address)
	if err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(map[string]any{"oidc": map[string]any{"address": address,
		"providers": []map[string]string{{"id": providerID, "name": "Provider di prova",
			"issuer": "http://" + listen, "client_id": providerClient,
			"secret": providerSecret}}}, "saml": saml}, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(c.path(providerFile), append(b, '\n'), 0o600); err != nil {
		return nil, err
	}
	f.provider = &provider{child: f.newChild(providerChild, providerChild, "--listen", listen,
		"--client", providerClient, "--secret", c.path(providerSecret),
		"--gateway", address, "--key", c.path(providerKey), "--certificate",
		c.path(providerCertificate), "--seed", strconv.FormatUint(c.Seed, 10)),
		file: localfile.Provider{ID: providerID, URL: "http://" + listen,
			Login: address + "/login?provider=" + providerID}}
	return []string{"--identity-providers", c.path(providerFile)}, nil
}
