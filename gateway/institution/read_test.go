package institution

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

// submit sends a message that must be accepted, and returns its id.
func (b *bench) submit(t *testing.T, body string) string {
	t.Helper()
	a := b.doc.Do(t, b.mux, request("full", "POST", "/messages", body))
	var got struct{ ID string }
	if err := json.Unmarshal(a.Body, &got); err != nil || a.Status != http.StatusCreated {
		t.Fatalf("submission answers %d %s", a.Status, a.Body)
	}
	return got.ID
}

func (b *bench) read(t *testing.T, code, id string) string {
	t.Helper()
	a := b.doc.Do(t, b.mux, request("full", "GET", "/messages/"+code+"/"+id, ""))
	if a.Status != http.StatusOK {
		t.Fatalf("reading answers %d %s", a.Status, a.Body)
	}
	return string(a.Body)
}

// The reason of a rejection, which the contract does not tell, stands in a header, and in the
// body of an answer to those who ask for it.
func TestReadRejected(t *testing.T) {
	b := newBench(t)
	id := b.submit(t, message(unknown, ""))
	for prefer, want := range map[string]string{"": `"status":"REJECTED"}`,
		"return=representation": `"status":"REJECTED","rejection_reason":"USER_NOT_FOUND"}`} {
		r := request("full", "GET", "/messages/"+unknown+"/"+id, "")
		if prefer != "" {
			r.Header.Set("Prefer", prefer)
		}
		a := b.doc.Do(t, b.mux, r)
		if !strings.HasSuffix(string(a.Body), want) ||
			a.Header.Get("Staffetta-Status") != "REJECTED" ||
			a.Header.Get("Staffetta-Rejection-Reason") != "USER_NOT_FOUND" {
			t.Errorf("prefer %q: %s %v", prefer, a.Body, a.Header)
		}
	}
}

func TestReadMessage(t *testing.T) {
	const created = `"created_at":"2023-11-14T22:13:20.123Z","sender_service_id":"SERVICE-full",`
	const start = `"content":{"subject":"` + subject + `","markdown":"` + text + `"`
	for name, c := range map[string]struct{ code, send, options, content, rest string }{
		"plain": {active, message(active, ""),
			`"time_to_live":3600,"feature_level_type":"STANDARD"`, start + `}`,
			`"status":"PROCESSED"`},
		"rejected": {unknown, message(unknown, ""),
			`"time_to_live":3600,"feature_level_type":"STANDARD"`, "",
			`"status":"REJECTED"`},
		"options": {active, `{"unknown":[{}],"time_to_live":7200.0,"default_addresses":` +
			`{"email":"a@b.it"},"feature_level_type":null,` + message(active,
			`,"due_date":"2026-07-01T02:00:00.1239+02:00","require_secure_channels":false,`+
				`"payment_data":{"amount":1e2,"notice_number":"302012345678901234"}`)[1:],
			`"time_to_live":7200,"feature_level_type":"STANDARD"`, start +
				`,"require_secure_channels":false,"due_date":"2026-07-01T00:00:00.123Z",` +
				`"payment_data":{"amount":100,"notice_number":"302012345678901234",` +
				`"invalid_after_due_date":false,"payee":{"fiscal_code":"01234567890"}}}`,
			`"status":"PROCESSED"`},
		"everything, advanced": {active, `{"feature_level_type":"ADVANCED",` + message(active,
			`,"payment_data":{"amount":1,"notice_number":"302012345678901234",`+
				`"invalid_after_due_date":true,"payee":{"fiscal_code":"99999999999","x":1}},`+
				`"third_party_data":{"id":"p1","configuration_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV",`+
				`"has_remote_content":true,"has_attachments":true,"has_precondition":"ONCE",`+
				`"original_sender":"Comune","original_receipt_date":"2026-01-02T03:04:05",`+
				`"summary":"s"}`)[1:],
			`"time_to_live":3600,"feature_level_type":"ADVANCED"`, start +
				`,"payment_data":{"amount":1,"notice_number":"302012345678901234",` +
				`"invalid_after_due_date":true,"payee":{"fiscal_code":"99999999999"}},` +
				`"third_party_data":{"id":"p1","configuration_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV",` +
				`"has_remote_content":true,"has_attachments":true,"has_precondition":"ONCE",` +
				`"original_sender":"Comune","original_receipt_date":"2026-01-02T03:04:05.000Z",` +
				`"summary":"s"}}`,
			`"status":"PROCESSED","read_status":"UNREAD"`},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			id := b.submit(t, c.send)
			got := b.read(t, c.code, id)
			want := `{"message":{"id":"` + id + `","fiscal_code":"` + c.code + `",` + created +
				c.options
			if c.content != "" {
				want += "," + c.content
			}
			if want += `},` + c.rest + `}`; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestReadCovidCertificate(t *testing.T) {
	b := newBench(t)
	b.service("covid", "ApiMessageWrite", "ApiMessageRead", "ApiMessageWriteEUCovidCert")
	a := b.doc.Do(t, b.mux, request("covid", "POST", "/messages",
		message(active, `,"eu_covid_cert":{"auth_code":"c"}`)))
	a = b.doc.Do(t, b.mux, request("covid", "GET", a.Header.Get("Location")[len("/api/v1"):], ""))
	var got struct {
		Message struct {
			Content struct {
				Cert *struct {
					Code string `json:"auth_code"`
				} `json:"eu_covid_cert"`
			}
		}
	}
	json.Unmarshal(a.Body, &got)
	if c := got.Message.Content.Cert; c == nil || c.Code != "c" {
		t.Errorf("got %s", a.Body)
	}
}

// read_status is a premium member, and the citizen's to hide.
func TestReadStatus(t *testing.T) {
	b := newBench(t)
	id := b.submit(t, `{"feature_level_type":"ADVANCED",`+message(active, "")[1:])
	key, _ := wire.ParseMessageID(id)
	m := b.relay.messages[key]
	status := func() string {
		var got struct {
			Status string `json:"read_status"`
		}
		json.Unmarshal([]byte(b.read(t, active, id)), &got)
		return got.Status
	}
	if got := status(); got != "UNREAD" {
		t.Errorf("new: %q", got)
	}
	m.read = true
	if got := status(); got != "READ" {
		t.Errorf("read: %q", got)
	}
	m.hidden = true
	if got := status(); got != "UNAVAILABLE" {
		t.Errorf("hidden: %q", got)
	}
	m.verdict = wire.Verdict{Status: wire.Throttled}
	if got := status(); got != "" {
		t.Errorf("undecided: %q", got)
	}
	m.verdict = wire.Verdict{Status: wire.Processed}
	b.service("full", "ApiMessageRead")
	if got := status(); got != "" {
		t.Errorf("without the scope: %q", got)
	}
}

func TestReadRefused(t *testing.T) {
	b := newBench(t)
	b.service("writer", "ApiMessageWrite")
	b.service("other", everyScope...)
	b.service("elsewhere", everyScope...).Service.AuthorizedCIDRs = []string{"10.1.2.3/32"}
	id := b.submit(t, message(active, ""))
	for name, c := range map[string]struct {
		service, path string
		status        int
		kind, title   string
	}{
		"no scope": {"writer", active + "/" + id, 403, "scope-missing", titleNotAllowed},
		"bad code": {"full", "abc/" + id, 400, "invalid-fiscal-code", "Invalid " + typeFiscalCode},
		"source address": {"elsewhere", active + "/" + id, 403,
			"source-address-forbidden", titleNotAllowed},
		"other service": {"other", active + "/" + id, 403, "not-the-sender", titleNotAllowed},
		"other citizen": {"full", unwilling + "/" + id, 404, "message-not-found", "Message not found"},
		"no such id": {"full", active + "/01HZY3V9W2K8Q4R6T0B5N7M1CX", 404, "message-not-found",
			"Message not found"},
		"not an id": {"full", active + "/1", 404, "message-not-found", "Message not found"},
	} {
		a := b.doc.DoAny(t, b.mux, request(c.service, "GET", "/messages/"+c.path, ""))
		if kind, title, _ := problemOf(t, a); a.Status != c.status || kind != c.kind ||
			title != c.title {
			t.Errorf("%s: got %d %s %q, want %d %s %q", name, a.Status, kind, title, c.status,
				c.kind, c.title)
		}
	}
}

func TestProfile(t *testing.T) {
	b := newBench(t)
	const reader = "ApiLimitedProfileRead"
	b.service("limited", reader, "ApiMessageWrite", "ApiLimitedMessageWrite")
	b.service("readonly", reader)
	b.service("writer", "ApiMessageWrite")
	b.service("incomplete", reader, "ApiMessageWrite").Service.Metadata.PrivacyURL = ""
	b.service("elsewhere", everyScope...).Service.AuthorizedCIDRs = []string{"10.1.2.3"}
	for _, c := range []struct {
		service, code string
		status        int
		want          string // body, or problem type
		asked         int
	}{
		{"full", active, 200, `{"sender_allowed":true,"preferred_languages":["it_IT"]}`, 1},
		{"full", unwilling, 200, `{"sender_allowed":false}`, 1},
		{"full", unknown, 404, "profile-not-found", 1},
		{"full", "EEEEEE00A00E000e", 400, "", 0},
		{"limited", active, 403, "recipient-forbidden", 0},
		{"limited", unknown, 403, "recipient-forbidden", 0},
		{"limited", authorized, 200, `{"sender_allowed":true,"preferred_languages":["it_IT"]}`, 1},
		{"readonly", authorized, 403, "recipient-forbidden", 0},
		{"incomplete", active, 403, "recipient-forbidden", 0},
		{"incomplete", authorized, 200,
			`{"sender_allowed":true,"preferred_languages":["it_IT"]}`, 1},
		{"writer", active, 403, "scope-missing", 0},
		{"elsewhere", active, 403, "source-address-forbidden", 0},
	} {
		for _, r := range []*http.Request{
			request(c.service, "GET", "/profiles/"+c.code, ""),
			request(c.service, "POST", "/profiles", `{"fiscal_code":"`+c.code+`","x":[]}`),
		} {
			b.relay.asked = 0
			a := b.doc.DoAny(t, b.mux, r)
			if a.Status != c.status || b.relay.asked != c.asked {
				t.Errorf("%s %s of %s: status %d after %d questions, want %d after %d", r.Method,
					r.URL.Path, c.service, a.Status, b.relay.asked, c.status, c.asked)
			}
			if a.Status == 200 {
				if got := string(a.Body); got != c.want {
					t.Errorf("%s: got %s, want %s", c.code, got, c.want)
				}
			} else if kind, _, _ := problemOf(t, a); c.want != "" && kind != c.want {
				t.Errorf("%s of %s: problem %s, want %s", c.code, c.service, kind, c.want)
			}
		}
	}
}

func TestProfileBody(t *testing.T) {
	b := newBench(t)
	for body, want := range map[string][3]string{
		`{}`: {"invalid-payload", "Invalid GetLimitedProfileByPOSTPayload",
			"value undefined at root.fiscal_code is not a valid [" + typeFiscalCode + "]"},
		`{"fiscal_code":"aaaaaa00a00a000a"}`: {"invalid-payload",
			"Invalid GetLimitedProfileByPOSTPayload",
			`value "..." at root.fiscal_code is not a valid [` + typeFiscalCode + "]"},
		`[]`: {"invalid-payload", "Invalid GetLimitedProfileByPOSTPayload",
			"value [...] at root is not a valid [GetLimitedProfileByPOSTPayload]"},
		`{"fiscal_code":`: {"malformed-json", titleInvalid,
			"The request body ends within its JSON value, at byte 15."},
	} {
		a := b.doc.DoInvalid(t, b.mux, request("full", "POST", "/profiles", body))
		kind, title, detail := problemOf(t, a)
		if got := [3]string{kind, title, detail}; a.Status != 400 || got != want {
			t.Errorf("%s: got %d %q, want %q", body, a.Status, got, want)
		}
	}
	r := request("full", "POST", "/profiles", `{"fiscal_code":"`+active+`"}`)
	r.ContentLength = profileBody.Max + 1
	rec := httptest.NewRecorder()
	b.mux.ServeHTTP(rec, r)
	if rec.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: %d, want 413", rec.Code)
	}
}
