package citizen

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/gateway/session"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/trail"
	"github.com/staffetta/staffetta/wire"
)

func TestTestLogin(t *testing.T) {
	b := newBench(t)
	login := func(body string, want int) map[string]any {
		t.Helper()
		return b.doAny("POST", "/test-login", "", body, want)
	}
	user := `"username":"` + string(codeA) + `"`

	token := b.login(codeA)
	tag, ok := session.Parse(token)
	if home := b.fed.Home(); !ok || tag != home.Tag {
		t.Errorf("got a token of tag %d (valid %v), want the home region's %d", tag, ok, home.Tag)
	}
	b.do("POST", "/api/auth/v1/test-login", "", `{`+user+`,"password":"test"}`, 200)
	b.do("POST", "/test-login", "", `{"username":"`+strings.ToLower(string(codeA))+
		`","password":"test","home_region":"lazio"}`, 200)

	for body, want := range map[string]int{
		`{` + user + `,"password":"Test"}`:                           401,
		`{` + user + `,"password":""}`:                               401,
		`{"username":"` + string(codeC) + `","password":"test"}`:     401,
		`{` + user + `,"password":"test","home_region":"sicilia"}`:   409,
		`{` + user + `,"password":"test","home_region":"atlantide"}`: 400,
		`{` + user + `,"password":"test","home_region":"Lazio"}`:     400,
		`{` + user + `,"password":"test","home_region":null}`:        400,
		`{` + user + `}`:                                        400,
		`{` + user + `,"password":7}`:                           400,
		`{"password":"test"}`:                                   400,
		`{"username":"","password":"test"}`:                     400,
		`{"username":"ſSSMRA85T10A562S","password":"test"}`:     400,
		`{"username":"\u017fSSMRA85T10A562","password":"test"}`: 400,
		``:                                   400,
		`[]`:                                 400,
		`null`:                               400,
		`{` + user + `,"password":"test"`:    400,
		`{` + user + `,"password":"test"} x`: 400,
		`{` + user + `,"password":"test"}{}`: 400,
		`{` + user + `,"password":"test","password":"test"}`:                  400,
		`{` + user + `,"password":"test","pass\u0077ord":"test"}`:             400,
		`{` + user + `,"password":"test","x":"\"` + nest(90) + `"}`:           200,
		`{` + user + `,"password":"test","x":"\\",` + `"y":` + nest(90) + `}`: 400,
		`{` + user + `,"password":"test","x":` + nest(63) + `}`:               200,
		`{` + user + `,"password":"test","x":` + nest(64) + `}`:               400,
		`{` + user + `,"password":"test","x":` + nest(100_000) + `}`:          400,
		`{` + user + `,"password":"te` + "\xff" + `st"}`:                      400,
		`{` + user + `,"password":"` + strings.Repeat("x", 300_000) + `"}`:    400,
	} {
		if got := login(body, want); want >= 400 {
			if strings.Contains(got["detail"].(string), string(codeA)) {
				t.Errorf("the problem repeats the fiscal code")
			}
		}
	}
}

// What is wrong with the JSON itself is told by kind and place.
func TestBodyReport(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":1,"\u0061":2}`:             "two members of one name",
		`{"x":{"a":1,"a":2}}`:            "two members of one name",
		`{"a":1`:                         "not valid JSON, from byte 6 on",
		"{\"a\":\"\xff\"}":               "not UTF-8",
		`{} []`:                          "follows the JSON object",
		`{} nonsense`:                    "not valid JSON",
		``:                               "not valid JSON, from byte 0 on",
		`[1]`:                            "not a JSON object",
		nest(65):                         "deeper than 64",
		strings.Repeat(`{"a":`, 200_000): "deeper than 64",
	} {
		_, err := parseObject([]byte(body))
		if got := fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("%.40q: got %q, want %q", body, got, want)
		}
	}
	// An escape of half a character is valid JSON, and hides nothing that comes after it.
	o, err := parseObject([]byte(`{"a":"\ud83d","b":["\udfff","x"],"c":"y"}`))
	if err != nil {
		t.Fatal(err)
	}
	list, _ := o.Strings("b", "string", 5, func(string) bool { return true })
	if a := o.Text("a", "string", true, func(string) bool { return true }); a != "\ufffd" ||
		len(list) != 2 || o.Text("c", "string", true, func(string) bool { return true }) != "y" ||
		bodyProblem(o.Err()) != nil {
		t.Errorf("half a character: %q %q %v", a, list, bodyProblem(o.Err()))
	}
}

func nest(depth int) string {
	return strings.Repeat("[", depth) + strings.Repeat("]", depth)
}

func TestTestLoginDisabled(t *testing.T) {
	b := newBenchWith(t, Config{})
	b.do("POST", "/test-login", "", `{"username":"`+string(codeA)+`","password":"test"}`, 404)
}

func TestTestLoginAny(t *testing.T) {
	b := newBenchWith(t, Config{TestLogin: &TestLogin{Any: true, Password: "other"}})
	b.do("POST", "/test-login", "", `{"username":"`+string(codeC)+`","password":"other"}`, 200)
	b.do("POST", "/test-login", "", `{"username":"`+string(codeC)+`","password":"test"}`, 401)
}

func TestLoginFindsTheOwner(t *testing.T) {
	b := newBench(t)
	named := `{"username":"` + string(codeA) + `","password":"test","home_region":"sicilia"}`
	b.do("POST", "/test-login", "", named, 200)
	if got := b.fed.citizens[codeA].owner; got != "sicilia" {
		t.Fatalf("got owner %s, want the named region", got)
	}
	// With the directory, without it (the home region answers Moved), and by name.
	for _, deaf := range []error{nil, wire.Unavailable} {
		b.fed.deaf = deaf
		tag, _ := session.Parse(b.login(codeA))
		if region, _ := b.fed.RegionByTag(tag); region.ID != "sicilia" {
			t.Errorf("directory %v: got a token of %s, want sicilia", deaf, region.ID)
		}
		b.do("POST", "/test-login", "", named, 200)
		b.do("POST", "/test-login", "",
			strings.Replace(named, "sicilia", "veneto", 1), 409)
	}
	// A Moved that leads nowhere ends.
	for _, to := range []wire.RegionID{"", "atlantide", "lazio", "veneto"} {
		moved := 0
		b.fed.fault = func(wire.Method, bool) error {
			moved++
			if to == "veneto" && moved%2 == 0 {
				return &wire.Error{Code: wire.Moved, Region: "sicilia"}
			}
			return &wire.Error{Code: wire.Moved, Region: to}
		}
		b.do("POST", "/test-login", "", `{"username":"`+string(codeB)+`","password":"test"}`, 500)
		most := 1 + trail.HopsMax
		if to != "veneto" {
			most = 1 // nowhere else to ask
		}
		if moved > most {
			t.Errorf("to %q: asked %d times, want at most %d", to, moved, most)
		}
	}
}

// A login is sent again, with the same bytes, until the region answers or ten seconds are over;
// whether the lost one was applied or not.
func TestLoginRetries(t *testing.T) {
	for _, applied := range []bool{false, true} {
		for _, code := range []wire.Code{wire.Unavailable, wire.OutcomeUnknown, wire.NotLeader,
			wire.NotReady, wire.Overloaded, wire.Conflict} {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				failures := 3
				b.fed.fault = func(_ wire.Method, done bool) error {
					if failures == 0 || done != applied {
						return nil
					}
					failures--
					return wire.Errorf(code, "injected")
				}
				token := b.login(codeA)
				if got := b.fed.calls[wire.MethodOpenSession]; got != 4 {
					t.Errorf("%s: got %d calls, want 4", code, got)
				}
				if len(b.fed.sessions) != 1 {
					t.Errorf("%s: got %d sessions, want 1", code, len(b.fed.sessions))
				}
				b.do("GET", "/api/auth/v1/session", token, "", 200)
			})
		}
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.fed.fault = func(wire.Method, bool) error { return wire.Unavailable }
		began := time.Now()
		got := b.do("POST", "/test-login", "",
			`{"username":"`+string(codeA)+`","password":"test"}`, 500)
		b.want(got, map[string]any{"type": problemUnavailable.Type.URN()})
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("gave up after %v of virtual time, want 10s", took)
		}
	})
	// What cannot get better is not tried again.
	b := newBench(t)
	b.fed.fault = func(wire.Method, bool) error { return errors.New("broken") }
	b.do("POST", "/test-login", "", `{"username":"`+string(codeA)+`","password":"test"}`, 500)
	if got := b.fed.calls[wire.MethodOpenSession]; got != 1 {
		t.Errorf("got %d calls, want 1", got)
	}
}

func TestLogout(t *testing.T) {
	b := newBench(t)
	token := b.login(codeA)
	if got := b.do("POST", "/api/auth/v1/logout", token, "", 200); got["message"] != "ok" {
		t.Errorf("got %v", got)
	}
	b.do("POST", "/api/auth/v1/logout", token, "", 401)
	b.do("GET", "/api/identity/v1/profile", token, "", 401)
	// The answer to a logout is lost, or the logout itself.
	for _, applied := range []bool{true, false} {
		token = b.login(codeA)
		b.fed.fault = func(m wire.Method, done bool) error {
			if m == wire.MethodLogout && done == applied {
				return wire.OutcomeUnknown
			}
			return nil
		}
		b.do("POST", "/api/auth/v1/logout", token, "", 500)
		b.fed.fault = nil
		want := 200
		if applied {
			want = 401
		}
		b.do("POST", "/api/auth/v1/logout", token, "", want)
	}
}

func TestBearer(t *testing.T) {
	b := newBench(t)
	token := b.login(codeA)
	for _, headers := range [][]string{{"bearer " + token}, {"BEARER  " + token}} {
		r := request("GET", "/api/auth/v1/session", "", "")
		r.Header["Authorization"] = headers
		b.expect(b.checker.Do(t, b.mux, r), 200)
	}
	for _, headers := range [][]string{nil, {""}, {token}, {"Bearer"}, {"Bearer " + token[1:]},
		{"Basic " + token}, {"Bearer " + token, "Bearer " + token},
		{"Bearer " + strings.ToUpper(token)}, {"Bearer " + strings.Repeat("f", 10_000)},
		{"Bearer " + session.Mint(500)}, {"Bearer " + session.Mint(7)}} {
		r := request("GET", "/api/auth/v1/session", "", "")
		r.Header["Authorization"] = headers
		b.expect(b.checker.Do(t, b.mux, r), 401)
	}
}

func TestParseTestCitizens(t *testing.T) {
	got, err := ParseTestCitizens(strings.NewReader("# citizens\n\n" + string(codeA) +
		"\tMaria\tRossi\tmaria@example.com\t1985-12-10\r\n" + string(codeB) + "\n" +
		string(codeC) + "\t\t Bianchi \n"))
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[fiscalcode.Code]TestCitizen{
		codeA: {"Maria", "Rossi", "maria@example.com", "1985-12-10"},
		codeB: {}, codeC: {FamilyName: "Bianchi"},
	} {
		if c, ok := got[code]; !ok || c != want || len(got) != 3 {
			t.Errorf("got %+v (listed %v of %d), want %+v", c, ok, len(got), want)
		}
	}
	a := string(codeA)
	for _, bad := range []string{strings.ToLower(a), a[1:], a + "\tx\ty\tz", a + "\tx\ty\ta@b.it\t85",
		a + "\t1\t2\t\t\t", a + "\n" + a, a + "\t" + strings.Repeat("x", 300), a + "\t\xff",
		a + strings.Repeat(" ", 5000)} {
		if _, err := ParseTestCitizens(strings.NewReader("#\n" + bad)); err == nil {
			t.Errorf("%.40q passes", bad)
		} else if !strings.Contains(err.Error(), "line ") || strings.Contains(err.Error(), a) {
			t.Errorf("%.40q: got %q, want the line and no code", bad, err)
		}
	}
}
