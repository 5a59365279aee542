package saml

import (
	"crypto/ecdsa"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// The namespaces of an answer.
const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsSignature = "http://www.w3.org/2000/09/xmldsig#"
	nsSchema    = "http://www.w3.org/2001/XMLSchema"
	nsInstance  = "http://www.w3.org/2001/XMLSchema-instance"
)

const entityFormat = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"

// Attribute is one that is asserted of a citizen.
type Attribute struct{ Name, Value string }

// Response is what an answer says, each value as it will stand in it. What is empty is left out,
// element or attribute, so that a fault is one line.
type Response struct {
	ID, AssertionID         string
	Version                 string
	InResponseTo, Confirms  string // of the Response, and of the subject's confirmation
	Destination, Recipient  string
	Audience                string
	Issuer, IssuerFormat    string
	AssertionIssuer         string
	AssertionIssuerFormat   string
	IssueInstant            string
	AssertionIssueInstant   string
	NotBefore, NotOnOrAfter string
	ConfirmedUntil          string
	ConfirmedFrom           string
	Method                  string
	NameID, NameIDFormat    string
	NameQualifier           string
	Level                   string
	Status, StatusMessage   string
	Attributes              []Attribute
	Condition               string // the name of one more condition

	// SignAssertion and SignResponse say what is signed; SignatureMethod how.
	SignAssertion, SignResponse bool
	SignatureMethod             string
}

// Request is what an answer answers.
type Request struct {
	ID       string
	Service  string // entity ID
	Callback string
	Level    string
}

const (
	statusSuccess = "urn:oasis:names:tc:SAML:2.0:status:Success"
	statusFailed  = "urn:oasis:names:tc:SAML:2.0:status:Responder"
)

// stamp is a time as SAML has it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// NewResponse is the answer without a fault.
func NewResponse(issuer string, r *Request, c *Citizen, now time.Time) *Response {
	return &Response{
		ID: newID(), AssertionID: newID(), Version: "2.0",
		InResponseTo: r.ID, Confirms: r.ID, Destination: r.Callback, Recipient: r.Callback,
		Audience: r.Service, Issuer: issuer, IssuerFormat: entityFormat, AssertionIssuer: issuer,
		AssertionIssuerFormat: entityFormat,
		IssueInstant:          stamp(now), AssertionIssueInstant: stamp(now),
		NotBefore: stamp(now), NotOnOrAfter: stamp(now.Add(5 * time.Minute)),
		ConfirmedUntil: stamp(now.Add(5 * time.Minute)),
		Method:         "urn:oasis:names:tc:SAML:2.0:cm:bearer",
		NameID:         newID(), NameQualifier: issuer,
		NameIDFormat: "urn:oasis:names:tc:SAML:2.0:nameid-format:transient",
		Level:        r.Level, Status: statusSuccess,
		Attributes: []Attribute{{"name", c.Name}, {"familyName", c.FamilyName},
			{"fiscalNumber", "TINIT-" + c.Code}, {"dateOfBirth", c.DateOfBirth},
			{"email", c.Email}},
		SignAssertion: true, SignatureMethod: dsig.RSASHA256SignatureMethod,
	}
}

// set gives e the attributes that are not empty: names and values in turn.
func set(e *etree.Element, namesAndValues ...string) *etree.Element {
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		if namesAndValues[i+1] != "" {
			e.CreateAttr(namesAndValues[i], namesAndValues[i+1])
		}
	}
	return e
}

// Tree is the response as a tree, signed by the signer as it says.
func (r *Response) Tree(by *Signer) (*etree.Element, error) {
	response := set(etree.NewElement("samlp:Response"), "xmlns:samlp", nsProtocol, "xmlns:saml",
		nsAssertion, "ID", r.ID, "Version", r.Version, "IssueInstant", r.IssueInstant,
		"Destination", r.Destination, "InResponseTo", r.InResponseTo)
	if r.Issuer != "" {
		set(response.CreateElement("saml:Issuer"), "Format", r.IssuerFormat).SetText(r.Issuer)
	}
	status := response.CreateElement("samlp:Status")
	code := set(status.CreateElement("samlp:StatusCode"), "Value", r.Status)
	if r.StatusMessage != "" {
		set(code.CreateElement("samlp:StatusCode"), "Value",
			"urn:oasis:names:tc:SAML:2.0:status:AuthnFailed")
		status.CreateElement("samlp:StatusMessage").SetText(r.StatusMessage)
	}
	if r.Status == statusSuccess {
		assertion := r.assertion()
		if r.SignAssertion {
			if err := by.sign(assertion, r.SignatureMethod); err != nil {
				return nil, err
			}
		}
		response.AddChild(assertion)
	}
	if r.SignResponse {
		if err := by.sign(response, r.SignatureMethod); err != nil {
			return nil, err
		}
	}
	return response, nil
}

// assertion declares what it uses itself, so that it can be signed apart.
func (r *Response) assertion() *etree.Element {
	a := set(etree.NewElement("saml:Assertion"), "xmlns:saml", nsAssertion, "xmlns:xs", nsSchema,
		"xmlns:xsi", nsInstance, "ID", r.AssertionID, "Version", r.Version, "IssueInstant",
		r.AssertionIssueInstant)
	set(a.CreateElement("saml:Issuer"), "Format", r.AssertionIssuerFormat).
		SetText(r.AssertionIssuer)
	subject := a.CreateElement("saml:Subject")
	set(subject.CreateElement("saml:NameID"), "Format", r.NameIDFormat, "NameQualifier",
		r.NameQualifier).SetText(r.NameID)
	confirmation := set(subject.CreateElement("saml:SubjectConfirmation"), "Method", r.Method)
	set(confirmation.CreateElement("saml:SubjectConfirmationData"), "InResponseTo", r.Confirms,
		"NotBefore", r.ConfirmedFrom, "NotOnOrAfter", r.ConfirmedUntil, "Recipient", r.Recipient)
	conditions := set(a.CreateElement("saml:Conditions"), "NotBefore", r.NotBefore, "NotOnOrAfter",
		r.NotOnOrAfter)
	if r.Audience != "" {
		conditions.CreateElement("saml:AudienceRestriction").CreateElement("saml:Audience").
			SetText(r.Audience)
	}
	if r.Condition != "" {
		conditions.CreateElement("saml:" + r.Condition)
	}
	statement := set(a.CreateElement("saml:AuthnStatement"), "AuthnInstant",
		r.AssertionIssueInstant, "SessionIndex", r.AssertionID)
	context := statement.CreateElement("saml:AuthnContext")
	if r.Level != "" {
		context.CreateElement("saml:AuthnContextClassRef").SetText(r.Level)
	}
	attributes := a.CreateElement("saml:AttributeStatement")
	for _, attr := range r.Attributes {
		e := set(attributes.CreateElement("saml:Attribute"), "Name", attr.Name, "NameFormat",
			"urn:oasis:names:tc:SAML:2.0:attrname-format:basic")
		set(e.CreateElement("saml:AttributeValue"), "xsi:type", "xs:string").SetText(attr.Value)
	}
	return a
}

// sign puts e's signature behind its first child, where the schema has it.
func (s *Signer) sign(e *etree.Element, method string) error {
	context, err := dsig.NewSigningContext(s.Key, [][]byte{s.Certificate.Raw})
	if err != nil {
		return err
	}
	context.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if _, ok := s.Key.Public().(*ecdsa.PublicKey); ok {
		method = dsig.ECDSASHA256SignatureMethod
	}
	if err := context.SetSignatureMethod(method); err != nil {
		return err
	}
	signature, err := context.ConstructSignature(e, true)
	if err != nil {
		return err
	}
	if key, ok := s.Key.Public().(*ecdsa.PublicKey); ok {
		if err := twoNumbers(signature, (key.Params().BitSize+7)/8); err != nil {
			return err
		}
	}
	e.InsertChildAt(min(1, len(e.Child)), signature)
	return nil
}

// twoNumbers puts an ECDSA signature, which the library leaves in the form of X.509, in that of
// XML.
func twoNumbers(signature *etree.Element, size int) error {
	value := signature.FindElement("./SignatureValue")
	raw, err := base64.StdEncoding.DecodeString(value.Text())
	if err != nil {
		return err
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(raw, &rs); err != nil {
		return err
	}
	out := make([]byte, 2*size)
	rs.R.FillBytes(out[:size])
	rs.S.FillBytes(out[size:])
	value.SetText(base64.StdEncoding.EncodeToString(out))
	return nil
}
