package openapitest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// A guideline is a rule that a document must keep to enter the catalogue of the national
// interoperability platform, under the name that its checker (italia/api-oas-checker-rules,
// "Italian Guidelines Full") has for it, or a rule of what clients' generators need.
type guideline struct {
	name  string
	check func(d *described) []string
}

// described is an OpenAPI document and everything in it that rules are about.
type described struct {
	*openapi3.T
	operations map[string]*openapi3.Operation // by METHOD /path
	responses  map[string]*openapi3.Response  // by METHOD /path STATUS
	schemas    map[string]map[string]any      // by where they are
}

var guidelines = []guideline{
	{"paths-status", func(d *described) (faults []string) {
		item := d.Paths.Value("/status")
		if item == nil || item.Get == nil || item.Get.Responses.Value("200") == nil {
			return []string{"no GET /status with a 200"}
		}
		for status, r := range item.Get.Responses.Map() {
			if c := r.Value.Content; c["application/problem+json"] == nil &&
				(status[0] != '2' || c["application/json"] == nil) {
				faults = append(faults, "/status: "+status)
			}
		}
		return faults
	}},
	{"has-contact", func(d *described) []string {
		return unless(d.Info.Contact != nil && d.Info.Contact.URL+d.Info.Contact.Email != "", "info")
	}},
	{"has-x-summary", func(d *described) []string {
		s, _ := d.Info.Extensions["x-summary"].(string)
		return unless(s != "", "info")
	}},
	{"use-semver", func(d *described) []string {
		return unless(regexp.MustCompile(`^\d+\.\d+\.\d+`).MatchString(d.Info.Version), d.Info.Version)
	}},
	{"no-swagger-2", func(d *described) []string {
		return unless(strings.HasPrefix(d.OpenAPI, "3."), d.OpenAPI)
	}},
	{"servers-description", func(d *described) (faults []string) {
		for _, s := range d.Servers {
			faults = append(faults, unless(s.Description != "", s.URL)...)
		}
		return append(faults, unless(len(d.Servers) > 0, "no server")...)
	}},
	{"servers-use-https", func(d *described) (faults []string) {
		for _, s := range d.Servers {
			sandbox, _ := s.Extensions["x-sandbox"].(bool)
			faults = append(faults, unless(sandbox || strings.HasPrefix(s.URL, "https://"), s.URL)...)
		}
		return faults
	}},
	{"integer-format, number-format", func(d *described) (faults []string) {
		for at, s := range d.schemas {
			if s["type"] == "integer" || s["type"] == "number" {
				faults = append(faults, unless(s["format"] != nil, at)...)
			}
		}
		return faults
	}},
	{"use-problem-json-for-errors", func(d *described) (faults []string) {
		for at, r := range d.responses {
			own, _ := r.Extensions["x-noqa"].(bool)
			types := slices.Sorted(maps.Keys(r.Content))
			want := []string{"application/problem+json"}
			if own { // the contract's own form beside it
				want = []string{"application/json", "application/problem+json"}
			}
			if status := at[len(at)-3:]; status >= "400" && !slices.Equal(types, want) {
				faults = append(faults, fmt.Sprint(at, " ", types))
			}
		}
		return faults
	}},
	{"no-forbidden-headers", func(d *described) (faults []string) {
		for at, o := range d.operations {
			for _, p := range o.Parameters {
				if p.Value.In == "header" && slices.Contains([]string{"authorization",
					"content-type", "accept"}, strings.ToLower(p.Value.Name)) {
					faults = append(faults, at+" "+p.Value.Name)
				}
			}
		}
		return faults
	}},
	{"http-request-GET-no-body, http-request-DELETE-no-body", func(d *described) (faults []string) {
		for at, o := range d.operations {
			if at[:3] == "GET" || at[:3] == "DEL" {
				faults = append(faults, unless(o.RequestBody == nil, at)...)
			}
		}
		return faults
	}},
	{"http-response-no-content-204-205", func(d *described) (faults []string) {
		for at, r := range d.responses {
			if strings.HasSuffix(at, " 204") || strings.HasSuffix(at, " 205") {
				faults = append(faults, unless(len(r.Content) == 0, at)...)
			}
		}
		return faults
	}},
	{"patch-media-type, patch-without-request-body", func(d *described) (faults []string) {
		for at, o := range d.operations {
			if strings.HasPrefix(at, http.MethodPatch) && (o.RequestBody == nil ||
				!o.RequestBody.Value.Required || o.RequestBody.Value.Content["application/json"] != nil) {
				faults = append(faults, at)
			}
		}
		return faults
	}},
	{"ratelimit-429-completeness, missing-retry-after", func(d *described) (faults []string) {
		for at, r := range d.responses {
			if status := at[len(at)-3:]; status == "429" || status == "503" {
				faults = append(faults, unless(r.Headers["Retry-After"] != nil, at)...)
			}
			three := 0
			for name := range r.Headers {
				if regexp.MustCompile(`^(X-)?RateLimit-(Limit|Remaining|Reset)$`).MatchString(name) {
					three++
				}
			}
			faults = append(faults, unless(three == 0 || three == 3, at)...)
		}
		return faults
	}},
	{"sec-apikeys-url, sec-credentials-parameters", func(d *described) (faults []string) {
		for name, s := range d.Components.SecuritySchemes {
			faults = append(faults, unless(s.Value.In != "query", name)...)
		}
		for at, o := range d.operations {
			for _, p := range o.Parameters {
				if p.Value.In != "header" {
					faults = append(faults, unless(!regexp.MustCompile(
						`(?i)token|password|secret|apikey`).MatchString(p.Value.Name), at)...)
				}
			}
		}
		return faults
	}},
	{"operation-description", func(d *described) (faults []string) {
		for at, o := range d.operations {
			faults = append(faults, unless(o.Description != "" && o.Summary != "", at)...)
		}
		return faults
	}},
	{"paths-kebab-case", func(d *described) (faults []string) {
		for path := range d.Paths.Map() {
			faults = append(faults, unless(regexp.MustCompile(
				`^(/([a-z0-9-]+|\{[a-z_]+\}))+$`).MatchString(path), path)...)
		}
		return faults
	}},
	// IO's generator of clients knows parameters of a type of their own only, and its generator of
	// models no array whose elements are not named.
	{"parameters with a type, elements with a name", func(d *described) (faults []string) {
		for at, o := range d.operations {
			for _, p := range o.Parameters {
				s := p.Value.Schema
				faults = append(faults, unless(s.Ref == "" && s.Value.Type != nil,
					at+" "+p.Value.Name)...)
			}
		}
		for at, s := range d.schemas {
			items, _ := s["items"].(map[string]any)
			faults = append(faults, unless(items["anyOf"] == nil && items["allOf"] == nil, at)...)
		}
		return faults
	}},
	// IO's generator of clients writes no type in the place of a body whose schema has no name, which
	// is an error of syntax, and takes an answer that is an anyOf for nothing.
	{"bodies and answers with a name", func(d *described) (faults []string) {
		named := func(at string, content openapi3.Content) {
			if c := content["application/json"]; c != nil && c.Schema != nil {
				faults = append(faults, unless(c.Schema.Ref != "", at)...)
			}
		}
		for at, o := range d.operations {
			if o.RequestBody != nil {
				named(at, o.RequestBody.Value.Content)
			}
		}
		for at, r := range d.responses {
			named(at, r.Content)
		}
		return faults
	}},
	// IO's generator of models makes nothing of an anyOf that has a name, and refers to it.
	{"models without anyOf", func(d *described) (faults []string) {
		for name, s := range d.Components.Schemas {
			faults = append(faults, unless(len(s.Value.AnyOf) == 0, name)...)
		}
		return faults
	}},
	// IO's generator of models makes of an allOf in the place of a member a program with an error
	// of syntax: a member refers to its schema, or is one.
	{"members without allOf", func(d *described) (faults []string) {
		for at, s := range d.schemas {
			members, _ := s["properties"].(map[string]any)
			for name, m := range members {
				m, _ := m.(map[string]any)
				faults = append(faults, unless(m["allOf"] == nil, at+"."+name)...)
			}
		}
		return faults
	}},
}

func unless(ok bool, fault string) []string {
	if ok {
		return nil
	}
	return []string{fault}
}

func newDocument(t *testing.T, doc *openapi3.T) *described {
	d := &described{T: doc, operations: map[string]*openapi3.Operation{},
		responses: map[string]*openapi3.Response{}, schemas: map[string]map[string]any{}}
	for path, item := range doc.Paths.Map() {
		for method, o := range item.Operations() {
			at := method + " " + path
			d.operations[at] = o
			for status, r := range o.Responses.Map() {
				d.responses[at+" "+status] = r.Value
			}
		}
	}
	text, err := doc.MarshalJSON()
	var all any
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.walk(all, "")
	if len(d.operations) == 0 || len(d.schemas) == 0 {
		t.Fatalf("the document has %d operations, %d schemas", len(d.operations), len(d.schemas))
	}
	return d
}

// walk finds everything that has a type, wherever a document may have a schema.
func (d *described) walk(v any, at string) {
	switch v := v.(type) {
	case map[string]any:
		if _, typed := v["type"].(string); typed {
			d.schemas[at] = v
		}
		for name, part := range v {
			d.walk(part, at+"/"+name)
		}
	case []any:
		for i, part := range v {
			d.walk(part, fmt.Sprint(at, "/", i))
		}
	}
}

func TestGuidelines(t *testing.T) {
	paths, err := filepath.Glob("../../api/*.yaml")
	if err != nil || len(paths) != 2 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		doc, err := openapi3.NewLoader().LoadFromFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := doc.Validate(t.Context()); err != nil { // examples included
			t.Errorf("%s: %v", path, err)
		}
		d := newDocument(t, doc)
		for _, g := range guidelines {
			for _, fault := range g.check(d) {
				t.Errorf("%s: %s: %s", filepath.Base(path), g.name, fault)
			}
		}
	}
}

// TestGuidelinesBite: each rule finds its fault in a document that has them all.
func TestGuidelinesBite(t *testing.T) {
	const bad = `
openapi: 3.0.3
info: { title: t, version: one }
servers: [{ url: http://example.com }]
components:
  securitySchemes: { k: { type: apiKey, in: query, name: k } }
  schemas:
    A: { type: object, properties: { n: { type: integer } } }
    C: { anyOf: [{ $ref: '#/components/schemas/A' }] }
    B: { type: object, properties: { a: { allOf: [{ $ref: '#/components/schemas/A' }] } } }
paths:
  /Bad_path:
    get:
      requestBody: { content: { application/json: { schema: { type: number } } } }
      parameters:
        - { name: Accept, in: header, schema: { $ref: '#/components/schemas/A' } }
      responses:
        '204': { description: d, content: { text/plain: {} } }
        '429': { description: d, headers: { RateLimit-Limit: { schema: { type: string } } } }
    patch:
      responses: { '200': { description: d } }
`
	doc, err := openapi3.NewLoader().LoadFromData([]byte(bad))
	if err != nil {
		t.Fatal(err)
	}
	d := newDocument(t, doc)
	for _, g := range guidelines {
		if found := g.check(d); len(found) == 0 && g.name != "no-swagger-2" {
			t.Errorf("%s finds nothing", g.name)
		}
	}
}
