package saml

import "github.com/staffetta/staffetta/internal/testidp"

// callbackPath is where a gateway takes answers.
const callbackPath = "/api/auth/v1/assertionConsumerService"

// Local is the provider of a local federation: it is served at base, and answers the gateways that
// browsers reach at gateway, as one of the seed's citizens.
func Local(base, gateway string, signer *Signer, seed uint64) *Provider {
	return &Provider{EntityID: base, Base: base, Signer: signer, Citizens: testidp.Citizens(seed),
		Services: map[string]string{gateway: gateway + callbackPath}}
}
