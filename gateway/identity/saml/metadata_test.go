package saml

import (
	"bytes"
	"encoding/xml"
	"testing"

	library "github.com/crewjam/saml"
)

// TestMetadata: our metadata is signed, says what SPID wants, and is the same on every gateway.
func TestMetadata(t *testing.T) {
	f := newFixture(t, providerKey(), func(c *Config) {
		c.Organization.FiscalCode, c.Organization.Telephone = "80000000000", "+39061234567"
	})
	text := f.entity.Metadata()
	again, err := New(f.config)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.Metadata(), text) {
		t.Error("two entities of one configuration differ in their metadata")
	}
	root, err := metadataShape.read(text)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := verify(root, f.entity.certificates(), start)
	if err != nil {
		t.Fatal(err)
	}
	if root.ChildElements()[0].Tag != "Signature" {
		t.Error("the signature is not the first element")
	}
	var names []string
	for _, a := range signed.FindElements(".//RequestedAttribute") {
		names = append(names, attribute(a, "Name"))
	}
	if len(names) != len(requested) {
		t.Errorf("asks for %v, want %v", names, requested)
	}
	for path, want := range map[string]string{
		"./Organization/OrganizationName":           "Ente di prova",
		"./Organization/OrganizationDisplayName":    "Ente di prova",
		"./ContactPerson/Extensions/IPACode":        "c_x000",
		"./ContactPerson/Extensions/FiscalCode":     "80000000000",
		"./ContactPerson/Extensions/Public":         "",
		"./ContactPerson/EmailAddress":              "posta@example.it",
		"./ContactPerson/TelephoneNumber":           "+39061234567",
		".//AttributeConsumingService/ServiceName":  "Ente di prova",
		"./SPSSODescriptor/NameIDFormat":            transient,
		"./SPSSODescriptor/SingleLogoutService":     "",
		".//AssertionConsumerService[@index='0']":   "",
		".//AttributeConsumingService[@index='0']":  "",
		".[@entityID='https://inbox.example.it']/*": "",
	} {
		e := signed.FindElement(path)
		if e == nil {
			t.Errorf("no %s", path)
		} else if want != "" && e.Text() != want {
			t.Errorf("%s is %s, want %s", path, e.Text(), want)
		}
	}
	var read library.EntityDescriptor
	if err := xml.Unmarshal(text, &read); err != nil {
		t.Error("the library cannot read it:", err)
	}
}
