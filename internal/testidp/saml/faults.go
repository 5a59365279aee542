package saml

import (
	"bytes"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// Fault is one way in which an answer is wrong: before it is signed, after it, or as bytes.
type Fault struct {
	Name  string
	says  func(r *Response, now time.Time)
	tree  func(response *etree.Element)
	bytes func(document []byte) []byte
	// stranger signs with a key that is nobody's; disguised beside the provider's certificate.
	stranger, disguised bool
}

// Faults are all faults, each of which has to be refused.
func Faults() []Fault {
	return slices.Concat(faultsOfHead, faultsOfAssertion, faultsOfPerson, faultsOfStatus,
		faultsOfSignature, faultsOfBytes, wrappings)
}

// FaultNamed is a fault by its name. ok is false if there is none.
func FaultNamed(name string) (f Fault, ok bool) {
	all := Faults()
	i := slices.IndexFunc(all, func(f Fault) bool { return f.Name == name })
	if i < 0 {
		return Fault{}, false
	}
	return all[i], true
}

func says(name string, change func(*Response)) Fault {
	return Fault{Name: name, says: func(r *Response, _ time.Time) { change(r) }}
}

func timed(name string, change func(*Response, time.Time)) Fault {
	return Fault{Name: name, says: change}
}

const elsewhere = "https://elsewhere.example/answer"

var faultsOfHead = []Fault{
	says("version", func(r *Response) { r.Version = "1.1" }),
	says("response-id-missing", func(r *Response) { r.ID = "" }),
	says("destination-other", func(r *Response) { r.Destination = elsewhere }),
	says("destination-missing", func(r *Response) { r.Destination = "" }),
	says("in-response-to-other", func(r *Response) { r.InResponseTo = "_another" }),
	says("in-response-to-missing", func(r *Response) { r.InResponseTo = "" }),
	says("issuer-other", func(r *Response) { r.Issuer = "https://other-idp.example" }),
	says("issuer-missing", func(r *Response) { r.Issuer = "" }),
	says("issuer-format", func(r *Response) { r.IssuerFormat = "urn:other" }),
	timed("issued-in-future", func(r *Response, now time.Time) {
		r.IssueInstant = stamp(now.Add(10 * time.Minute))
	}),
	timed("issued-before-request", func(r *Response, now time.Time) {
		r.IssueInstant = stamp(now.Add(-10 * time.Minute))
	}),
	says("issued-missing", func(r *Response) { r.IssueInstant = "" }),
	timed("issued-without-zone", func(r *Response, now time.Time) {
		r.IssueInstant = strings.TrimSuffix(stamp(now), "Z")
	}),
}

var faultsOfAssertion = []Fault{
	says("assertion-issuer-other", func(r *Response) {
		r.AssertionIssuer = "https://other-idp.example"
	}),
	says("assertion-issuer-format-missing", func(r *Response) { r.AssertionIssuerFormat = "" }),
	timed("assertion-issued-in-future", func(r *Response, now time.Time) {
		r.AssertionIssueInstant = stamp(now.Add(10 * time.Minute))
	}),
	timed("assertion-issued-before-request", func(r *Response, now time.Time) {
		r.AssertionIssueInstant = stamp(now.Add(-10 * time.Minute))
	}),
	says("assertion-issued-missing", func(r *Response) { r.AssertionIssueInstant = "" }),
	says("name-empty", func(r *Response) { r.NameID = "" }),
	says("name-persistent", func(r *Response) {
		r.NameIDFormat = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	}),
	says("name-unqualified", func(r *Response) { r.NameQualifier = "" }),
	says("confirmation-method", func(r *Response) {
		r.Method = "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"
	}),
	says("recipient-other", func(r *Response) { r.Recipient = elsewhere }),
	says("recipient-missing", func(r *Response) { r.Recipient = "" }),
	says("confirms-other", func(r *Response) { r.Confirms = "_another" }),
	says("confirms-missing", func(r *Response) { r.Confirms = "" }),
	says("confirmed-until-missing", func(r *Response) { r.ConfirmedUntil = "" }),
	timed("confirmed-expired", func(r *Response, now time.Time) {
		r.ConfirmedUntil = stamp(now.Add(-5 * time.Minute))
	}),
	timed("confirmed-from", func(r *Response, now time.Time) { r.ConfirmedFrom = stamp(now) }),
	says("not-before-missing", func(r *Response) { r.NotBefore = "" }),
	timed("not-yet-valid", func(r *Response, now time.Time) {
		r.NotBefore = stamp(now.Add(5 * time.Minute))
	}),
	says("not-on-or-after-missing", func(r *Response) { r.NotOnOrAfter = "" }),
	timed("expired", func(r *Response, now time.Time) {
		r.NotOnOrAfter = stamp(now.Add(-5 * time.Minute))
	}),
	says("audience-other", func(r *Response) { r.Audience = "https://other-service.example" }),
	says("audience-missing", func(r *Response) { r.Audience = "" }),
	says("condition-unknown", func(r *Response) { r.Condition = "ProxyRestriction" }),
	says("level-missing", func(r *Response) { r.Level = "" }),
	says("level-unknown", func(r *Response) {
		r.Level = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
	}),
	says("level-below", func(r *Response) { r.Level = "https://www.spid.gov.it/SpidL1" }),
	{Name: "assertion-missing", tree: func(response *etree.Element) {
		response.RemoveChild(assertionOf(response))
	}},
}

// fiscal changes the fiscal number.
func fiscal(name string, change func(string) string) Fault {
	return says(name, func(r *Response) {
		for i := range r.Attributes {
			if a := &r.Attributes[i]; a.Name == "fiscalNumber" {
				a.Value = change(a.Value)
			}
		}
	})
}

var faultsOfPerson = []Fault{
	says("attributes-none", func(r *Response) { r.Attributes = nil }),
	says("attribute-empty", func(r *Response) {
		r.Attributes = append(r.Attributes, Attribute{"gender", ""})
	}),
	says("attribute-twice", func(r *Response) {
		r.Attributes = append(r.Attributes, r.Attributes[2])
	}),
	fiscal("fiscal-number-bare", func(s string) string { return strings.TrimPrefix(s, "TINIT-") }),
	fiscal("fiscal-number-vat", func(string) string { return "VATIT-01234567890" }),
	fiscal("fiscal-number-11-digits", func(string) string { return "TINIT-01234567890" }),
	fiscal("fiscal-number-lower-case", func(s string) string {
		return "TINIT-" + strings.ToLower(strings.TrimPrefix(s, "TINIT-"))
	}),
	fiscal("fiscal-number-look-alike", func(s string) string {
		return s[:len(s)-1] + "\uff21" // a wide A
	}),
	says("company-only", func(r *Response) {
		r.Attributes = []Attribute{{"companyFiscalNumber", "TINIT-01234567890"},
			{"ivaCode", "VATIT-01234567890"}, {"companyName", "Ditta"}}
	}),
	timed("minor", func(r *Response, now time.Time) {
		for i := range r.Attributes {
			if a := &r.Attributes[i]; a.Name == "dateOfBirth" {
				a.Value = now.AddDate(-13, 0, 0).Format(time.DateOnly)
			}
		}
	}),
}

func status(nr string) Fault {
	return says("error-nr"+nr, func(r *Response) {
		r.Status, r.StatusMessage = statusFailed, "ErrorCode nr"+nr
	})
}

var faultsOfStatus = []Fault{
	status("08"), status("19"), status("20"), status("21"), status("22"), status("23"),
	status("25"), status("30"),
	says("error-unnamed", func(r *Response) { r.Status = statusFailed }),
	says("status-missing", func(r *Response) { r.Status = "" }),
}

// method renames the algorithm of the assertion's signature.
func method(name, path, algorithm string) Fault {
	return Fault{Name: name, tree: func(response *etree.Element) {
		assertionOf(response).FindElement(path).CreateAttr("Algorithm", algorithm)
	}}
}

var faultsOfSignature = []Fault{
	says("unsigned", func(r *Response) { r.SignAssertion = false }),
	says("signed-around-only", func(r *Response) { r.SignAssertion, r.SignResponse = false, true }),
	says("sha1", func(r *Response) { r.SignatureMethod = dsig.RSASHA1SignatureMethod }),
	method("hmac", ".//SignatureMethod", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"),
	method("signature-none", ".//SignatureMethod", ""),
	method("digest-sha1", ".//DigestMethod", "http://www.w3.org/2000/09/xmldsig#sha1"),
	method("canonicalization-inclusive", ".//CanonicalizationMethod",
		"http://www.w3.org/TR/2001/REC-xml-c14n-20010315"),
	method("transform-xslt", ".//Transform", "http://www.w3.org/TR/1999/REC-xslt-19991116"),
	{Name: "reference-to-all", tree: func(response *etree.Element) {
		assertionOf(response).FindElement(".//Reference").CreateAttr("URI", "")
	}},
	{Name: "reference-twice", tree: func(response *etree.Element) {
		reference := assertionOf(response).FindElement(".//Reference")
		reference.Parent().AddChild(reference.Copy())
	}},
	{Name: "signature-object", tree: func(response *etree.Element) {
		assertionOf(response).FindElement("./Signature").CreateElement("ds:Object")
	}},
	{Name: "signature-value-empty", tree: func(response *etree.Element) {
		assertionOf(response).FindElement(".//SignatureValue").SetText("")
	}},
	{Name: "changed", tree: func(response *etree.Element) { impersonate(assertionOf(response)) }},
	{Name: "stranger", stranger: true},
	{Name: "stranger-disguised", stranger: true, disguised: true},
	{Name: "response-signature-wrong", says: func(r *Response, _ time.Time) {
		r.SignResponse = true
	}, tree: func(response *etree.Element) {
		response.CreateAttr("Consent", "urn:oasis:names:tc:SAML:2.0:consent:obtained")
	}},
}

// within puts something into the middle of the fiscal number.
func within(name, inside string) Fault {
	return Fault{Name: name, bytes: func(document []byte) []byte {
		at := bytes.Index(document, []byte("TINIT-")) + len("TINIT-") + 6
		return slices.Concat(document[:at], []byte(inside), document[at:])
	}}
}

// before puts something in front of the document.
func before(name, what string) Fault {
	return Fault{Name: name, bytes: func(document []byte) []byte {
		return append([]byte(what), document...)
	}}
}

// grown changes the tree when it has been signed.
func grown(name string, change func(response *etree.Element)) Fault {
	return Fault{Name: name, tree: change}
}

var faultsOfBytes = []Fault{
	within("comment", "<!-- -->"),
	within("cdata", "<![CDATA[]]>"),
	within("instruction", "<?x y?>"),
	within("value-nested", "<saml:AttributeValue/>"),
	before("doctype", "<!DOCTYPE Response>"),
	before("billion-laughs", `<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "`+
		strings.Repeat("&a;", 10)+`"><!ENTITY c "`+strings.Repeat("&b;", 10)+`">]>`),
	before("external-entity", `<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>`),
	before("stylesheet", `<?xml-stylesheet href="https://elsewhere.example/x.xsl"?>`),
	before("encoding-utf7", `<?xml version="1.0" encoding="UTF-7"?>`),
	before("text-before", "x"),
	{Name: "two-roots", bytes: func(document []byte) []byte {
		return slices.Concat(document, document)
	}},
	{Name: "encoding-utf16", bytes: func(document []byte) []byte {
		out := []byte{0xff, 0xfe}
		for _, u := range utf16.Encode([]rune(string(document))) {
			out = append(out, byte(u), byte(u>>8))
		}
		return out
	}},
	{Name: "not-xml", bytes: func(document []byte) []byte { return document[:len(document)/2] }},
	{Name: "empty", bytes: func([]byte) []byte { return nil }},
	{Name: "too-long", bytes: func(document []byte) []byte {
		return append(document, bytes.Repeat([]byte(" \n"), 50<<10)...)
	}},
	{Name: "attribute-of-element-twice", bytes: func(document []byte) []byte {
		return bytes.Replace(document, []byte(" Destination="), []byte(` Version="2.0" Destination=`), 1)
	}},
	grown("too-deep", func(response *etree.Element) {
		for range 40 {
			response = response.CreateElement("samlp:Extensions")
		}
	}),
	grown("too-many-elements", func(response *etree.Element) {
		for range 1000 {
			response.CreateElement("samlp:Extensions")
		}
	}),
	grown("foreign-element", func(response *etree.Element) {
		response.CreateElement("x:Thing").CreateAttr("xmlns:x", "urn:x")
	}),
	grown("response-other-element", func(response *etree.Element) {
		response.Tag = "ArtifactResponse"
	}),
	grown("two-ids", func(response *etree.Element) {
		response.CreateAttr("ID", assertionOf(response).SelectAttrValue("ID", ""))
	}),
	grown("encrypted-assertion", func(response *etree.Element) {
		response.CreateElement("saml:EncryptedAssertion")
	}),
	grown("two-assertions", func(response *etree.Element) {
		second := assertionOf(response).Copy()
		second.CreateAttr("ID", newID())
		response.AddChild(second)
	}),
	grown("same-assertion-twice", func(response *etree.Element) {
		response.AddChild(assertionOf(response).Copy())
	}),
}

// assertionOf is the first assertion of a response.
func assertionOf(response *etree.Element) *etree.Element {
	return response.FindElement("./Assertion")
}

// impersonate makes an assertion be about somebody else.
func impersonate(assertion *etree.Element) {
	for _, a := range assertion.FindElements(".//Attribute") {
		if a.SelectAttrValue("Name", "") == "fiscalNumber" {
			a.FindElement("./AttributeValue").SetText("TINIT-" + Citizens()[9].Code)
		}
	}
}
