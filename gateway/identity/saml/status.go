package saml

import (
	"regexp"

	"github.com/beevik/etree"

	"github.com/staffetta/staffetta/gateway/identity"
)

const statusSuccess = "urn:oasis:names:tc:SAML:2.0:status:Success"

// official is SPID's way to name an error in a status message.
var official = regexp.MustCompile(`\bnr ?([0-9]{2})\b`)

// officialReasons are SPID's errors that are for the citizen to know. The others, up to nr18, are
// about the request, and for the operator; nr30 is an identity of another purpose than asked.
var officialReasons = map[string]identity.Reason{
	"19": identity.Credentials,
	"20": identity.NoLevel,
	"21": identity.Timeout,
	"22": identity.NoConsent,
	"23": identity.Suspended,
	"25": identity.Cancelled,
	"30": identity.NotPerson,
}

// statusOf reads a Response's status: nil, or why the provider does not vouch.
func statusOf(response *etree.Element) error {
	status, err := one(response, nsProtocol, "Status")
	if err != nil {
		return invalid(err)
	}
	code, err := one(status, nsProtocol, "StatusCode")
	if err != nil {
		return invalid(err)
	}
	value := attribute(code, "Value")
	switch value {
	case statusSuccess:
		return nil
	case "":
		return identity.Refuse(identity.Invalid, "the status has no code")
	}
	for _, message := range children(status, nsProtocol, "StatusMessage") {
		said, err := text(message)
		if err != nil {
			continue
		}
		nr := official.FindStringSubmatch(said)
		if nr == nil {
			continue
		}
		if reason, known := officialReasons[nr[1]]; known {
			return identity.Refuse(reason, "the provider says ErrorCode nr"+nr[1])
		}
		return identity.Refuse(identity.Denied, "the provider says ErrorCode nr"+nr[1])
	}
	return identity.Refuse(identity.Denied, "the provider's status is not success")
}

// invalid is err as a Refusal of an answer that is not what the provider would have said.
func invalid(err error) *identity.Refusal {
	return identity.Refuse(identity.Invalid, err.Error())
}
