package gateway

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/staffetta/staffetta/gateway/citizen"
	"github.com/staffetta/staffetta/gateway/institution"
	"github.com/staffetta/staffetta/gateway/login"
	"github.com/staffetta/staffetta/gateway/operation"
	"github.com/staffetta/staffetta/internal/contract"
	"github.com/staffetta/staffetta/internal/problem"
)

// declared are the operations of every API.
func declared() []operation.Operation {
	ready := func() error { return nil }
	return slices.Concat(institution.Operations(), citizen.Operations(), login.Operations(),
		operation.Of(statuses(ready, nil)))
}

// document is one of api/*.yaml: which paths it describes, below what, and how a caller is known.
type document struct {
	file, base string
	schemes    map[operation.By]string
}

var documents = []document{
	{"../api/institutions.yaml", "/api/v1", map[operation.By]string{operation.Key: "SubscriptionKey"}},
	{"../api/citizens.yaml", "", map[operation.By]string{operation.Session: "session"}},
}

// documentOf is the one that an operation stands in.
func documentOf(o *operation.Operation) *document {
	if strings.HasPrefix(o.Path, documents[0].base+"/") {
		return &documents[0]
	}
	return &documents[1]
}

// TestDeclared: the documents say what is declared, of every operation and of no other.
func TestDeclared(t *testing.T) {
	for i := range documents {
		d := &documents[i]
		doc, err := openapi3.NewLoader().LoadFromFile(d.file)
		if err != nil {
			t.Fatal(err)
		}
		left := map[string]*openapi3.Operation{}
		for path, item := range doc.Paths.Map() {
			for method, op := range item.Operations() {
				op.Parameters = append(op.Parameters, item.Parameters...)
				left[method+" "+d.base+path] = op
			}
		}
		for _, o := range declared() {
			if o.ID == "" || documentOf(&o) != d {
				continue
			}
			// A document does not tell the last part of a path from the rest of one.
			pattern := strings.ReplaceAll(o.Pattern(), "...}", "}")
			op := left[pattern]
			delete(left, pattern)
			if op == nil {
				t.Errorf("%s is served and not documented", o.Pattern())
				continue
			}
			d.compare(t, doc, op, &o)
		}
		for pattern := range left {
			t.Errorf("%s is documented and not served", pattern)
		}
	}
}

// compare holds an operation of a document against its declaration.
func (d *document) compare(t *testing.T, doc *openapi3.T, op *openapi3.Operation,
	o *operation.Operation) {
	t.Helper()
	if op.OperationID != o.ID {
		t.Errorf("%s: the document calls it %s, the code %s", o.Pattern(), op.OperationID, o.ID)
	}
	known := doc.Security
	if op.Security != nil {
		known = *op.Security
	}
	var schemes []string
	for _, requirement := range known {
		for scheme := range requirement {
			schemes = append(schemes, scheme)
		}
	}
	if got, want := strings.Join(schemes, " "), d.schemes[o.By]; got != want {
		t.Errorf("%s: the document asks for %q, the code for %q", o.Pattern(), got, want)
	}
	body := ""
	if op.RequestBody != nil {
		body = types(op.RequestBody.Value.Content)
	}
	if body != o.Body.Type {
		t.Errorf("%s: the document's body is %q, the code's %q", o.Pattern(), body, o.Body.Type)
	}
	var statuses []int
	for s := range op.Responses.Map() {
		n, _ := strconv.Atoi(s)
		statuses = append(statuses, n)
	}
	if got, want := sorted(statuses), sorted(o.Answers); !slices.Equal(got, want) {
		t.Errorf("%s: the document answers %v, the code %v", o.Pattern(), got, want)
	}
	want := o.Type
	if want == "" && o.Success() < 300 && o.Success() != http.StatusNoContent {
		want = "application/json"
	}
	if r := op.Responses.Status(o.Success()); r != nil && types(r.Value.Content) != want {
		t.Errorf("%s: the document's success is %q, the code's %q", o.Pattern(),
			types(r.Value.Content), want)
	}
	var names []string
	for _, p := range op.Parameters {
		if p.Value.In == "path" {
			names = append(names, p.Value.Name)
		}
	}
	if got, want := sorted(names), sorted(parts(o.Path)); !slices.Equal(got, want) {
		t.Errorf("%s: the document's path has %v, the code's %v", o.Pattern(), got, want)
	}
}

func types(content openapi3.Content) string {
	var list []string
	for name := range content {
		list = append(list, name)
	}
	return strings.Join(sorted(list), " ")
}

// parts are the names of a path's parts that vary.
func parts(path string) (names []string) {
	for _, m := range regexp.MustCompile(`\{(\w+)(\.\.\.)?\}`).FindAllStringSubmatch(path, -1) {
		names = append(names, m[1])
	}
	return names
}

func sorted[T string | int](list []T) []T {
	return slices.Sorted(slices.Values(list))
}

// TestDeclarations: each makes sense by itself.
func TestDeclarations(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range declared() {
		if seen[o.Pattern()] {
			t.Errorf("%s is declared twice", o.Pattern())
		}
		seen[o.Pattern()] = true
		if !o.Served() {
			if len(o.Answers) != 1 || o.ID != "" || o.Body != (operation.Body{}) {
				t.Errorf("%s is not served, and has more than 501", o.Pattern())
			}
			continue
		}
		for status, is := range map[int]bool{
			http.StatusUnauthorized: o.By != operation.Anyone,
			http.StatusForbidden:    len(o.Scopes) > 0 || o.Bars != "",
			http.StatusBadRequest:   o.Body.Type != "",
		} {
			if is && !o.Has(status) {
				t.Errorf("%s can be refused with %d, which it does not list", o.Pattern(), status)
			}
		}
		if o.Success() >= 400 || http.StatusText(o.Success()) == "" {
			t.Errorf("%s succeeds with %d", o.Pattern(), o.Success())
		}
		for _, scope := range append(slices.Clone(o.Scopes), o.Bars) {
			if scope != "" && !contract.KnownScope(scope) {
				t.Errorf("%s needs %s, which is no scope of the contract", o.Pattern(), scope)
			}
		}
		if o.Body.Max > 0 && o.Body.Type == "" || (o.Scopes != nil || o.Metered) &&
			o.By != operation.Key {
			t.Errorf("%s: a bound of no body, or a scope of nobody", o.Pattern())
		}
	}
}

// TestProblemTypes: a type means one thing, whichever API answers it.
func TestProblemTypes(t *testing.T) {
	seen := map[problem.Type]bool{}
	for _, p := range slices.Concat(problem.Common(), institution.Problems(), citizen.Problems(),
		login.Problems()) {
		if seen[p.Type] || p.Title == "" || http.StatusText(p.Status) == "" {
			t.Errorf("problem %s: twice, without title, or of no status", p.Type)
		}
		seen[p.Type] = true
	}
}
