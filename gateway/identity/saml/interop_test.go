package saml

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/beevik/etree"
	library "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/staffetta/staffetta/gateway/identity"
	testidp "github.com/staffetta/staffetta/internal/testidp/saml"
)

// independent is the library's own identity provider, with one citizen who is always logged in.
type independent struct{ ours *library.EntityDescriptor }

func (i independent) GetServiceProvider(_ *http.Request, id string) (*library.EntityDescriptor,
	error) {
	if id != i.ours.EntityID {
		return nil, os.ErrNotExist
	}
	return i.ours, nil
}

func (i independent) GetSession(http.ResponseWriter, *http.Request,
	*library.IdpAuthnRequest) *library.Session {
	c := testidp.Citizens()[1]
	attribute := func(name, value string) library.Attribute {
		return library.Attribute{Name: name, Values: []library.AttributeValue{
			{Type: "xs:string", Value: value}}}
	}
	return &library.Session{ID: "1", Index: "1", CreateTime: start, NameID: "_somebody",
		NameIDFormat:         transient,
		AuthnContextClassRef: identity.Level2.URL(),
		CustomAttributes: []library.Attribute{attribute("fiscalNumber", "TINIT-"+c.Code),
			attribute("dateOfBirth", c.DateOfBirth)},
		UserCommonName: c.Name, UserSurname: c.FamilyName, UserEmail: c.Email}
}

// TestIndependentProvider: a provider that was not made for us reads our metadata and our request,
// and we read its answer, but for what is SPID's alone.
func TestIndependentProvider(t *testing.T) {
	for _, post := range []bool{false, true} {
		f := newFixture(t, providerKey(), func(c *Config) { c.Remotes[0].Post = post })
		var ours library.EntityDescriptor
		if err := xml.Unmarshal(f.entity.Metadata(), &ours); err != nil {
			t.Fatal(err)
		}
		idp := &library.IdentityProvider{Key: f.idp.Signer.Key, Certificate: f.idp.Signer.Certificate,
			MetadataURL: url.URL{Scheme: "https", Host: "idp.example.it"},
			SSOURL:      url.URL{Scheme: "https", Host: "idp.example.it", Path: "/saml/sso"},
			Clock:       dsig.NewFakeClockAt(start), SignatureMethod: dsig.RSASHA256SignatureMethod,
			ServiceProviderProvider: independent{&ours}, SessionProvider: independent{&ours}}
		text, err := xml.Marshal(idp.Metadata())
		if err != nil {
			t.Fatal(err)
		}
		f.publish(t, text)
		if err := f.entity.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		l := f.begin(t, identity.Level2, "")
		request := httptest.NewRequest(http.MethodGet, l.started.URL, nil)
		if post {
			form := url.Values{}
			for name, value := range l.started.Fields {
				form.Set(name, value)
			}
			request = httptest.NewRequest(http.MethodPost, l.started.URL,
				strings.NewReader(form.Encode()))
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		answer := httptest.NewRecorder()
		idp.ServeSSO(answer, request)
		m := regexp.MustCompile(`name="SAMLResponse" value="([^"]*)"`).
			FindStringSubmatch(answer.Body.String())
		if m == nil {
			t.Fatalf("the provider answers %d %s", answer.Code, answer.Body)
		}
		response, err := base64.StdEncoding.DecodeString(html.UnescapeString(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.finish(response)
		if err != nil {
			t.Fatalf("post %t: %v", post, err)
		}
		if want := "TINIT-" + testidp.Citizens()[1].Code; got.FiscalNumber != want {
			t.Errorf("got %s, want %s", got.FiscalNumber, want)
		}
	}
}

// xmlsec runs Debian's xmlsec1, another implementation of XML signatures.
func xmlsec(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := exec.Command("xmlsec1", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("xmlsec1 %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func needXMLSec(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("xmlsec1"); err != nil {
		t.Skip("xmlsec1 is not installed (Debian's package xmlsec1): no independent check of signatures")
	}
}

// file writes a file for another program.
func file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func certificateFile(t *testing.T, c *x509.Certificate) string {
	t.Helper()
	return file(t, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func keyFile(t *testing.T, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// TestOthersVerify: xmlsec1 verifies what we sign.
func TestOthersVerify(t *testing.T) {
	needXMLSec(t)
	f := newFixture(t, providerKey(), func(c *Config) { c.Remotes[0].Post = true })
	l := f.begin(t, identity.Level2, "")
	request, err := base64.StdEncoding.DecodeString(l.started.Fields["SAMLRequest"])
	if err != nil {
		t.Fatal(err)
	}
	certificate := certificateFile(t, f.config.Certificate)
	for name, text := range map[string][]byte{
		nsMetadata + ":EntityDescriptor": f.entity.Metadata(),
		nsProtocol + ":AuthnRequest":     request,
	} {
		xmlsec(t, "--verify", "--id-attr:ID", name, "--pubkey-cert-pem", certificate,
			file(t, "signed.xml", text))
		changed := bytes.Replace(text, []byte("inbox.example.it"), []byte("inbex.example.it"), 1)
		if err := exec.Command("xmlsec1", "--verify", "--id-attr:ID", name, "--pubkey-cert-pem",
			certificate, file(t, "changed.xml", changed)).Run(); err == nil {
			t.Errorf("%s: xmlsec1 verifies anything", name)
		}
	}
}

// TestOthersSign: what xmlsec1 signs is verified here, by RSA and ECDSA, and with prefixes that the
// signature includes by name.
func TestOthersSign(t *testing.T) {
	needXMLSec(t)
	for name, c := range map[string]struct {
		key    crypto.Signer
		method string
	}{
		"RSA":   {providerKey(), dsig.RSASHA256SignatureMethod},
		"ECDSA": {newECDSA(), dsig.ECDSASHA256SignatureMethod},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, c.key, nil)
			l := f.begin(t, identity.Level2, "")
			r := testidp.NewResponse(idpEntity, l.request, &testidp.Citizens()[0], start)
			r.SignAssertion = false
			tree, err := r.Tree(f.idp.Signer)
			if err != nil {
				t.Fatal(err)
			}
			for _, prefix := range []string{"xs", "xsi"} { // declared around the assertion only
				a := tree.FindElement("./Assertion").RemoveAttr("xmlns:" + prefix)
				tree.CreateAttr("xmlns:"+prefix, a.Value)
			}
			assertion := tree.FindElement("./Assertion")
			assertion.InsertChildAt(1, template(t, r.AssertionID, c.method))
			text, err := testidp.Document(tree)
			if err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(t.TempDir(), "signed.xml")
			xmlsec(t, "--sign", "--id-attr:ID", nsAssertion+":Assertion", "--privkey-pem",
				keyFile(t, c.key), "--output", out, file(t, "template.xml", text))
			signed, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.finish(signed); err != nil {
				t.Error(err)
			}
			changed := bytes.Replace(signed, []byte("SpidL2"), []byte("SpidL3"), 1)
			_, err = l.finish(changed)
			refused(t, err, identity.Invalid, "by none of the provider's certificates")
		})
	}
}

// template is a signature that is yet to be made.
func template(t *testing.T, id, method string) *etree.Element {
	t.Helper()
	doc := etree.NewDocument()
	if err := doc.ReadFromString(`<ds:Signature xmlns:ds="` + nsSignature + `"><ds:SignedInfo>` +
		`<ds:CanonicalizationMethod Algorithm="` + exclusive + `"/>` +
		`<ds:SignatureMethod Algorithm="` + method + `"/><ds:Reference URI="#` + id + `">` +
		`<ds:Transforms><ds:Transform Algorithm="` + enveloped + `"/>` +
		`<ds:Transform Algorithm="` + exclusive + `"><ec:InclusiveNamespaces xmlns:ec="` +
		exclusive + `" PrefixList="xs"/></ds:Transform></ds:Transforms>` +
		`<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue/>` +
		`</ds:Reference></ds:SignedInfo><ds:SignatureValue/></ds:Signature>`); err != nil {
		t.Fatal(err)
	}
	return doc.Root()
}
