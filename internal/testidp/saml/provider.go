package saml

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"html/template"
	"io"
	"net/http"
	"time"

	"github.com/beevik/etree"
)

const (
	redirectBinding = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	postBinding     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
	// requestMax bounds a request that is read.
	requestMax = 64 << 10
)

// Provider is an identity provider for tests: whoever comes is whichever citizen it chooses to be.
type Provider struct {
	EntityID string
	Base     string // the address below which it is served
	Signer   *Signer
	// Services are those that it answers: an entity ID to the address for answers.
	Services map[string]string
	Citizens []Citizen        // nil: those of Citizens
	Now      func() time.Time // nil: time.Now
}

func (p *Provider) now() time.Time {
	if p.Now == nil {
		return time.Now()
	}
	return p.Now()
}

func (p *Provider) citizens() []Citizen {
	if p.Citizens == nil {
		return Citizens()
	}
	return p.Citizens
}

// newID is a new identifier.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return "_" + hex.EncodeToString(b[:])
}

// Metadata is the provider's, with any further certificates beside its own.
func (p *Provider) Metadata(further ...*x509.Certificate) *etree.Element {
	root := etree.NewElement("md:EntityDescriptor")
	set(root, "xmlns:md", "urn:oasis:names:tc:SAML:2.0:metadata", "xmlns:ds", nsSignature,
		"ID", newID(), "entityID", p.EntityID)
	role := set(root.CreateElement("md:IDPSSODescriptor"), "WantAuthnRequestsSigned", "true",
		"protocolSupportEnumeration", nsProtocol)
	for _, c := range append([]*x509.Certificate{p.Signer.Certificate}, further...) {
		key := set(role.CreateElement("md:KeyDescriptor"), "use", "signing")
		key.CreateElement("ds:KeyInfo").CreateElement("ds:X509Data").
			CreateElement("ds:X509Certificate").SetText(base64.StdEncoding.EncodeToString(c.Raw))
	}
	for _, binding := range []string{redirectBinding, postBinding} {
		set(role.CreateElement("md:SingleSignOnService"), "Binding", binding, "Location",
			p.Base+"/sso")
	}
	return root
}

// Document writes a tree as a document.
func Document(e *etree.Element) ([]byte, error) {
	doc := etree.NewDocument()
	doc.SetRoot(e)
	return doc.WriteToBytes()
}

// Read reads a request: of a redirect, where it is compressed, or of a form.
func (p *Provider) Read(encoded string, compressed bool) (*Request, error) {
	document, err := base64.StdEncoding.DecodeString(encoded)
	if err == nil && compressed {
		document, err = io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(document)),
			requestMax))
	}
	if err != nil {
		return nil, err
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(document); err != nil {
		return nil, err
	}
	root := doc.Root()
	if root == nil || root.Tag != "AuthnRequest" {
		return nil, errors.New("no AuthnRequest")
	}
	issuer, level := root.FindElement("./Issuer"), root.FindElement(".//AuthnContextClassRef")
	if issuer == nil || level == nil || p.Services[issuer.Text()] == "" {
		return nil, errors.New("the AuthnRequest has no level, or is from an unknown service")
	}
	return &Request{ID: root.SelectAttrValue("ID", ""), Service: issuer.Text(),
		Callback: p.Services[issuer.Text()], Level: level.Text()}, nil
}

// Answer is the document that answers a request as a citizen, with the faults.
func (p *Provider) Answer(r *Request, c *Citizen, faults ...Fault) ([]byte, error) {
	now, by := p.now(), p.Signer
	response := NewResponse(p.EntityID, r, c, now)
	for _, f := range faults {
		if f.says != nil {
			f.says(response, now)
		}
		if f.stranger {
			stranger, err := newStranger(now)
			if err != nil {
				return nil, err
			}
			if f.disguised {
				stranger.Certificate = by.Certificate
			}
			by = stranger
		}
	}
	tree, err := response.Tree(by)
	if err != nil {
		return nil, err
	}
	for _, f := range faults {
		if f.tree != nil {
			f.tree(tree)
		}
	}
	document, err := Document(tree)
	if err != nil {
		return nil, err
	}
	for _, f := range faults {
		if f.bytes != nil {
			document = f.bytes(document)
		}
	}
	return document, nil
}

// newStranger is a signer whom nobody knows.
func newStranger(now time.Time) (*Signer, error) {
	key, err := stranger()
	if err != nil {
		return nil, err
	}
	return NewSigner(key, "stranger", now)
}

// ServeHTTP serves /metadata, /sso, and /answer, which the page of /sso posts to.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4*requestMax)
	switch r.URL.Path {
	case "/metadata":
		document, err := Document(p.Metadata())
		if err != nil {
			http.Error(w, "metadata", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/samlmetadata+xml")
		w.Write(document)
	case "/sso":
		request, err := p.Read(r.FormValue("SAMLRequest"), r.Method == http.MethodGet)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		show(w, choice, map[string]any{"Base": p.Base, "Request": request,
			"State": r.FormValue("RelayState"), "Citizens": p.citizens(), "Faults": Faults()})
	case "/answer":
		p.answer(w, r)
	default:
		http.NotFound(w, r)
	}
}

// answer makes the answer that the page of /sso asked for.
func (p *Provider) answer(w http.ResponseWriter, r *http.Request) {
	service := r.PostFormValue("service")
	request := &Request{ID: r.PostFormValue("id"), Service: service, Callback: p.Services[service],
		Level: r.PostFormValue("level")}
	var faults []Fault
	if f, ok := FaultNamed(r.PostFormValue("fault")); ok {
		faults = append(faults, f)
	}
	for _, c := range p.citizens() {
		if c.Code != r.PostFormValue("citizen") || request.Callback == "" {
			continue
		}
		document, err := p.Answer(request, &c, faults...)
		if err != nil {
			break
		}
		show(w, post, map[string]string{"To": request.Callback,
			"Response": base64.StdEncoding.EncodeToString(document),
			"State":    r.PostFormValue("state")})
		return
	}
	http.Error(w, "no such citizen, service or answer", http.StatusBadRequest)
}

func show(w http.ResponseWriter, page *template.Template, data any) {
	var out bytes.Buffer
	if err := page.Execute(&out, data); err != nil {
		http.Error(w, "page", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(out.Bytes())
}

var choice = template.Must(template.New("choice").Parse(`<!doctype html>
<html lang="it"><meta charset="utf-8"><title>Identità di prova</title>
<h1>Chi vuoi essere?</h1>
<form method="post" action="{{.Base}}/answer">
<input type="hidden" name="id" value="{{.Request.ID}}">
<input type="hidden" name="service" value="{{.Request.Service}}">
<input type="hidden" name="level" value="{{.Request.Level}}">
<input type="hidden" name="state" value="{{.State}}">
<p><label>Difetto <select name="fault"><option value="">nessuno</option>
{{range .Faults}}<option>{{.Name}}</option>{{end}}</select></label></p>
{{range .Citizens}}<p><button name="citizen" value="{{.Code}}">
{{- .Name}} {{.FamilyName}}</button></p>
{{end}}</form></html>
`))

var post = template.Must(template.New("post").Parse(`<!doctype html>
<html lang="it"><meta charset="utf-8"><title>Identità di prova</title>
<form method="post" action="{{.To}}">
<input type="hidden" name="SAMLResponse" value="{{.Response}}">
<input type="hidden" name="RelayState" value="{{.State}}">
<button>Continua</button></form>
<script>document.forms[0].submit()</script></html>
`))
