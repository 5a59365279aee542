package saml

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/beevik/etree"
	library "github.com/crewjam/saml"

	"github.com/staffetta/staffetta/gateway/identity"
)

const entityFormat = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"

// expected is what an answer is held to.
type expected struct {
	kind     identity.Kind
	entity   string // our entity ID
	callback string // where answers are posted
	issuer   string // the entity ID of the provider that was asked
	believed []*x509.Certificate
	request  string // the ID of our request
	asked    time.Time
	level    identity.Level
	now      time.Time
	skew     time.Duration
}

// answered is what was read of an answer, all of it below the assertion's signature.
type answered struct {
	responseID, assertionID, subject string
	issuedAt                         time.Time
	level                            identity.Level
	attributes                       map[string]string
}

// read holds a response to what is expected and reads what it asserts. The order matters: what
// could mislead a later step is refused by an earlier one. An error is a *identity.Refusal.
func (x *expected) read(document []byte) (*answered, error) {
	received, err := answerShape.read(document)
	if err != nil {
		return nil, invalid(err)
	}
	if !is(received, nsProtocol, "Response") {
		return nil, identity.Refuse(identity.Invalid, "no SAML Response")
	}
	if err := placed(received); err != nil {
		return nil, invalid(err)
	}
	// A signature over all of it is not asked for, but one that is there must be right. What is
	// read is then what was signed.
	response := received
	if len(children(received, nsSignature, "Signature")) > 0 {
		if response, err = verify(received, x.believed, x.now); err != nil {
			return nil, invalid(fmt.Errorf("the response: %w", err))
		}
	}
	if err := x.response(response); err != nil {
		return nil, invalid(fmt.Errorf("the response: %w", err))
	}
	if err := statusOf(response); err != nil {
		return nil, err
	}
	// As it was received, since its signature may lean on namespaces that are declared around it.
	claimed, err := one(received, nsAssertion, "Assertion")
	if err != nil {
		return nil, invalid(err)
	}
	if len(children(claimed, nsSignature, "Signature")) == 0 {
		return nil, identity.Refuse(identity.Invalid, "the assertion is not signed")
	}
	assertion, err := verify(claimed, x.believed, x.now)
	if err != nil {
		return nil, invalid(fmt.Errorf("the assertion: %w", err))
	}
	a := &answered{responseID: attribute(response, "ID"), assertionID: attribute(assertion, "ID")}
	if err := x.assertion(assertion, a); err != nil {
		return nil, invalid(fmt.Errorf("the assertion: %w", err))
	}
	if a.level, err = levelOf(assertion, x.level); err != nil {
		return nil, err
	}
	if a.attributes, err = attributesOf(assertion); err != nil {
		return nil, identity.Refuse(identity.Incomplete, err.Error())
	}
	return a, nil
}

// response checks what a Response says of itself.
func (x *expected) response(response *etree.Element) error {
	if err := x.head(response); err != nil {
		return err
	}
	if attribute(response, "Destination") != x.callback {
		return errors.New("its Destination is not our address for answers")
	}
	if attribute(response, "InResponseTo") != x.request {
		return errors.New("its InResponseTo is not this login's request")
	}
	return x.issued(response, false)
}

// head checks what a Response and an Assertion both begin with.
func (x *expected) head(e *etree.Element) error {
	switch {
	case attribute(e, "Version") != "2.0":
		return errors.New("its Version is not 2.0")
	case attribute(e, "ID") == "":
		return errors.New("it has no ID")
	}
	at, err := instantOf(e, "IssueInstant")
	switch {
	case err != nil:
		return err
	case at.After(x.now.Add(x.skew)):
		return errors.New("its IssueInstant is in the future")
	case at.Before(x.asked.Add(-x.skew)):
		return errors.New("its IssueInstant is before the request")
	case at.Before(x.now.Add(-library.MaxIssueDelay)):
		return errors.New("its IssueInstant is too long ago")
	}
	return nil
}

// issued checks who it is from. The format may be left out, but in an assertion of SPID's.
func (x *expected) issued(e *etree.Element, formatted bool) error {
	issuer, err := one(e, nsAssertion, "Issuer")
	if err != nil {
		return err
	}
	name, err := text(issuer)
	if err != nil {
		return err
	}
	if name != x.issuer {
		return errors.New("its Issuer is not the provider that was asked")
	}
	if format := attribute(issuer, "Format"); format != entityFormat && (formatted || format != "") {
		return errors.New("its Issuer is not in the format of an entity")
	}
	return nil
}
