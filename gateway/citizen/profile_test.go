package citizen

import (
	"fmt"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/internal/strictjson"
	"github.com/staffetta/staffetta/wire"
)

const profilePath = "/api/identity/v1/profile"

func TestProfile(t *testing.T) {
	b := newBench(t)
	token := b.login(codeA)
	first := map[string]any{"fiscal_code": codeA, "name": "Maria", "family_name": "Rossi",
		"email": "maria.rossi@example.com", "spid_email": "maria.rossi@example.com",
		"date_of_birth": "1985-12-10", "has_profile": true, "is_inbox_enabled": false,
		"is_email_enabled": false, "is_webhook_enabled": false, "is_email_validated": false,
		"service_preferences_settings": map[string]any{"mode": "LEGACY"}, "version": 0}
	if got := b.do("GET", profilePath, token, "", 200); !equal(got, first) {
		t.Errorf("got %v, want %v", got, first)
	}

	// Accepting the terms activates.
	got := b.do("POST", profilePath, token, `{"version":0,"accepted_tos_version":5.4}`, 200)
	b.want(got, map[string]any{"is_inbox_enabled": true, "is_webhook_enabled": true,
		"accepted_tos_version": 5.4, "version": 1})
	got = b.do("POST", profilePath, token, `{"version":0}`, 409)
	b.want(got, map[string]any{"detail": "Version 0 is not the latest version."})

	// Everything at once, and back as the app sends it.
	got = b.do("POST", profilePath, token, `{"version":1.0,"email":"other@example.com",
		"is_inbox_enabled":false,"is_webhook_enabled":false,"is_email_enabled":true,
		"accepted_tos_version":6,"preferred_languages":["it_IT","sl_SI"],
		"blocked_inbox_or_channels":{"`+string(serviceB)+`":["INBOX","EMAIL","INBOX"],
			"`+string(serviceA)+`":["WEBHOOK"],"gone":[]},
		"reminder_status":"ENABLED","push_notifications_content_type":"FULL",
		"last_app_version":"3.38.0.18"}`, 200)
	b.want(got, map[string]any{"version": 2, "email": "other@example.com",
		"spid_email": "maria.rossi@example.com", "is_inbox_enabled": false,
		"is_webhook_enabled": false, "is_email_enabled": true, "accepted_tos_version": 6,
		"preferred_languages": []string{"it_IT", "sl_SI"},
		"blocked_inbox_or_channels": map[string]any{
			string(serviceA): []string{"WEBHOOK"}, string(serviceB): []string{"EMAIL", "INBOX"}},
		"reminder_status": "ENABLED", "push_notifications_content_type": "FULL",
		"last_app_version": "3.38.0.18"})
	if blocked := b.fed.citizens[codeA].profile.Blocked; blocked[0].Service != serviceA {
		t.Errorf("got blocked services in another order: %v", blocked)
	}

	// Absent members stay, but for three; a mode is for good.
	got = b.do("POST", profilePath, token,
		`{"version":2,"reminder_status":"DISABLED","service_preferences_settings":{"mode":"MANUAL"}}`,
		200)
	b.want(got, map[string]any{"email": "other@example.com", "reminder_status": "DISABLED",
		"preferred_languages":             []string{"it_IT", "sl_SI"},
		"push_notifications_content_type": nil, "last_app_version": nil,
		"blocked_inbox_or_channels":    nil,
		"service_preferences_settings": map[string]any{"mode": "MANUAL"}})
	b.do("POST", profilePath, token,
		`{"version":3,"service_preferences_settings":{"mode":"LEGACY"}}`, 409)
	got = b.do("POST", profilePath, token,
		`{"version":3,"preferred_languages":[],"service_preferences_settings":{"mode":"AUTO"}}`, 200)
	b.want(got, map[string]any{"version": 4, "preferred_languages": nil,
		"service_preferences_settings": map[string]any{"mode": "AUTO"}})
}

// profileFaults are members that are wrong, each alone.
var profileFaults = []string{
	`"version":-1`, `"version":1.5`, `"version":"0"`, `"version":null`, `"version":9007199254740993`,
	`"version":1e999`, `"version":true`,
	`"email":""`, `"email":"x"`, `"email":"a@b"`, `"email":"A <a@b.it>"`, `"email":"a b@c.it"`,
	`"email":null`, `"email":7`, `"email":"a@b..it"`, `"email":"a@b.it\n"`, `"email":"a@b.it,c@d.it"`,
	`"email":"` + strings.Repeat("a", 65) + `@b.it"`,
	`"email":"a@` + strings.Repeat("b.", 130) + `it"`,
	`"is_inbox_enabled":"true"`, `"is_webhook_enabled":1`, `"is_email_enabled":null`,
	`"accepted_tos_version":0`, `"accepted_tos_version":-1`, `"accepted_tos_version":"5"`,
	`"accepted_tos_version":1e300`, `"accepted_tos_version":null`,
	`"preferred_languages":"it_IT"`, `"preferred_languages":["it"]`, `"preferred_languages":[null]`,
	`"preferred_languages":["IT_it"]`, `"preferred_languages":[["it_IT"]]`,
	`"preferred_languages":[` + strings.TrimSuffix(strings.Repeat(`"it_IT",`, 17), ",") + `]`,
	`"service_preferences_settings":"AUTO"`, `"service_preferences_settings":{}`,
	`"service_preferences_settings":{"mode":"auto"}`, `"service_preferences_settings":{"mode":null}`,
	`"service_preferences_settings":null`,
	`"blocked_inbox_or_channels":[]`, `"blocked_inbox_or_channels":{"x":"INBOX"}`,
	`"blocked_inbox_or_channels":{"x":["inbox"]}`, `"blocked_inbox_or_channels":{"x":[7]}`,
	`"blocked_inbox_or_channels":{"x":null}`,
	`"blocked_inbox_or_channels":{` + strings.TrimSuffix(manyServices(1025), ",") + `}`,
	`"reminder_status":"enabled"`, `"reminder_status":true`, `"reminder_status":null`,
	`"push_notifications_content_type":"NONE"`, `"push_notifications_content_type":0`,
	`"last_app_version":"1.2"`, `"last_app_version":"1.2.3.4.5"`, `"last_app_version":"01.2.3"`,
	`"last_app_version":"1.2.3-rc1"`, `"last_app_version":3`,
	`"last_app_version":"1.2.` + strings.Repeat("3", 70) + `"`,
}

func manyServices(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, `"service-%d":["INBOX"],`, i)
	}
	return s.String()
}

func TestProfileFaults(t *testing.T) {
	b := newBench(t)
	token := b.login(codeA)
	before := b.fed.citizens[codeA].profile
	for _, fault := range profileFaults {
		body := `{` + fault + `}`
		if !strings.HasPrefix(fault, `"version"`) {
			body = `{"version":0,` + fault + `}`
		}
		got := b.doAny("POST", profilePath, token, body, 400)
		name, _, _ := strings.Cut(strings.TrimPrefix(fault, `"`), `"`)
		detail := got["detail"].(string)
		if !strings.HasPrefix(detail, "value at root."+name) || strings.Contains(detail, "\n") {
			t.Errorf("%.80s: got detail %q", fault, detail)
		}
	}
	for _, body := range []string{``, `{}`, `[]`, `"x"`, `{"version":0`, `{"version":0}}`,
		`{"version":0,"version":0}`, `{"version":0,"x":{"a":1,"a":2}}`, "{\"version\":0,\"x\":\"\xc3\"}",
		`{"version":0,"x":` + nest(70) + `}`, `{"version":0}` + strings.Repeat(" ", 300_000)} {
		b.doAny("POST", profilePath, token, body, 400)
	}
	// Every fault is named, within a bound.
	got := b.doAny("POST", profilePath, token,
		`{"email":"x","is_inbox_enabled":2,"service_preferences_settings":{"mode":"x"}}`, 400)
	if n := strings.Count(got["detail"].(string), "value at root."); n != 4 {
		t.Errorf("got %d faults in %q, want 4", n, got["detail"])
	}
	got = b.doAny("POST", profilePath, token, `{"version":0,"blocked_inbox_or_channels":{`+
		strings.ReplaceAll(manyServices(1000), "INBOX", "x")+`"z":[]}}`, 400)
	if n := strings.Count(got["detail"].(string), "\n"); n != strictjson.ObjectFaultsMax-1 {
		t.Errorf("got %d lines of report, want %d", n+1, strictjson.ObjectFaultsMax)
	}
	if got := b.fed.citizens[codeA].profile; got.Version != before.Version {
		t.Errorf("a refused update changed the profile: got version %d", got.Version)
	}
	// What is not the citizen's to change is ignored; so is what nobody knows.
	got = b.do("POST", profilePath, token, `{"version":0,"name":"X","fiscal_code":"`+
		string(codeB)+`","date_of_birth":null,"x":null,`+
		`"service_preferences_settings":{"mode":"AUTO","x":1}}`, 200)
	b.want(got, map[string]any{"name": "Maria", "fiscal_code": codeA, "date_of_birth": "1985-12-10"})
	for _, email := range []string{"a@b.it", "a.b+c@d-e.example.org", "o'neil@example.ie"} {
		version := b.fed.citizens[codeA].profile.Version
		b.do("POST", profilePath, token, fmt.Sprintf(`{"version":%d,"email":%q}`, version, email), 200)
	}
}

func TestPreferences(t *testing.T) {
	b := newBench(t)
	token := b.login(codeA)
	path := "/api/identity/v1/services/" + string(serviceA) + "/preferences"
	body := func(version int) string {
		return fmt.Sprintf(`{"is_inbox_enabled":true,"is_email_enabled":false,`+
			`"is_webhook_enabled":true,"settings_version":%d}`, version)
	}
	b.do("GET", path, token, "", 409)
	got := b.do("POST", path, token, body(0), 409)
	b.want(got, map[string]any{"type": problemConflict.Type.URN()})

	all := func(on bool, version int) map[string]any {
		return map[string]any{"is_inbox_enabled": on, "is_email_enabled": on,
			"is_webhook_enabled": on, "settings_version": version,
			"can_access_message_read_status": true}
	}
	b.do("POST", profilePath, token,
		`{"version":0,"service_preferences_settings":{"mode":"AUTO"}}`, 200)
	b.want(b.do("GET", path, token, "", 200), all(true, 0))
	want := all(true, 0)
	want["is_email_enabled"] = false
	b.want(b.do("POST", path, token, body(0), 200), want)
	b.want(b.do("GET", path, token, "", 200), want)
	want["can_access_message_read_status"] = false
	b.want(b.do("POST", path, token, strings.Replace(body(0), "{",
		`{"can_access_message_read_status":false,`, 1), 200), want)
	b.do("POST", path, token, body(1), 409)

	b.do("POST", profilePath, token,
		`{"version":1,"service_preferences_settings":{"mode":"MANUAL"}}`, 200)
	b.want(b.do("GET", path, token, "", 200), all(false, 1))

	for _, id := range []string{"unknown", strings.Repeat("x", 65), "%20", "%C3%A8", "a%2Fb"} {
		b.do("GET", "/api/identity/v1/services/"+id+"/preferences", token, "", 404)
		b.do("POST", "/api/identity/v1/services/"+id+"/preferences", token, body(1), 404)
	}
	for _, bad := range []string{``, `{}`, `null`, strings.Replace(body(1), "true", "null", 1),
		strings.Replace(body(1), "true", `"true"`, 1), body(-1),
		strings.Replace(body(1), ":1", ":0.5", 1),
		strings.Replace(body(1), "{", `{"can_access_message_read_status":null,`, 1),
		strings.Replace(body(1), "{", `{"can_access_message_read_status":"ALLOW",`, 1)} {
		b.doInvalid("POST", path, token, bad, 400)
	}
	b.fed.deaf = wire.Unavailable
	b.do("GET", path, token, "", 500)
	b.do("POST", path, token, body(1), 500)
}

func FuzzLoginBody(f *testing.F) {
	f.Add([]byte(`{"username":"` + string(codeA) + `","password":"test","home_region":"lazio"}`))
	f.Add([]byte(`{"a":{"b":[1,"\u00e8",null]}}`))
	f.Fuzz(func(t *testing.T, body []byte) { checkObject(t, body) })
}

func FuzzProfileBody(f *testing.F) {
	for _, fault := range profileFaults {
		f.Add([]byte(`{"version":0,` + fault + `}`))
	}
	f.Add([]byte(`{"version":3,"accepted_tos_version":5.4,"preferred_languages":["it_IT"],` +
		`"blocked_inbox_or_channels":{"a":["INBOX"]},"email":"a@b.it"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		o := checkObject(t, body)
		if o == nil {
			return
		}
		u, err := parseProfile(o)
		if err != nil {
			return
		}
		// What is accepted is within every bound, and travels unchanged.
		if u.Version > versionMax || len(u.Blocked) > blockedMax || len(u.Languages) > languagesMax ||
			u.Email != "" && !validEmail(u.Email) || len(u.LastAppVersion) > appVersionMax ||
			u.AcceptedTos != 0 && !(u.AcceptedTos >= 1) || u.Mode > wire.Manual {
			t.Errorf("accepted out of bounds: %+v", u)
		}
		var back wire.ProfileUpdate
		if err := wire.Decode(wire.Encode(u), &back); err != nil {
			t.Fatal(err)
		}
		if string(wire.Encode(&back)) != string(wire.Encode(u)) {
			t.Errorf("got %+v back for %+v", back, u)
		}
	})
}
