package saml

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	library "github.com/crewjam/saml"

	"github.com/staffetta/staffetta/gateway/identity"
	testidp "github.com/staffetta/staffetta/internal/testidp/saml"
)

// TestFinish: an answer is believed, whatever of its forms it has.
func TestFinish(t *testing.T) {
	const thumbprint = "sha256-n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg"
	rs, ec := newFixture(t, providerKey(), nil), newFixture(t, newECDSA(), nil)
	cie := newFixture(t, providerKey(), func(c *Config) { c.Remotes[0].Info.Kind = identity.CIE })
	for _, c := range []struct {
		name    string
		f       *fixture
		request string
		change  func(*testidp.Response)
	}{
		{"RSA", rs, "", nil},
		{"ECDSA", ec, "", nil},
		{"device key", rs, thumbprint, nil},
		{"SHA-512", rs, "", func(r *testidp.Response) {
			r.SignatureMethod = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"
		}},
		{"signed around too", rs, "", func(r *testidp.Response) { r.SignResponse = true }},
		{"signed around too, ECDSA", ec, "", func(r *testidp.Response) { r.SignResponse = true }},
		{"times of Rome", rs, "", func(r *testidp.Response) {
			r.IssueInstant = "2026-11-03T11:30:00+02:00"
			r.AssertionIssueInstant = r.IssueInstant
		}},
		{"clock ahead", rs, "", func(r *testidp.Response) {
			r.IssueInstant = "2026-11-03T09:30:29Z"
			r.AssertionIssueInstant, r.NotBefore = r.IssueInstant, r.IssueInstant
		}},
		{"clock behind", rs, "", func(r *testidp.Response) {
			r.IssueInstant = "2026-11-03T09:29:31Z"
			r.AssertionIssueInstant, r.ConfirmedUntil = r.IssueInstant, r.IssueInstant
			r.NotOnOrAfter = r.IssueInstant
		}},
		{"issuer's format left out around", rs, "", func(r *testidp.Response) { r.IssuerFormat = "" }},
		{"issuer's format left out by CIE", cie, "", func(r *testidp.Response) {
			r.AssertionIssuerFormat = ""
		}},
		{"level above", rs, "", func(r *testidp.Response) { r.Level = identity.Level3.URL() }},
		{"one-time use", rs, "", func(r *testidp.Response) { r.Condition = "OneTimeUse" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := c.f.begin(t, identity.Level2, c.request)
			citizen := testidp.Citizens()[0]
			response := testidp.NewResponse(idpEntity, l.request, &citizen, start)
			if c.change != nil {
				c.change(response)
			}
			tree, err := response.Tree(c.f.idp.Signer)
			if err != nil {
				t.Fatal(err)
			}
			text, err := testidp.Document(tree)
			if err != nil {
				t.Fatal(err)
			}
			got, err := l.finish(text)
			if err != nil {
				t.Fatal(err)
			}
			want := &identity.Assertion{FiscalNumber: "TINIT-" + citizen.Code, Name: citizen.Name,
				FamilyName: citizen.FamilyName, DateOfBirth: citizen.DateOfBirth,
				Email: citizen.Email, Level: response.Level, Evidence: identity.Evidence{
					Issuer: idpEntity, Subject: response.NameID, RequestID: l.request.ID,
					ResponseID: response.ID, IssuedAt: got.Evidence.IssuedAt,
					Documents: []identity.Document{
						{Name: "request", Text: []byte(queryOf(t, l.started.URL))},
						{Name: "response", Text: text}}}}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if c.request != "" && l.request.ID != c.request {
				t.Errorf("the request is named %s, want %s", l.request.ID, c.request)
			}
		})
	}
}

func queryOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.RawQuery
}

// TestLevel: the library takes an assertion of any class for a request of SpidL2, with its own check
// of classes off; with it on, it cannot do SPID's comparison. Ours decides.
func TestLevel(t *testing.T) {
	f := newFixture(t, providerKey(), nil)
	for _, c := range []struct {
		asked identity.Level
		class string
		ok    bool
	}{
		{identity.Level2, "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport", false},
		{identity.Level2, "", false},
		{identity.Level2, "https://www.spid.gov.it/SpidL1", false},
		{identity.Level2, "https://www.spid.gov.it/SpidL2", true},
		{identity.Level2, "https://www.spid.gov.it/SpidL3", true},
		{identity.Level2, "https://www.spid.gov.it/SpidL4", false},
		{identity.Level2, "https://www.spid.gov.it/spidl2", false},
		{identity.Level3, "https://www.spid.gov.it/SpidL2", false},
		{identity.Level3, "https://www.spid.gov.it/SpidL3", true},
		{identity.Level1, "https://www.spid.gov.it/SpidL1", true},
	} {
		l := f.begin(t, c.asked, "")
		response := testidp.NewResponse(idpEntity, l.request, &testidp.Citizens()[0], start)
		response.Level = c.class
		tree, err := response.Tree(f.idp.Signer)
		if err != nil {
			t.Fatal(err)
		}
		text, err := testidp.Document(tree)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.finish(text); c.ok && err != nil {
			t.Errorf("%q where %s was asked: %v", c.class, c.asked.Name(), err)
		} else if !c.ok {
			refused(t, err, identity.Weak, "")
		}

		alone := library.ServiceProvider{EntityID: ourEntity, AcsURL: f.entity.callback,
			IDPMetadata: described(t, f.idp), Clock: f.entity.library(nil, nil, start).Clock,
			RequestedAuthnContext: &library.RequestedAuthnContext{Comparison: "minimum",
				AuthnContextClassRefs: []string{c.asked.URL()}}}
		if _, err := alone.ParseXMLResponse(text, []string{l.request.ID},
			f.entity.callback); err != nil {
			t.Errorf("%q where %s was asked: the library refuses it by now: %v", c.class,
				c.asked.Name(), err)
		}
		alone.ValidateAuthnContextClassRef = true
		if _, err := alone.ParseXMLResponse(text, []string{l.request.ID},
			f.entity.callback); err == nil {
			t.Error("the library can compare levels by now")
		}
	}
}

// described is a provider's metadata as the library has it.
func described(t *testing.T, p *testidp.Provider) *library.EntityDescriptor {
	t.Helper()
	var role library.IDPSSODescriptor
	role.KeyDescriptors = []library.KeyDescriptor{{Use: "signing", KeyInfo: library.KeyInfo{
		X509Data: library.X509Data{X509Certificates: []library.X509Certificate{{
			Data: base64.StdEncoding.EncodeToString(p.Signer.Certificate.Raw)}}}}}}
	return &library.EntityDescriptor{EntityID: p.EntityID,
		IDPSSODescriptors: []library.IDPSSODescriptor{role}}
}

// TestForm: what comes around a response is held to its form as well.
func TestForm(t *testing.T) {
	f := newFixture(t, providerKey(), nil)
	l := f.begin(t, identity.Level2, "")
	good := base64.StdEncoding.EncodeToString(l.answer(t))
	for _, c := range []struct {
		name   string
		form   url.Values
		reason identity.Reason
		words  string
	}{
		{"nothing", nil, identity.Invalid, "one response"},
		{"no state", url.Values{"SAMLResponse": {good}}, identity.Invalid, "one state"},
		{"two responses", url.Values{"SAMLResponse": {good, good}, "RelayState": {l.begin.State}},
			identity.Invalid, "one response"},
		{"another state", url.Values{"SAMLResponse": {good},
			"RelayState": {strings.Repeat("6", 64)}}, identity.Stray, "another login"},
		{"no base64", url.Values{"SAMLResponse": {"%"}, "RelayState": {l.begin.State}},
			identity.Invalid, "no base64"},
		{"too long", url.Values{"SAMLResponse": {strings.Repeat("A", 300<<10)},
			"RelayState": {l.begin.State}}, identity.Invalid, "too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := f.entity.Providers()[0].Finish(context.Background(), &identity.Answer{
				Begin: l.begin, Form: c.form, Pending: l.started.Pending})
			refused(t, err, c.reason, c.words)
		})
	}
	_, err := f.entity.Providers()[0].Finish(context.Background(), &identity.Answer{Begin: l.begin,
		Form: url.Values{"SAMLResponse": {good}, "RelayState": {l.begin.State}}})
	refused(t, err, identity.Stray, "pending")
}

// TestAnswerOfAnotherLogin: an answer ends the login that it was asked for, and only in time.
func TestAnswerOfAnotherLogin(t *testing.T) {
	f := newFixture(t, providerKey(), nil)
	first := f.begin(t, identity.Level2, "")
	answer := first.answer(t)
	second := f.begin(t, identity.Level2, "sha256-n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg")
	_, err := second.finish(answer)
	refused(t, err, identity.Invalid, "InResponseTo")

	// Both are named by the same device key: the time tells them apart.
	old := second.answer(t)
	f.clock.at = start.Add(time.Minute)
	third := f.begin(t, identity.Level2, second.begin.Request)
	_, err = third.finish(old)
	refused(t, err, identity.Invalid, "before the request")

	f.clock.at = start.Add(89 * time.Second)
	if _, err := first.finish(answer); err != nil {
		t.Errorf("after 89 seconds: %v", err)
	}
	f.clock.at = start.Add(91 * time.Second)
	_, err = first.finish(answer)
	refused(t, err, identity.Invalid, "too long ago")
}

// TestSecondReader: what the library reads otherwise is refused.
func TestSecondReader(t *testing.T) {
	f := newFixture(t, providerKey(), nil)
	l := f.begin(t, identity.Level2, "")
	answer := l.answer(t)
	x := &expected{kind: identity.SPID, entity: ourEntity, callback: ourCallback, issuer: idpEntity,
		request: l.request.ID, asked: start, level: identity.Level2, now: start, skew: SkewDefault}
	_, x.believed = f.entity.registry.of(idpEntity, start)
	said, err := x.read(answer)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.entity.second(x, answer, said); err != nil {
		t.Fatal(err)
	}
	said.subject += "x"
	refused(t, f.entity.second(x, answer, said), identity.Invalid, "another way")
}

// TestRequest: the request is in SPID's form, and its query signed by our key.
func TestRequest(t *testing.T) {
	f := newFixture(t, providerKey(), nil)
	l := f.begin(t, identity.Level2, "")
	u, err := url.Parse(l.started.URL)
	if err != nil {
		t.Fatal(err)
	}
	signed, signature, _ := strings.Cut(u.RawQuery, "&Signature=")
	encoded, err := url.QueryUnescape(signature)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(signed))
	if err := rsa.VerifyPKCS1v15(entityKey().Public().(*rsa.PublicKey), crypto.SHA256, sum[:],
		raw); err != nil {
		t.Error("the query's signature:", err)
	}
	if got := u.Query().Get("RelayState"); got != l.begin.State {
		t.Errorf("RelayState %s, want the state", got)
	}
	if len(l.started.Pending) > identity.PendingMax {
		t.Errorf("%d bytes are pending, at most %d", len(l.started.Pending), identity.PendingMax)
	}

	doc := etree.NewDocument()
	doc.SetRoot(f.entity.authn(&request{ID: l.request.ID, At: start,
		To: "https://idp.example.it/saml/sso"}, identity.Level2).Element())
	got, err := doc.WriteToString()
	if err != nil {
		t.Fatal(err)
	}
	want := `<samlp:AuthnRequest xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ` +
		`xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_` + strings.Repeat("7", 64) +
		`" Version="2.0" IssueInstant="2026-11-03T09:30:00Z" ` +
		`Destination="https://idp.example.it/saml/sso" ForceAuthn="true" ` +
		`AssertionConsumerServiceIndex="0" AttributeConsumingServiceIndex="0">` +
		`<saml:Issuer NameQualifier="` + ourEntity + `" ` +
		`Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">` + ourEntity + `</saml:Issuer>` +
		`<samlp:NameIDPolicy Format="urn:oasis:names:tc:SAML:2.0:nameid-format:transient"/>` +
		`<samlp:RequestedAuthnContext Comparison="minimum"><saml:AuthnContextClassRef>` +
		`https://www.spid.gov.it/SpidL2</saml:AuthnContextClassRef>` +
		`</samlp:RequestedAuthnContext></samlp:AuthnRequest>`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if f.entity.authn(&request{}, identity.Level1).ForceAuthn != nil {
		t.Error("level 1 asks to authenticate anew")
	}
}

// TestRequestByPost: by HTTP-POST the document itself is signed, and goes out as a form.
func TestRequestByPost(t *testing.T) {
	f := newFixture(t, providerKey(), func(c *Config) { c.Remotes[0].Post = true })
	l := f.begin(t, identity.Level3, "")
	if l.started.URL != "https://idp.example.it/saml/sso" || l.started.Fields["RelayState"] !=
		l.begin.State {
		t.Errorf("posted to %s with RelayState %s", l.started.URL, l.started.Fields["RelayState"])
	}
	text, err := base64.StdEncoding.DecodeString(l.started.Fields["SAMLRequest"])
	if err != nil {
		t.Fatal(err)
	}
	root, err := answerShape.read(text)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := verify(root, f.entity.certificates(), start)
	if err != nil {
		t.Fatal(err)
	}
	if got := attribute(signed, "ForceAuthn"); got != "true" {
		t.Errorf("ForceAuthn %q", got)
	}
	if tag := root.ChildElements()[1].Tag; tag != "Signature" {
		t.Errorf("%s behind the Issuer, want the Signature", tag)
	}
	assertion, err := l.finish(l.answer(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := assertion.Evidence.Documents[0].Text; !bytes.Equal(got, text) {
		t.Error("the evidence is not the request that went out")
	}
}

// TestBeginRefuses: no request without a level, a known provider, and a name that is one.
func TestBeginRefuses(t *testing.T) {
	f := newFixture(t, providerKey(), nil)
	begin := identity.Begin{State: "s", Nonce: "n", Level: identity.Level2}
	p := f.entity.Providers()[0]
	for _, name := range []string{"x", "sha256-", "sha256-a=b", "sha1-abc", `sha256-"><x/>`,
		"sha256-" + strings.Repeat("a", 89)} {
		b := begin
		b.Request = name
		_, err := p.Begin(context.Background(), b)
		refused(t, err, identity.Invalid, "thumbprint")
	}
	b := begin
	b.Level = 0
	_, err := p.Begin(context.Background(), b)
	refused(t, err, identity.Invalid, "level")

	unknown, err := New(f.config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = unknown.Providers()[0].Begin(context.Background(), begin)
	refused(t, err, identity.Away, "not known")
}

// TestProviderOverHTTP: a browser's way through the test provider's pages.
func TestProviderOverHTTP(t *testing.T) {
	f := newFixture(t, providerKey(), nil)
	server := httptest.NewServer(f.idp)
	defer server.Close()
	f.idp.Base = server.URL
	f.publish(t, document(t, f.idp))
	if err := f.entity.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, fault := range []string{"", "error-nr25"} {
		l := f.begin(t, identity.Level2, "")
		page := get(t, l.started.URL)
		form := url.Values{"fault": {fault}, "citizen": {testidp.Citizens()[3].Code}}
		for _, m := range regexp.MustCompile(`name="(\w+)" value="([^"]*)"`).
			FindAllStringSubmatch(page, -1) {
			if m[1] != "citizen" {
				form.Set(m[1], m[2])
			}
		}
		answer := postForm(t, server.URL+"/answer", form)
		response := regexp.MustCompile(`name="SAMLResponse" value="([^"]*)"`).
			FindStringSubmatch(answer)
		if response == nil || !strings.Contains(answer, `action="`+ourCallback+`"`) {
			t.Fatalf("the provider answers %s", answer)
		}
		text, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(response[1], "&#43;", "+"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.finish(text)
		if fault != "" {
			refused(t, err, identity.Cancelled, "")
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if want := "TINIT-" + testidp.Citizens()[3].Code; got.FiscalNumber != want {
			t.Errorf("got %s, want %s", got.FiscalNumber, want)
		}
	}
}
