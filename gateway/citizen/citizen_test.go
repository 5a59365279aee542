package citizen

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/openapitest"
)

const (
	codeA = fiscalcode.Code("RSSMRA85T10A562S")
	codeB = fiscalcode.Code("VRDLGU80A01H501W")
	codeC = fiscalcode.Code("BNCPLA90B41F205X") // not listed
)

// bench is an API over a federation in memory, its exchanges held against the document.
type bench struct {
	t       *testing.T
	fed     *federation
	mux     *http.ServeMux
	checker *openapitest.Checker
	log     *bytes.Buffer
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchWith(t, Config{TestLogin: &TestLogin{Codes: map[fiscalcode.Code]TestCitizen{
		codeA: {Name: "Maria", FamilyName: "Rossi", Email: "maria.rossi@example.com",
			DateOfBirth: "1985-12-10"},
		codeB: {},
	}}})
}

func newBenchWith(t *testing.T, cfg Config) *bench {
	t.Helper()
	b := &bench{t: t, fed: newFederation(), mux: http.NewServeMux(),
		checker: openapitest.Load(t, "../../api/citizens.yaml"), log: new(bytes.Buffer)}
	cfg.Relay = b.fed
	cfg.Registerer = prometheus.NewPedanticRegistry()
	cfg.Logger = slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	api, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	api.Register(b.mux)
	t.Cleanup(func() {
		for _, secret := range []string{string(codeA), string(codeB), string(codeC), "example.com"} {
			if strings.Contains(b.log.String(), secret) {
				t.Errorf("the log shows %q", secret)
			}
		}
	})
	return b
}

func request(method, path, token, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

// do makes a valid request and expects a status. It decodes the answer into a map.
func (b *bench) do(method, path, token, body string, want int) map[string]any {
	b.t.Helper()
	return b.expect(b.checker.Do(b.t, b.mux, request(method, path, token, body)), want)
}

// doInvalid makes a request that the document refuses.
func (b *bench) doInvalid(method, path, token, body string, want int) map[string]any {
	b.t.Helper()
	return b.expect(b.checker.DoInvalid(b.t, b.mux, request(method, path, token, body)), want)
}

// doAny makes a request that may or may not be as the document says.
func (b *bench) doAny(method, path, token, body string, want int) map[string]any {
	b.t.Helper()
	return b.expect(b.checker.DoAny(b.t, b.mux, request(method, path, token, body)), want)
}

func (b *bench) expect(a *openapitest.Answer, want int) map[string]any {
	b.t.Helper()
	if a.Status != want {
		b.t.Fatalf("got status %d %s, want %d", a.Status, a.Body, want)
	}
	got := map[string]any{}
	if want == http.StatusNoContent {
		if len(a.Body) > 0 {
			b.t.Errorf("204 with a body: %s", a.Body)
		}
	} else if err := json.Unmarshal(a.Body, &got); err != nil {
		b.t.Fatalf("answer %s: %v", a.Body, err)
	}
	if a.Header.Get("Cache-Control") != "no-store" {
		b.t.Error("the answer may be kept in caches")
	}
	if want == 401 && a.Header.Get("WWW-Authenticate") != "Bearer" {
		b.t.Error("401 without a challenge")
	}
	if want >= 400 {
		b.checkProblem(got, want)
	}
	return got
}

func (b *bench) checkProblem(got map[string]any, status int) {
	b.t.Helper()
	for _, p := range problems {
		if got["type"] == p.Type.URN() && p.Status == status {
			return
		}
	}
	b.t.Errorf("problem %v of status %d is not in the list", got["type"], status)
}

func (b *bench) login(code fiscalcode.Code) string {
	b.t.Helper()
	got := b.do("POST", "/test-login", "", `{"username":"`+string(code)+`","password":"test"}`, 200)
	return got["token"].(string)
}

// want compares members of an answer.
func (b *bench) want(got map[string]any, want map[string]any) {
	b.t.Helper()
	for name, v := range want {
		if !equal(got[name], v) {
			b.t.Errorf("%s: got %v, want %v", name, got[name], v)
		}
	}
}

func equal(a, b any) bool {
	x, _ := json.Marshal(a, json.Deterministic(true))
	y, _ := json.Marshal(b, json.Deterministic(true))
	return bytes.Equal(x, y)
}

func TestProblemsAreDocumented(t *testing.T) {
	openapitest.CheckProblems(t, "../../docs/problems.md", "Citizens", problems)
}

func TestConfig(t *testing.T) {
	if _, err := New(Config{SessionTTL: -1, InFlightMax: -1}); err == nil ||
		strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v, want three problems", err)
	}
	if _, err := New(Config{Relay: newFederation(), SessionTTL: sessionMax + 1}); err == nil {
		t.Error("a session of more than a year passes")
	}
	if _, err := New(Config{Relay: newFederation()}); err != nil {
		t.Error(err)
	}
	r := prometheus.NewRegistry()
	for i, want := range []bool{true, false} {
		if _, err := New(Config{Relay: newFederation(), Registerer: r}); (err == nil) != want {
			t.Errorf("registration %d: got %v", i, err)
		}
	}
}
