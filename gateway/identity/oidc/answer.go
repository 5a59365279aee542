package oidc

import (
	"net/url"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/identity/jwt"
)

// codeMax bounds a code.
const codeMax = 4096

// refusals are the errors of an answer that mean something to a citizen.
var refusals = map[string]identity.Reason{
	"access_denied":           identity.Cancelled,
	"consent_required":        identity.NoConsent,
	"interaction_required":    identity.Denied,
	"login_required":          identity.Denied,
	"temporarily_unavailable": identity.Away,
	"server_error":            identity.Away,
}

// readAnswer reads what the browser brought, and returns the code. Whose answer it is comes first:
// nothing of one that another provider gave is to reach this one.
func (p *Provider) readAnswer(party *Party, form url.Values) (string, error) {
	bad := func(detail string) (string, error) {
		return "", identity.Refuse(identity.Invalid, "the answer: "+detail)
	}
	for _, name := range []string{"iss", "code", "error", "state"} {
		if len(form[name]) > 1 {
			return bad(name + " is given more than once")
		}
	}
	switch iss := form.Get("iss"); {
	case iss == "" && (party.NamesIssuer || p.cfg.Dialect.Issuer):
		return bad("it does not name its issuer")
	case iss != "" && !jwt.SameIssuer(iss, party.Issuer):
		return bad("it is another issuer's")
	}
	if name := form.Get("error"); name != "" {
		reason, known := refusals[name]
		if !known {
			return "", identity.Refuse(identity.Denied, "an error that has no name here")
		}
		return "", identity.Refuse(reason, "the provider answers "+name)
	}
	code := form.Get("code")
	if code == "" || len(code) > codeMax {
		return bad("no code")
	}
	return code, nil
}
