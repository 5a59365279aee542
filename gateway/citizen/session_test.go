package citizen

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// deviceKey is the key of RFC 7517, A.1, as a login brings it, and its thumbprint.
var deviceKey = base64.RawURLEncoding.EncodeToString([]byte(`{"kty":"EC","crv":"P-256",` +
	`"x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",` +
	`"y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}`))

const deviceRef = "sha256-cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"

// loginWith logs in with more members of the body, as a device with a key.
func (b *bench) loginWith(more, key string, want int) string {
	b.t.Helper()
	r := request("POST", "/test-login", "", fmt.Sprintf(`{"username":"%s","password":"test"%s}`,
		codeA, more))
	r.Header.Set("User-Agent", "IO-App/3.38")
	if key != "" {
		r.Header.Set("x-pagopa-lollipop-pub-key", key)
	}
	got := b.expect(b.checker.Do(b.t, b.mux, r), want)
	token, _ := got["token"].(string)
	return token
}

func TestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.fed.home = "veneto"
		token := b.loginWith("", deviceKey, 200)
		all := b.do("GET", "/api/auth/v1/session", token, "", 200)
		b.want(all, map[string]any{"spidLevel": "https://www.spid.gov.it/SpidL2",
			"lollipopAssertionRef": deviceRef,
			"expirationDate":       wire.TimeOf(time.Now().Add(30 * 24 * time.Hour)).String()})
		tokens := map[any]bool{token: true}
		for _, name := range []string{"walletToken", "myPortalToken", "bpdToken", "zendeskToken",
			"fimsToken"} {
			if v, _ := all[name].(string); len(v) != 64 || tokens[v] {
				t.Errorf("%s: got %q", name, v)
			}
			tokens[all[name]] = true
			b.doAny("GET", "/api/auth/v1/session", all[name].(string), "", 401)
		}
		only := func(names ...string) map[string]any {
			m := map[string]any{}
			for _, n := range names {
				m[n] = all[n]
			}
			return m
		}
		for fields, want := range map[string]map[string]any{
			"":                                     all,
			"?fields=(spidLevel)":                  only("spidLevel"),
			"?fields=(expirationDate,walletToken)": only("expirationDate", "walletToken"),
			"?fields=(lollipopAssertionRef,x)":     only("lollipopAssertionRef"),
			"?fields=()":                           {},
		} {
			if got := b.do("GET", "/api/auth/v1/session"+fields, token, "", 200); !equal(got, want) {
				t.Errorf("%s: got %v, want %v", fields, got, want)
			}
		}
		for _, bad := range []string{"?fields=", "?fields=spidLevel", "?fields=(a,)", "?fields=(a+b)",
			"?fields=(a)&fields=(b)", "?fields=%zz"} {
			b.doAny("GET", "/api/auth/v1/session"+bad, token, "", 400)
		}
		time.Sleep(30 * 24 * time.Hour)
		b.do("GET", "/api/auth/v1/session", token, "", 401)
	})
}

func TestUserIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		token := b.loginWith(`,"spid_level":"SpidL3"`, deviceKey, 200)
		opened := time.Now().UnixMilli()
		time.Sleep(90 * time.Second)
		got := b.do("GET", "/api/auth/v1/user-identity", token, "", 200)
		b.want(got, map[string]any{"name": "Maria", "family_name": "Rossi",
			"fiscal_code": string(codeA), "date_of_birth": "1985-12-10",
			"spid_email": "maria.rossi@example.com", "assertion_ref": deviceRef,
			"spid_level": "https://www.spid.gov.it/SpidL3", "spid_idp": "test-login",
			"created_at": float64(opened), "token_remaining_ttl": float64(30*24*3600 - 90)})
		// Without a key, and in a region that keeps no level.
		b.fed.before = true
		got = b.do("GET", "/api/auth/v1/user-identity", b.login(codeB), "", 200)
		if got["spid_level"] != "https://www.spid.gov.it/SpidL2" || got["assertion_ref"] != nil {
			t.Errorf("got %v", got)
		}
	})
}

func TestSessionsOfACitizen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var tokens []string
		for _, more := range []string{`,"device":"telefono di Maria"`, `,"spid_level":"SpidL3"`, ``} {
			tokens = append(tokens, b.loginWith(more, "", 200))
			time.Sleep(time.Second)
		}
		other := b.login(codeB)
		items := func(token string) (list []map[string]any) {
			got := b.do("GET", "/api/auth/v1/sessions", token, "", 200)
			for _, v := range got["items"].([]any) {
				list = append(list, v.(map[string]any))
			}
			return list
		}
		list := items(tokens[1])
		if len(list) != 3 || list[0]["device"] != "telefono di Maria" ||
			list[1]["device"] != "IO-App/3.38" || list[1]["current"] != true ||
			list[0]["current"] != false ||
			list[1]["spid_level"] != "https://www.spid.gov.it/SpidL3" {
			t.Fatalf("got %v", list)
		}
		path := "/api/auth/v1/sessions"
		first := path + "/" + list[0]["id"].(string)
		b.do("DELETE", first, other, "", 404)
		b.do("DELETE", first, tokens[1], "", 200)
		b.do("GET", "/api/auth/v1/session", tokens[0], "", 401)
		b.do("DELETE", first, tokens[1], "", 404)
		for _, bad := range []string{"x", strings.Repeat("0", 32), strings.Repeat("F", 32)} {
			b.doAny("DELETE", path+"/"+bad, tokens[1], "", 404)
		}
		b.doAny("DELETE", path+"?keep_current=yes", tokens[1], "", 400)
		b.do("DELETE", path+"?keep_current=true", tokens[1], "", 200)
		if list := items(tokens[1]); len(list) != 1 {
			t.Errorf("got %v, want the one that asked", list)
		}
		b.do("DELETE", path, tokens[1], "", 200)
		b.do("GET", "/api/auth/v1/session", tokens[1], "", 401)
		b.do("GET", "/api/auth/v1/session", other, "", 200)
	})
}

// TestOneSession: as the contract has it, where the gateway is set so, or the region is of a
// version before sets.
func TestOneSession(t *testing.T) {
	for _, before := range []bool{false, true} {
		b := newBenchWith(t, Config{OneSession: !before, TestLogin: &TestLogin{Any: true}})
		b.fed.before = before
		first, other := b.login(codeA), b.login(codeB)
		second := b.login(codeA)
		b.do("GET", "/api/auth/v1/session", first, "", 401)
		b.do("GET", "/api/auth/v1/session", second, "", 200)
		b.do("GET", "/api/auth/v1/session", other, "", 200)
	}
}

func TestLoginRefusesKeys(t *testing.T) {
	b := newBench(t)
	for _, key := range []string{"%", "e30", strings.Repeat("A", 3000)} {
		b.loginWith("", key, 400)
	}
	r := request("POST", "/test-login", "", `{"username":"`+string(codeA)+`","password":"test"}`)
	r.Header["X-Pagopa-Lollipop-Pub-Key"] = []string{deviceKey, deviceKey}
	b.expect(b.checker.Do(t, b.mux, r), http.StatusBadRequest)
	for _, more := range []string{`,"spid_level":"SpidL4"`, `,"device":""`,
		`,"device":"` + strings.Repeat("x", 129) + `"`} {
		b.doAny("POST", "/test-login", "",
			`{"username":"`+string(codeA)+`","password":"test"`+more+`}`, 400)
	}
	if n := len(slices.Collect(maps.Keys(b.fed.sessions))); n != 0 {
		t.Errorf("%d sessions were opened", n)
	}
}

func TestLock(t *testing.T) {
	b := newBench(t)
	token, other := b.loginWith("", "", 200), b.loginWith("", "", 200)
	state := func(token string, enabled bool) {
		t.Helper()
		got := b.do("GET", "/ioweb/backend/api/v1/session-state", token, "", 200)
		if got["access_enabled"] != enabled {
			t.Errorf("got %v, want access enabled: %v", got, enabled)
		}
	}
	state(token, true)
	lock, unlock := "/ioweb/backend/api/v1/lock-session", "/ioweb/backend/api/v1/unlock-session"
	for _, bad := range []string{`{}`, `{"unlock_code":"12345678"}`, `{"unlock_code":"12345678x"}`} {
		b.doInvalid("POST", lock, token, bad, 400)
	}
	const code = `{"unlock_code":"123456789"}`
	b.do("POST", lock, token, code, 204)
	for _, ended := range []string{token, other} {
		b.do("GET", "/api/auth/v1/session", ended, "", 401)
	}
	b.loginWith("", "", 403)
	b.loginWith(`,"unlock_code":"987654321"`, "", 403)
	high := b.loginWith(`,"spid_level":"SpidL3"`, "", 200)
	state(high, false)
	b.do("POST", lock, high, code, 409)
	b.do("POST", unlock, high, `{}`, 204)
	state(high, true)
	b.do("POST", lock, high, code, 204)
	low := b.loginWith(`,"unlock_code":"123456789"`, "", 200)
	state(low, true)
	b.do("POST", unlock, low, `{}`, 204) // nothing is locked
	b.do("POST", lock, low, code, 204)
	for p := range b.fed.citizens[codeA].lock {
		if b.fed.citizens[codeA].lock[p] != 0 {
			return
		}
	}
	t.Error("nothing is kept of the code")
}
