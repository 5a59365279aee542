package institution

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/internal/openapitest"
	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/wire"
)

// problemOf reads a problem and checks what every problem must have.
func problemOf(t *testing.T, a *openapitest.Answer) (name, title, detail string) {
	t.Helper()
	var p struct {
		Type, Title, Detail string
		Status              int
	}
	if err := json.Unmarshal(a.Body, &p); err != nil {
		t.Fatalf("answer %d %q is no problem: %v", a.Status, a.Body, err)
	}
	if got, want := a.Header.Get("Content-Type"), "application/problem+json"; got != want {
		t.Errorf("Content-Type %q, want %q", got, want)
	}
	if p.Status != a.Status {
		t.Errorf("status %d in the body of a %d", p.Status, a.Status)
	}
	return strings.TrimPrefix(p.Type, problem.TypePrefix), p.Title, p.Detail
}

// The contract's answer has one member. Whoever wants the verdict finds it in headers, or asks for
// it in the body.
func TestSubmit(t *testing.T) {
	for _, c := range []struct{ code, status, reason string }{
		{active, "PROCESSED", ""},
		{unknown, "REJECTED", "USER_NOT_FOUND"},
		{unwilling, "REJECTED", "SERVICE_NOT_ALLOWED"},
	} {
		for _, inPath := range []bool{false, true} {
			for _, prefer := range []string{"", "return=representation"} {
				b := newBench(t)
				r := request("full", "POST", "/messages", message(c.code, ""))
				if inPath {
					r = request("full", "POST", "/messages/"+c.code, message("", ""))
				}
				if prefer != "" {
					r.Header.Set("Prefer", prefer)
				}
				a := b.doc.Do(t, b.mux, r)
				id := b.checkSubmitted(t, a, c.code)
				want := `{"id":"` + id.String()
				if prefer != "" {
					if want += `","status":"` + c.status; c.reason != "" {
						want += `","rejection_reason":"` + c.reason
					}
				}
				if got := string(a.Body); got != want+`"}` {
					t.Errorf("body %s, want %s", got, want+`"}`)
				}
				for name, want := range map[string]string{"Staffetta-Status": c.status,
					"Staffetta-Rejection-Reason": c.reason, "Preference-Applied": prefer} {
					if got := a.Header.Get(name); got != want {
						t.Errorf("%s %q, want %q", name, got, want)
					}
				}
			}
		}
	}
}

// checkSubmitted checks what every accepted submission has in common, and returns its id.
func (b *bench) checkSubmitted(t *testing.T, a *openapitest.Answer, code string) wire.MessageID {
	t.Helper()
	if a.Status != http.StatusCreated {
		t.Fatalf("status %d %s", a.Status, a.Body)
	}
	var got struct{ ID string }
	json.Unmarshal(a.Body, &got)
	if got, want := a.Header.Get("Location"), "/api/v1/messages/"+code+"/"+got.ID; got != want {
		t.Errorf("Location %q, want %q", got, want)
	}
	id, err := wire.ParseMessageID(got.ID)
	if err != nil || id.Tag() != homeTag {
		t.Errorf("id %q of tag %d, %v", got.ID, id.Tag(), err)
	}
	rec := b.relay.messages[id].rec
	if rec.Service != "SERVICE-full" || rec.FiscalCode != "" && string(rec.FiscalCode) !=
		code || rec.TimeToLive != 3600 || rec.FeatureLevel != wire.Standard ||
		!rec.Idempotency.IsZero() {
		t.Errorf("record of service %s, ttl %d, level %s", rec.Service, rec.TimeToLive,
			rec.FeatureLevel)
	}
	return id
}

// A preference is read as RFC 7240 writes it, among others, and one that is not ours is ignored.
func TestPrefer(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		values []string
		want   bool
	}{
		{[]string{"respond-async, Return = representation; x=1"}, true},
		{[]string{"handling=lenient", `return="representation"`}, true},
		{[]string{"return=minimal"}, false},
		{[]string{"representation"}, false},
		{[]string{""}, false},
	} {
		r := request("full", "POST", "/messages", message(active, ""))
		r.Header["Prefer"] = c.values
		a := b.doc.Do(t, b.mux, r)
		if got := strings.Contains(string(a.Body), "PROCESSED"); got != c.want {
			t.Errorf("%q: %s", c.values, a.Body)
		}
	}
}

const thirdMember = `,"third_party_data":{"id":"x","configuration_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV"`

const lacksScopeFor = "You do not have enough permissions to send "

func payFor(amount int, more string) string {
	return fmt.Sprintf(`,"payment_data":{"amount":%d,"notice_number":"012345678901234567"%s}`,
		amount, more)
}

func advanced(content string) string {
	return `{"feature_level_type":"ADVANCED",` + message(active, content)[1:]
}

// refusals is every refusal of a submission, in the contract's order: each row breaks one rule
// and, where it can, rules that come later, which must not show.
var refusals = map[string]struct {
	service, path, body        string
	status                     int
	wantType, wantTitle, about string
}{
	"no scope at all": {"rateonly", "", "{", 403, "no-valid-scope",
		"User has no valid scopes", "You are not part of any valid scope, you should ask the " +
			"administrator to give you the required permissions."},
	"other scopes": {"reader", "", "{", 403, "scope-missing", titleNotAllowed,
		detailNotAllowed},
	"empty body": {"full", "", " ", 400, "malformed-json", titleInvalid,
		"The request body is empty."},
	"body before path": {"full", "/abc", `{}`, 400, "invalid-message", titleInvalid,
		"value undefined at root.content is not a valid [MessageContent]"},
	"lower case in path": {"plain", "/" + strings.ToLower(active), advanced(""), 400,
		"invalid-fiscal-code", "Invalid " + typeFiscalCode,
		`value ["..."] at [root] is not a valid [` + typeFiscalCode + `]`},
	"covid certificate": {"elsewhere", "", message("", `,"eu_covid_cert":{"auth_code":""}`),
		403, "scope-missing", titleNotAllowed, lacksScopeFor + "an EUCovidCert message"},
	"payee": {"plain", "", message("", payFor(1, `,"payee":{"fiscal_code":"00000000000"}`)),
		403, "scope-missing", titleNotAllowed, lacksScopeFor + "a payment message with payee"},
	"premium": {"plain", "", advanced(""), 403, "scope-missing", titleNotAllowed,
		lacksScopeFor + "a Premium message"},
	"third party": {"plain", "", message("", thirdMember+`}`), 403, "scope-missing",
		titleNotAllowed, lacksScopeFor + "a third party message"},
	"source address": {"elsewhere", "", message("", ""), 403, "source-address-forbidden",
		titleNotAllowed, "The service does not allow calls from the address 192.0.2.1."},
	"two places": {"limited", "/" + active, message(active, ""), 400, "bad-parameters",
		"Bad parameters", "The fiscalcode parameter must be specified in the path or in the " +
			"payload but not in both"},
	"no place": {"limited", "", message("", ""), 400, "bad-parameters", "Bad parameters",
		"The fiscalcode parameter must be specified in the path or in the payload"},
	"no configuration": {"full", "", message(active,
		`,"third_party_data":{"id":"x","has_attachments":true}`), 403,
		"configuration-id-missing", "No configuration id for remote content",
		"You did not send any configuration id for your remote content in third_party_data"},
	"attachments": {"poor", "", message(active, thirdMember+`,"has_attachments":true}`+payFor(2, "")),
		403, "attachments-forbidden", "Attachments call forbidden", "You are not allowed to " +
			"send messages with attachmens with STANDARD messages, please use ADVANCED"},
	"recipient": {"limited", "", message(active, payFor(999_999, "")), 403,
		"recipient-forbidden", "Recipient forbidden",
		"You are not allowed to issue requests for the recipient."},
	"amount": {"full", "", message(active, payFor(100_001, "")), 400,
		"payment-amount-exceeded", "Error while sending payment metadata",
		"The requested amount (100001 cents) exceeds the maximum allowed for this service " +
			"(100000 cents)"},
	"no amount allowed": {"poor", "", message(active, payFor(1, "")), 400,
		"payment-amount-exceeded", "Error while sending payment metadata",
		"The requested amount (1 cents) exceeds the maximum allowed for this service (0 cents)"},
	"covid institutions in the path": {"covid", "/" + active, message("", ""), 403,
		"scope-missing", titleNotAllowed, detailNotAllowed},
}

func TestSubmitRefused(t *testing.T) {
	b := newBench(t)
	b.service("rateonly", "ApiNoRateLimit")
	b.service("reader", "ApiMessageRead", "ApiNoRateLimit")
	b.service("plain", "ApiMessageWrite", "ApiNoRateLimit")
	b.service("limited", "ApiMessageWrite", "ApiLimitedMessageWrite", "ApiNoRateLimit")
	b.service("covid", "ApiMessageWrite", "ApiMessageWriteEUCovidCert", "ApiNoRateLimit")
	b.service("elsewhere", everyScope...).Service.AuthorizedCIDRs = []string{"10.0.0.0/8"}
	b.service("poor", everyScope...).Service.MaxAllowedPaymentAmount = 0
	for name, c := range refusals {
		t.Run(name, func(t *testing.T) {
			a := b.doc.DoAny(t, b.mux, request(c.service, "POST", "/messages"+c.path, c.body))
			kind, title, detail := problemOf(t, a)
			if a.Status != c.status || kind != c.wantType || title != c.wantTitle ||
				detail != c.about {
				t.Errorf("got %d %s %q %q, want %d %s %q %q", a.Status, kind, title, detail,
					c.status, c.wantType, c.wantTitle, c.about)
			}
		})
	}
	if b.relay.asked != 0 {
		t.Errorf("the relay was asked %d times for refused submissions", b.relay.asked)
	}
}

// What the refusals' counterparts let through.
func TestSubmitAllowed(t *testing.T) {
	b := newBench(t)
	b.service("limited", "ApiMessageWrite", "ApiLimitedMessageWrite", "ApiNoRateLimit")
	b.service("covid", "ApiMessageWrite", "ApiMessageWriteEUCovidCert", "ApiNoRateLimit")
	b.service("near", everyScope...).Service.AuthorizedCIDRs = []string{"192.0.2.1"}
	third := `,"third_party_data":{"id":"x","configuration_id":"01arz3ndektsv4rrffq69g5fav",` +
		`"has_attachments":true}`
	for name, r := range map[string]*http.Request{
		"limited, authorized": request("limited", "POST", "/messages", message(authorized, "")),
		"covid in body": request("covid", "POST", "/messages",
			message(active, `,"eu_covid_cert":{"auth_code":"c"}`)),
		"from an authorized address": request("near", "POST", "/messages", message(active, "")),
		"advanced with attachments": request("full", "POST", "/messages",
			`{"feature_level_type":"ADVANCED",`+message(active, third)[1:]),
		"path, trailing slash": request("full", "POST", "/messages/"+active+"/", message("", "")),
		"largest amount": request("full", "POST", "/messages", message(active,
			`,"payment_data":{"amount":100000,"notice_number":"012345678901234567"}`)),
	} {
		t.Run(name, func(t *testing.T) {
			do := b.doc.Do
			if strings.HasSuffix(r.URL.Path, "/") {
				mux := b.mux // the document has no such path
				rec := httptest.NewRecorder()
				mux.ServeHTTP(rec, r)
				if rec.Code != http.StatusCreated {
					t.Errorf("status %d %s", rec.Code, rec.Body)
				}
				return
			}
			if a := do(t, b.mux, r); a.Status != http.StatusCreated {
				t.Errorf("status %d %s", a.Status, a.Body)
			}
		})
	}
}

func TestBodyBounds(t *testing.T) {
	b := newBench(t)
	big := strings.Repeat("x", problem.BodyBytesMax+1)
	for _, announced := range []bool{true, false} {
		r := request("full", "POST", "/messages", big)
		read := &countingReader{}
		if announced {
			r.Body = read // nothing of it may be read
		} else {
			r.ContentLength = -1
		}
		rec := httptest.NewRecorder()
		b.mux.ServeHTTP(rec, r)
		if rec.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("announced %v: status %d, want 413", announced, rec.Code)
		}
		if read.n != 0 {
			t.Errorf("%d reads of a body announced as too large", read.n)
		}
	}
	// A message within the bound whose content would not fit into a record.
	room := problem.BodyBytesMax - len(message(active, `,"third_party_data":{"id":"","configurati`+
		`on_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV"}`))
	a := b.doc.Do(t, b.mux, request("full", "POST", "/messages", message(active,
		`,"third_party_data":{"configuration_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","id":"`+
			strings.Repeat("x", room)+`"}`)))
	if a.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, want 413", a.Status)
	}
	if b.relay.asked != 0 {
		t.Error("the relay was asked")
	}
}

type countingReader struct{ n int }

func (c *countingReader) Read([]byte) (int, error) { c.n++; return 0, errors.New("read") }
func (c *countingReader) Close() error             { return nil }

func TestBodyThatBreaksOff(t *testing.T) {
	b := newBench(t)
	r := request("full", "POST", "/messages", message(active, ""))
	r.Body = &countingReader{}
	rec := httptest.NewRecorder()
	b.mux.ServeHTTP(rec, r)
	if rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(),
		"body-unreadable") {
		t.Errorf("got %d %s", rec.Code, rec.Body)
	}
}

func TestIdempotencyKey(t *testing.T) {
	b := newBench(t)
	send := func(key, code, content string) *openapitest.Answer {
		r := request("full", "POST", "/messages", message(code, content))
		r.Header.Set("Idempotency-Key", key)
		return b.doc.Do(t, b.mux, r)
	}
	first := send("k1", active, "")
	if got := send("k1", active, ""); string(got.Body) != string(first.Body) {
		t.Errorf("retry answers %s, first %s", got.Body, first.Body)
	}
	if got := send("k1", authorized, ""); got.Status != 201 ||
		string(got.Body) == string(first.Body) {
		t.Errorf("another recipient under the same key: %d %s", got.Status, got.Body)
	}
	got := send("k1", active, `,"due_date":"2026-01-01T00:00:00Z"`)
	if kind, title, _ := problemOf(t, got); got.Status != 409 || kind != "idempotency-conflict" ||
		title != "Conflict" {
		t.Errorf("another body under the same key: %d %s %s", got.Status, kind, title)
	}
	// A default that is spelled out is the same message.
	r := request("full", "POST", "/messages", `{"time_to_live":3600,`+message(active, "")[1:])
	r.Header.Set("Idempotency-Key", "k1")
	if got := b.doc.Do(t, b.mux, r); string(got.Body) != string(first.Body) {
		t.Errorf("the same message spelled otherwise: %d %s", got.Status, got.Body)
	}
}

func TestInvalidIdempotencyKey(t *testing.T) {
	b := newBench(t)
	for _, values := range [][]string{{""}, {"a b"}, {"à"}, {strings.Repeat("k", 256)}, {"a", "b"},
		{"a\x7f"}} {
		r := request("full", "POST", "/messages", message(active, ""))
		r.Header["Idempotency-Key"] = values
		a := b.doc.DoAny(t, b.mux, r)
		if kind, _, _ := problemOf(t, a); a.Status != 400 || kind != "invalid-idempotency-key" {
			t.Errorf("%q: got %d %s", values, a.Status, kind)
		}
	}
	r := request("full", "POST", "/messages", message(active, ""))
	r.Header.Set("Idempotency-Key", "!"+strings.Repeat("~", 254))
	if a := b.doc.Do(t, b.mux, r); a.Status != 201 {
		t.Errorf("the longest key: %d", a.Status)
	}
}

func TestRelayFaults(t *testing.T) {
	for _, c := range []struct {
		err        error
		status     int
		kind       string
		retryAfter string
	}{
		{wire.Errorf(wire.Unavailable, "no leader at lazio-1"), 503, "unavailable", "5"},
		{wire.Errorf(wire.OutcomeUnknown, "x"), 503, "outcome-unknown", "5"},
		{wire.Errorf(wire.Overloaded, "x"), 503, "overloaded", "1"},
		{wire.Errorf(wire.NotReady, "x"), 503, "not-ready", "5"},
		{wire.Errorf(wire.TooLarge, "x"), 413, "too-large", ""},
		{wire.Errorf(wire.Malformed, "x"), 500, "internal", ""},
		{wire.Errorf(wire.Conflict, "x"), 500, "internal", ""},
		{errors.New("a text that names " + active), 500, "internal", ""},
	} {
		b := newBench(t)
		b.relay.fail = c.err
		for _, r := range []*http.Request{
			request("full", "POST", "/messages", message(active, "")),
			request("full", "GET", "/messages/"+active+"/01HZY3V9W2K8Q4R6T0B5N7M1CX", ""),
			request("full", "GET", "/profiles/"+active, ""),
		} {
			if r.Method == "GET" && c.status == 413 {
				continue // no such answer
			}
			a := b.doc.Do(t, b.mux, r)
			kind, _, detail := problemOf(t, a)
			if a.Status != c.status || kind != c.kind {
				t.Errorf("%v: got %d %s, want %d %s", c.err, a.Status, kind, c.status, c.kind)
			}
			if got := a.Header.Get("Retry-After"); got != c.retryAfter {
				t.Errorf("%v: Retry-After %q, want %q", c.err, got, c.retryAfter)
			}
			if strings.Contains(detail, "lazio") || strings.Contains(detail, active) {
				t.Errorf("the detail %q tells too much", detail)
			}
		}
		if got := strings.Contains(b.log.String(), "call failed"); got != (c.status == 500) {
			t.Errorf("%v: logged %v: %s", c.err, got, b.log)
		}
	}
}

// Nothing of a person may get into log or metrics, whatever is sent.
func TestLeaksNothing(t *testing.T) {
	b := newBench(t)
	for _, fail := range []error{nil, wire.Errorf(wire.Internal, "x"), errors.New(active)} {
		b.relay.fail = fail
		for _, r := range []*http.Request{
			request("full", "POST", "/messages", message(active, "")),
			request("full", "POST", "/messages", message(active, "")+"x"),
			request("full", "POST", "/messages/"+active, message("", "")),
			request("full", "GET", "/messages/"+active+"/01HZY3V9W2K8Q4R6T0B5N7M1CX", ""),
			request("full", "GET", "/profiles/"+active, ""),
			request("wrong", "GET", "/profiles/"+active, ""),
		} {
			b.doc.DoAny(t, b.mux, r)
		}
	}
	families, err := b.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	everything := b.log.String()
	for _, f := range families {
		everything += f.String()
	}
	for _, secret := range []string{active, subject, text, "key-full", "key-wrong"} {
		if strings.Contains(everything, secret) {
			t.Errorf("%q in log or metrics", secret)
		}
	}
	for _, want := range []string{"staffetta_institution_submissions_total",
		"staffetta_institution_refusals_total", "call failed"} {
		if !strings.Contains(everything, want) {
			t.Errorf("no %s in log and metrics", want)
		}
	}
}
