// Package openapitest holds HTTP exchanges of tests against an OpenAPI document, so that the
// documents under api/ say exactly what is served.
//
// A request is checked as its client would read the document. A response is checked more
// strictly than a client would: its status must be declared for the operation, no member may be
// null (the contracts know absent members only) and no member may be missing from the document.
// A successful answer of an operation of IO's contract may have no member that the contract lacks,
// unless the request prefers more.
//
// Map of the files:
//
//	openapitest.go  Checker: one exchange with a handler
//	problems.go     docs/problems.md against the problems of the code
package openapitest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/staffetta/staffetta/internal/contract"
)

var registerLines = sync.OnceFunc(func() {
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", decodeLines)
})

// decodeLines reads lines of JSON; documents describe them as an array.
func decodeLines(body io.Reader, _ http.Header, _ *openapi3.SchemaRef,
	_ openapi3filter.EncodingFn) (any, error) {
	all := []any{}
	for d := json.NewDecoder(body); ; {
		var line any
		if err := d.Decode(&line); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, line)
	}
}

// Checker is one document. It is safe for concurrent use.
type Checker struct {
	doc      *openapi3.T // as it is, for requests
	requests routers.Router
	answers  routers.Router // of a copy whose schemas are closed
}

// Load reads and validates the document at path; a relative path is relative to the package
// under test.
func Load(t testing.TB, path string) *Checker {
	t.Helper()
	registerLines()
	doc := load(t, path)
	closed := load(t, path)
	for _, s := range closed.Components.Schemas {
		closeSchema(s)
	}
	c := &Checker{doc: doc}
	var err error
	if c.requests, err = legacy.NewRouter(doc); err != nil {
		t.Fatalf("routes of %s: %v", path, err)
	}
	if c.answers, err = legacy.NewRouter(closed); err != nil {
		t.Fatalf("routes of %s, closed: %v", path, err)
	}
	return c
}

func load(t testing.TB, path string) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile(path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatalf("%s is not a valid OpenAPI document: %v", path, err)
	}
	for _, s := range doc.Servers { // tests have a host of their own
		if _, rest, ok := strings.Cut(s.URL, "://"); ok {
			_, rest, _ = strings.Cut(rest, "/")
			s.URL, s.Variables = "/"+rest, nil
		}
	}
	return doc
}

// closeSchema forbids undocumented members in every object below s. Schemas are named in
// components or written in place, and none refers to itself. The parts of an allOf stay open,
// since each of them sees the members of all.
func closeSchema(s *openapi3.SchemaRef) {
	if s == nil || s.Value == nil {
		return
	}
	v := s.Value
	if v.Properties != nil && len(v.AllOf) == 0 && v.AdditionalProperties.Has == nil &&
		v.AdditionalProperties.Schema == nil {
		no := false
		v.AdditionalProperties.Has = &no
	}
	for _, p := range v.Properties {
		closeSchema(p)
	}
	closeSchema(v.Items)
	for _, p := range v.OneOf {
		closeSchema(p)
	}
}

// Schema returns a schema of the document's components.
func (c *Checker) Schema(t testing.TB, name string) *openapi3.Schema {
	t.Helper()
	s := c.doc.Components.Schemas[name]
	if s == nil || s.Value == nil {
		t.Fatalf("the document has no schema %s", name)
	}
	return s.Value
}

// Operations lists the document's operations as "METHOD /path", each with its statuses.
func (c *Checker) Operations() map[string][]string {
	all := map[string][]string{}
	for path, item := range c.doc.Paths.Map() {
		for method, op := range item.Operations() {
			for status := range op.Responses.Map() {
				name := method + " " + path
				all[name] = append(all[name], status)
			}
		}
	}
	return all
}

// Do lets h serve r and fails the test unless both the request and the answer are what the
// document says. The answer's body can be read as often as needed through Body.
func (c *Checker) Do(t testing.TB, h http.Handler, r *http.Request) *Answer {
	t.Helper()
	body := drain(t, r)
	if err := c.checkRequest(r, body); err != nil {
		t.Errorf("%s %s: the document refuses the request: %v", r.Method, r.URL.Path, err)
	}
	return c.serve(t, h, r, body)
}

// DoInvalid is Do for a request that the document must refuse.
func (c *Checker) DoInvalid(t testing.TB, h http.Handler, r *http.Request) *Answer {
	t.Helper()
	body := drain(t, r)
	if err := c.checkRequest(r, body); err == nil {
		t.Errorf("%s %s: the document accepts the request", r.Method, r.URL.Path)
	}
	return c.serve(t, h, r, body)
}

// DoAny is Do for a request that no document can judge.
func (c *Checker) DoAny(t testing.TB, h http.Handler, r *http.Request) *Answer {
	t.Helper()
	return c.serve(t, h, r, drain(t, r))
}

// Answer is a checked answer.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

func drain(t testing.TB, r *http.Request) []byte {
	t.Helper()
	if r.Body == nil {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("request body: %v", err)
	}
	return body
}

func (c *Checker) checkRequest(r *http.Request, body []byte) error {
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	route, params, err := c.requests.FindRoute(r)
	if err != nil {
		return err
	}
	return openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: route, Options: options()})
}

func (c *Checker) serve(t testing.TB, h http.Handler, r *http.Request, body []byte) *Answer {
	t.Helper()
	r.Body = io.NopCloser(bytes.NewReader(body))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	a := &Answer{Status: rec.Code, Header: rec.Result().Header, Body: rec.Body.Bytes()}
	if err := c.checkAnswer(r, a); err != nil {
		t.Errorf("%s %s: the document refuses the answer %d %s: %v", r.Method, r.URL.Path,
			a.Status, a.Body, err)
	}
	if strings.Contains(a.Header.Get("Content-Type"), "json") && hasNull(a.Body) {
		t.Errorf("%s %s: null or broken JSON in the answer %s", r.Method, r.URL.Path, a.Body)
	}
	if err := checkContract(r, a); err != nil {
		t.Errorf("%s %s: a strict client of the contract throws on %s: %v", r.Method, r.URL.Path,
			a.Body, err)
	}
	return a
}

// checkContract holds a success to IO's public contract, whose strict clients throw on a member
// that it lacks. A client that asks for more gets more.
func checkContract(r *http.Request, a *Answer) error {
	o := contract.Find(r.Method, r.URL.Path)
	if o == nil || o.Answer == "" || a.Status >= 300 || r.Header.Get("Prefer") != "" ||
		a.Header.Get("Content-Type") != "application/json" {
		return nil
	}
	return o.Strict(a.Body)
}

func (c *Checker) checkAnswer(r *http.Request, a *Answer) error {
	route, params, err := c.answers.FindRoute(r)
	if err != nil {
		return err
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: r, PathParams: params, Route: route, Options: options()},
		Status: a.Status, Header: a.Header, Options: options()}
	return openapi3filter.ValidateResponse(r.Context(), in.SetBodyBytes(a.Body))
}

func options() *openapi3filter.Options {
	return &openapi3filter.Options{
		AuthenticationFunc:    openapi3filter.NoopAuthenticationFunc,
		IncludeResponseStatus: true,
		SkipSettingDefaults:   true,
	}
}

// hasNull reports whether b holds a null anywhere, or is not JSON.
func hasNull(b []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(b))
	for {
		tok, err := d.ReadToken()
		if err != nil {
			return err != io.EOF
		}
		if tok.Kind() == 'n' {
			return true
		}
	}
}
