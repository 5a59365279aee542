package saml

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/beevik/etree"
	library "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"
)

// The only entry of each list in our metadata; requests name them.
const (
	callbackIndex   = 0
	attributesIndex = 0
)

// nsSPID is that of SPID's own elements in metadata.
const nsSPID = "https://spid.gov.it/saml-extensions"

// requested are the attributes that we ask for: what a session and a profile hold, and no more.
var requested = []string{attrName, attrFamilyName, attrFiscalNumber, attrDateOfBirth, attrEmail}

// makeMetadata makes our signed metadata, as SPID wants it from a public body.
func makeMetadata(c *Config) ([]byte, error) {
	root := etree.NewElement("md:EntityDescriptor")
	root.CreateAttr("xmlns:md", nsMetadata)
	root.CreateAttr("xmlns:ds", nsSignature)
	root.CreateAttr("xmlns:spid", nsSPID)
	root.CreateAttr("entityID", c.EntityID)

	role := root.CreateElement("md:SPSSODescriptor")
	role.CreateAttr("AuthnRequestsSigned", "true")
	role.CreateAttr("WantAssertionsSigned", "true")
	role.CreateAttr("protocolSupportEnumeration", nsProtocol)
	key := role.CreateElement("md:KeyDescriptor")
	key.CreateAttr("use", "signing")
	key.CreateElement("ds:KeyInfo").CreateElement("ds:X509Data").
		CreateElement("ds:X509Certificate").
		SetText(base64.StdEncoding.EncodeToString(c.Certificate.Raw))
	logout := role.CreateElement("md:SingleLogoutService")
	logout.CreateAttr("Binding", library.HTTPPostBinding)
	logout.CreateAttr("Location", c.Logout)
	role.CreateElement("md:NameIDFormat").SetText(transient)
	answers := role.CreateElement("md:AssertionConsumerService")
	answers.CreateAttr("Binding", library.HTTPPostBinding)
	answers.CreateAttr("Location", c.Callback)
	answers.CreateAttr("index", strconv.Itoa(callbackIndex))
	answers.CreateAttr("isDefault", "true")
	attributes := role.CreateElement("md:AttributeConsumingService")
	attributes.CreateAttr("index", strconv.Itoa(attributesIndex))
	italian(attributes, "md:ServiceName", c.Organization.Display)
	for _, name := range requested {
		a := attributes.CreateElement("md:RequestedAttribute")
		a.CreateAttr("Name", name)
		a.CreateAttr("NameFormat", "urn:oasis:names:tc:SAML:2.0:attrname-format:basic")
	}
	describe(root, &c.Organization)
	return sign(root, c)
}

// describe says whose the entity is: SPID's notice 29.
func describe(root *etree.Element, o *Organization) {
	organization := root.CreateElement("md:Organization")
	italian(organization, "md:OrganizationName", o.Name)
	italian(organization, "md:OrganizationDisplayName", o.Display)
	italian(organization, "md:OrganizationURL", o.URL)
	contact := root.CreateElement("md:ContactPerson")
	contact.CreateAttr("contactType", "other")
	extensions := contact.CreateElement("md:Extensions")
	extensions.CreateElement("spid:IPACode").SetText(o.IPACode)
	if o.FiscalCode != "" {
		extensions.CreateElement("spid:FiscalCode").SetText(o.FiscalCode)
	}
	extensions.CreateElement("spid:Public")
	contact.CreateElement("md:EmailAddress").SetText(o.Email)
	if o.Telephone != "" {
		contact.CreateElement("md:TelephoneNumber").SetText(o.Telephone)
	}
}

func italian(parent *etree.Element, tag, value string) {
	e := parent.CreateElement(tag)
	e.CreateAttr("xml:lang", "it")
	e.SetText(value)
}

// sign names the element by what it holds, signs it, and puts the signature first, where the schema
// has it. The same configuration so gives the same bytes on every gateway.
func sign(root *etree.Element, c *Config) ([]byte, error) {
	context, err := dsig.NewSigningContext(c.Key, [][]byte{c.Certificate.Raw})
	if err != nil {
		return nil, fmt.Errorf("saml: %w", err)
	}
	context.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if err := context.SetSignatureMethod(dsig.RSASHA256SignatureMethod); err != nil {
		return nil, fmt.Errorf("saml: %w", err)
	}
	content, err := context.Canonicalizer.Canonicalize(root)
	if err != nil {
		return nil, fmt.Errorf("saml: %w", err)
	}
	digest := sha256.Sum256(content)
	root.CreateAttr("ID", "_"+hex.EncodeToString(digest[:16]))
	signature, err := context.ConstructSignature(root, true)
	if err != nil {
		return nil, fmt.Errorf("saml: %w", err)
	}
	root.InsertChildAt(0, signature)
	doc := etree.NewDocument()
	doc.CreateProcInst("xml", `version="1.0" encoding="UTF-8"`)
	doc.SetRoot(root)
	return doc.WriteToBytes()
}
