package saml

import (
	"errors"
	"fmt"
	"slices"

	"github.com/beevik/etree"

	"github.com/staffetta/staffetta/gateway/identity"
)

const (
	transient = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
	bearer    = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
)

// The attributes that we ask for, as SPID names them.
const (
	attrFiscalNumber = "fiscalNumber"
	attrName         = "name"
	attrFamilyName   = "familyName"
	attrDateOfBirth  = "dateOfBirth"
	attrEmail        = "email"
)

// assertion checks an assertion that was signed, up to who it is about.
func (x *expected) assertion(e *etree.Element, a *answered) error {
	if err := x.head(e); err != nil {
		return err
	}
	a.issuedAt, _ = instantOf(e, "IssueInstant")
	if err := x.issued(e, x.kind == identity.SPID); err != nil {
		return err
	}
	subject, err := one(e, nsAssertion, "Subject")
	if err != nil {
		return err
	}
	if a.subject, err = nameOf(subject); err != nil {
		return err
	}
	if err := x.confirmed(subject); err != nil {
		return err
	}
	return x.conditions(e)
}

// nameOf reads the name of a login's subject: one for this login only, qualified by who gave it.
func nameOf(subject *etree.Element) (string, error) {
	name, err := one(subject, nsAssertion, "NameID")
	if err != nil {
		return "", err
	}
	switch {
	case attribute(name, "Format") != transient:
		return "", errors.New("its NameID is not transient")
	case attribute(name, "NameQualifier") == "":
		return "", errors.New("its NameID has no NameQualifier")
	}
	return text(name)
}

// confirmed checks that the subject may be presented by whoever brings the answer, to us, in answer
// to our request, and not later than now.
func (x *expected) confirmed(subject *etree.Element) error {
	confirmation, err := one(subject, nsAssertion, "SubjectConfirmation")
	if err != nil {
		return err
	}
	if attribute(confirmation, "Method") != bearer {
		return errors.New("its SubjectConfirmation is not that of a bearer")
	}
	data, err := one(confirmation, nsAssertion, "SubjectConfirmationData")
	if err != nil {
		return err
	}
	switch {
	case attribute(data, "Recipient") != x.callback:
		return errors.New("its Recipient is not our address for answers")
	case attribute(data, "InResponseTo") != x.request:
		return errors.New("its subject's InResponseTo is not this login's request")
	case attribute(data, "NotBefore") != "":
		return errors.New("its SubjectConfirmationData has a NotBefore")
	}
	until, err := instantOf(data, "NotOnOrAfter")
	if err == nil && !x.now.Before(until.Add(x.skew)) {
		err = errors.New("its subject's NotOnOrAfter has passed")
	}
	return err
}

// conditions checks when the assertion holds, and for whom. A condition of another kind is one that
// nobody here could check.
func (x *expected) conditions(e *etree.Element) error {
	conditions, err := one(e, nsAssertion, "Conditions")
	if err != nil {
		return err
	}
	from, err := instantOf(conditions, "NotBefore")
	if err != nil {
		return err
	}
	until, err := instantOf(conditions, "NotOnOrAfter")
	switch {
	case err != nil:
		return err
	case from.After(x.now.Add(x.skew)):
		return errors.New("its NotBefore is in the future")
	case !x.now.Before(until.Add(x.skew)):
		return errors.New("its NotOnOrAfter has passed")
	}
	for _, condition := range conditions.ChildElements() {
		if !is(condition, nsAssertion, "AudienceRestriction") &&
			!is(condition, nsAssertion, "OneTimeUse") {
			return fmt.Errorf("its condition %s is not known", condition.Tag)
		}
	}
	restriction, err := one(conditions, nsAssertion, "AudienceRestriction")
	if err != nil {
		return err
	}
	var audiences []string
	for _, audience := range children(restriction, nsAssertion, "Audience") {
		name, err := text(audience)
		if err != nil {
			return err
		}
		audiences = append(audiences, name)
	}
	if !slices.Contains(audiences, x.entity) {
		return errors.New("its Audience is not this federation")
	}
	return nil
}

// levelOf reads how sure the provider was. It is checked here and not left to the library, which
// can compare for equality only and accepts any class unless it is told to.
func levelOf(e *etree.Element, asked identity.Level) (identity.Level, error) {
	statement, err := one(e, nsAssertion, "AuthnStatement")
	if err != nil {
		return 0, identity.Refuse(identity.Weak, "the assertion: "+err.Error())
	}
	context, err := one(statement, nsAssertion, "AuthnContext")
	if err != nil {
		return 0, identity.Refuse(identity.Weak, "the assertion: "+err.Error())
	}
	class, err := textOf(context, nsAssertion, "AuthnContextClassRef")
	if err != nil {
		return 0, identity.Refuse(identity.Weak, "the assertion: "+err.Error())
	}
	level, known := identity.ParseLevel(class)
	switch {
	case !known:
		return 0, identity.Refuse(identity.Weak, "the AuthnContextClassRef is no level of SPID")
	case !asked.Valid() || level < asked:
		return 0, identity.Refuse(identity.Weak, "the level is below the one that was asked for")
	}
	return level, nil
}

// attributesOf reads what is asserted of the person: each attribute once, with one value.
func attributesOf(e *etree.Element) (map[string]string, error) {
	statement, err := one(e, nsAssertion, "AttributeStatement")
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, attr := range statement.ChildElements() {
		name := attribute(attr, "Name")
		if !is(attr, nsAssertion, "Attribute") || name == "" {
			return nil, errors.New("the statement of attributes holds something else")
		}
		if _, twice := values[name]; twice {
			return nil, errors.New("an attribute is there twice")
		}
		if values[name], err = textOf(attr, nsAssertion, "AttributeValue"); err != nil {
			return nil, fmt.Errorf("an attribute: %w", err)
		}
	}
	if len(values) == 0 {
		return nil, errors.New("the statement of attributes is empty")
	}
	return values, nil
}
