package operation

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/asof"
	"github.com/staffetta/staffetta/internal/contract"
	"github.com/staffetta/staffetta/internal/problem"
)

// served is an API of one operation, and what happened to its requests, in order.
func served(t *testing.T, o Operation, admit error, serve func(*Call) error) (*http.ServeMux,
	*[]string) {
	t.Helper()
	steps := new([]string)
	note := func(s string) { *steps = append(*steps, s) }
	api := API[*Call]{
		Begin: func(c Call) *Call { note("begin " + c.Op.ID); return &c },
		Admit: func(*Call) error { note("admit"); return admit },
		Refuse: func(c *Call, err error) {
			note("refuse")
			problem.Write(c.W, problem.From(err))
		},
		Slash: o.Path == "/slash",
	}
	row := Row[*Call]{Operation: o}
	if serve != nil {
		row.Serve = func(c *Call) error { note("serve"); return serve(c) }
	}
	mux := http.NewServeMux()
	api.Register(mux, []Row[*Call]{row})
	return mux, steps
}

func do(mux *http.ServeMux, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

func TestOrder(t *testing.T) {
	refused := problem.Problem{Type: "no", Status: 403, Title: "no"}
	answer := func(c *Call) error { return c.Answer(struct{}{}) }
	for name, x := range map[string]struct {
		admit  error
		serve  func(*Call) error
		status int
		steps  string
	}{
		"served":           {nil, answer, 202, "begin x,admit,serve"},
		"not let in":       {refused, answer, 403, "begin x,admit,refuse"},
		"refused":          {nil, func(*Call) error { return refused }, 403, "begin x,admit,serve,refuse"},
		"nobody serves it": {nil, nil, 501, "begin x,admit,refuse"},
		"whoever asks":     {refused, nil, 403, "begin x,admit,refuse"},
		"no JSON": {nil, func(c *Call) error { return c.Answer("\xff") }, 500,
			"begin x,admit,serve,refuse"},
	} {
		mux, steps := served(t, Operation{ID: "x", Method: "POST", Path: "/x",
			Answers: []int{202, 403}}, x.admit, x.serve)
		w := do(mux, httptest.NewRequest("POST", "/x", nil))
		if got := strings.Join(*steps, ","); w.Code != x.status || got != x.steps {
			t.Errorf("%s: %d after %s, want %d after %s", name, w.Code, got, x.status, x.steps)
		}
		for path, want := range map[string]int{"/x/": 404, "/y": 404} {
			if w := do(mux, httptest.NewRequest("POST", path, nil)); w.Code != want {
				t.Errorf("%s: %s is %d", name, path, w.Code)
			}
		}
		if w := do(mux, httptest.NewRequest("GET", "/x", nil)); w.Code != 405 {
			t.Errorf("%s: another method is %d", name, w.Code)
		}
	}
	mux, _ := served(t, Operation{Method: "GET", Path: "/slash", Answers: []int{200}}, nil, answer)
	for _, path := range []string{"/slash", "/slash/"} {
		if w := do(mux, httptest.NewRequest("GET", path, nil)); w.Code != 200 {
			t.Errorf("%s is %d", path, w.Code)
		}
	}
}

// A body is read within its declaration, by whoever reads it.
func TestBody(t *testing.T) {
	for name, x := range map[string]struct {
		body                     Body
		kind, coding, text, want string
	}{
		"fits":              {Body{Type: "a/b", Max: 4}, "", "", "four", ""},
		"too large":         {Body{Type: "a/b", Max: 3}, "", "", "four", "body-too-large"},
		"another type":      {Body{Type: "a/b", Max: 4}, "c/d", "", "four", ""},
		"which is insisted": {Body{Type: "a/b", Max: 4, Insists: "X"}, "c/d", "", "four", "unsupported-media-type"},
		"parameters":        {Body{Type: "a/b", Max: 4, Insists: "X"}, "a/b; q=1", "", "four", ""},
		"encoded":           {Body{Type: "a/b", Max: 4}, "", "gzip", "four", "unsupported-media-type"},
	} {
		for _, whole := range []bool{true, false} {
			r := httptest.NewRequest("POST", "/", strings.NewReader(x.text))
			r.Header.Set("Content-Type", x.kind)
			r.Header.Set("Content-Encoding", x.coding)
			c := Call{W: httptest.NewRecorder(), R: r, Op: &Operation{Body: x.body}}
			var b []byte
			err := c.CheckBody()
			if want := x.want; whole {
				b, err = c.ReadBody(nil)
			} else if want == "body-too-large" {
				continue // its handler's to bound
			} else if err == nil {
				b, _ = io.ReadAll(r.Body)
			}
			var p problem.Problem
			if errors.As(err, &p); string(p.Type) != x.want || err == nil && string(b) != x.text {
				t.Errorf("%s, whole %v: %q, %v", name, whole, b, err)
			}
		}
	}
}

func TestPrefers(t *testing.T) {
	for header, want := range map[string]bool{
		"return=representation":            true,
		`Return = "representation" ; a=b`:  true,
		"wait=5, return=representation":    true,
		"return=minimal":                   false,
		"return":                           false,
		"respond-async;return=represented": false,
		"":                                 false,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Add("Prefer", "wait=1")
		r.Header.Add("Prefer", header)
		w := httptest.NewRecorder()
		c := Call{W: w, R: r}
		applied := map[bool]string{true: "return=representation"}[want]
		if got := c.Prefers("return=representation"); got != want ||
			w.Header().Get("Preference-Applied") != applied {
			t.Errorf("%q: %v, applied %q", header, got, w.Header().Get("Preference-Applied"))
		}
	}
}

func TestComplete(t *testing.T) {
	rows := Complete([]Row[int]{{Operation: Operation{Method: "GET", Path: "/a", ID: "a"}}},
		[]contract.Operation{{Method: "GET", Path: "/a"}, {Method: "PUT", Path: "/a"}}, Session)
	list := Of(rows)
	if len(list) != 2 || list[0].ID != "a" || list[1].Pattern() != "PUT /a" || list[1].Served() ||
		list[1].By != Session || rows[1].Serve != nil {
		t.Errorf("got %+v", list)
	}
}

// TestAsOf: what changes nothing may be answered as of an earlier time, which the answer says.
func TestAsOf(t *testing.T) {
	for _, c := range []struct {
		op   Operation
		want string
	}{
		{Operation{Method: "GET", Path: "/a", By: Session}, "2026-03-04T11:00:00Z"},
		{Operation{Method: "POST", Path: "/b", By: Session, Reads: true}, "2026-03-04T11:00:00Z"},
		{Operation{Method: "POST", Path: "/c", By: Session}, ""},
		{Operation{Method: "GET", Path: "/d", By: Key}, ""},
	} {
		c.op.Answers = []int{204}
		api := API[*Call]{Begin: func(c Call) *Call { return &c },
			Admit: func(*Call) error { return nil }, Refuse: func(*Call, error) {}}
		mux := http.NewServeMux()
		api.Register(mux, []Row[*Call]{{Operation: c.op, Serve: func(c *Call) error {
			asof.From(c.R.Context()).Note(time.Date(2026, 3, 4, 11, 0, 0, 0, time.UTC))
			return c.AnswerNothing()
		}}})
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(c.op.Method, c.op.Path, nil))
		if got := w.Header().Get(asof.Header); got != c.want || w.Code != 204 {
			t.Errorf("%s: got status %d as of %q, want %q", c.op.Pattern(), w.Code, got, c.want)
		}
	}
}
