package openapitest

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/internal/problem"
)

const document = `
openapi: 3.0.3
info: { title: t, version: v }
servers: [{ url: /base }]
paths:
  /things:
    post:
      requestBody:
        required: true
        content:
          application/json:
            schema: { $ref: '#/components/schemas/Thing' }
      responses:
        '200':
          description: d
          headers:
            X-Count: { required: true, schema: { type: integer } }
          content:
            application/json:
              schema: { $ref: '#/components/schemas/Thing' }
components:
  schemas:
    Thing:
      type: object
      required: [name]
      properties:
        name: { type: string }
        parts:
          type: array
          items:
            type: object
            properties:
              size: { type: integer, nullable: true }
`

// probe is a test that only counts its failures.
type probe struct {
	testing.TB
	failed []string
}

func (p *probe) Helper()                   {}
func (p *probe) Errorf(f string, a ...any) { p.failed = append(p.failed, f) }

func loadThings(t *testing.T) *Checker {
	path := filepath.Join(t.TempDir(), "doc.yaml")
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(t, path)
}

func exchange(t *testing.T, status int, count, body string) (
	http.Handler, func(string) *http.Request) {
	t.Helper()
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if count != "" {
			w.Header().Set("X-Count", count)
		}
		w.WriteHeader(status)
		w.Write([]byte(body))
	})
	return h, func(body string) *http.Request {
		r := httptest.NewRequest("POST", "/base/things", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		return r
	}
}

func TestChecker(t *testing.T) {
	c := loadThings(t)
	for name, x := range map[string]struct {
		status                 int
		count, request, answer string
		failures               int
	}{
		"good": {200, "1", `{"name":"a","x":1}`,
			`{"name":"a","parts":[{"size":1}]}`, 0},
		"bad request":             {200, "1", `{}`, `{"name":"a"}`, 1},
		"undeclared status":       {201, "1", `{"name":"a"}`, `{"name":"a"}`, 1},
		"undeclared member":       {200, "1", `{"name":"a"}`, `{"name":"a","x":1}`, 1},
		"undeclared inner member": {200, "1", `{"name":"a"}`, `{"name":"a","parts":[{"x":1}]}`, 1},
		"missing member":          {200, "1", `{"name":"a"}`, `{}`, 1},
		"missing header":          {200, "", `{"name":"a"}`, `{"name":"a"}`, 1},
		"wrong header":            {200, "many", `{"name":"a"}`, `{"name":"a"}`, 1},
		"null that is allowed":    {200, "1", `{"name":"a"}`, `{"name":"a","parts":[{"size":null}]}`, 1},
		"broken JSON":             {200, "1", `{"name":"a"}`, `{"name":`, 2},
	} {
		h, request := exchange(t, x.status, x.count, x.answer)
		p := &probe{TB: t}
		if a := c.Do(p, h, request(x.request)); a.Status != x.status || string(a.Body) != x.answer {
			t.Errorf("%s: answer %d %s", name, a.Status, a.Body)
		}
		if got := len(p.failed); got != x.failures {
			t.Errorf("%s: %d failures %q, want %d", name, got, p.failed, x.failures)
		}
		p = &probe{TB: t}
		c.DoInvalid(p, h, request(x.request))
		want := x.failures + 1
		if name == "bad request" {
			want = 0
		}
		if got := len(p.failed); got != want {
			t.Errorf("%s: DoInvalid: %d failures %q, want %d", name, got, p.failed, want)
		}
	}
	if got := c.Operations()["POST /things"]; len(got) != 1 || got[0] != "200" {
		t.Errorf("operations %v", c.Operations())
	}
}

func TestCheckProblems(t *testing.T) {
	path := filepath.Join(t.TempDir(), "problems.md")
	text := "## One\n| type | status | title | when |\n|---|---|---|---|\n" +
		"| `a` | 400 | A | x |\n| `b` | 409 | B | x |\n## Two\n| `c` | 400 | C | x |\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a := problem.Problem{Type: "a", Status: 400, Title: "A"}
	b := problem.Problem{Type: "b", Status: 409, Title: "B"}
	for name, x := range map[string]struct {
		list     []problem.Problem
		failures int
	}{
		"same":         {[]problem.Problem{a, b}, 0},
		"undocumented": {[]problem.Problem{a, b, {Type: "c", Status: 400, Title: "C"}}, 1},
		"unanswered":   {[]problem.Problem{a}, 1},
		"other status": {[]problem.Problem{a, {Type: "b", Status: 400, Title: "B"}}, 1},
		"other title":  {[]problem.Problem{a, {Type: "b", Status: 409, Title: "C"}}, 1},
	} {
		p := &probe{TB: t}
		CheckProblems(p, path, "One", x.list)
		if got := len(p.failed); got != x.failures {
			t.Errorf("%s: %d failures %q, want %d", name, got, p.failed, x.failures)
		}
	}
}
