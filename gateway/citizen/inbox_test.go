package citizen

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/staffetta/staffetta/gateway/operation"
	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/internal/strictjson"
	"github.com/staffetta/staffetta/wire"
)

const inboxPath = "/api/communication/v1/messages"

// idOf makes the nth id, so that ids and numbers have one order.
func idOf(n int) wire.MessageID {
	id := wire.MessageID{0x01, 0x90}
	binary.BigEndian.PutUint64(id[8:], uint64(n)<<10)
	return id
}

func plain(n int, archived bool) wire.InboxMessage {
	subject := fmt.Sprintf("Messaggio numero %d", n)
	return wire.InboxMessage{
		Item: wire.InboxItem{ID: idOf(n), Service: serviceA, Subject: subject, TimeToLive: 3600,
			Archived: archived},
		Content: wire.Content{Subject: subject, Markdown: strings.Repeat("x", 80)},
	}
}

func items(t *testing.T, got map[string]any) []map[string]any {
	t.Helper()
	var list []map[string]any
	for _, i := range got["items"].([]any) {
		list = append(list, i.(map[string]any))
	}
	return list
}

func TestInboxItems(t *testing.T) {
	b := newBench(t)
	token := b.login(codeA)
	if got := b.do("GET", inboxPath, token, "", 200); !equal(got, map[string]any{"items": []any{}}) {
		t.Errorf("empty inbox: got %v", got)
	}
	m := plain(1, false)
	b.fed.deliver(codeA, m)
	m = plain(2, false)
	m.Item.Category, m.Item.Notice = wire.PaymentCategory, "302032002700000251"
	m.Item.Payee = "98765432109"
	m.Item.Read, m.Item.Service = true, serviceB
	b.fed.deliver(codeA, m)
	m = plain(3, false)
	m.Item.Category, m.Item.Attachments, m.Item.Precondition = wire.EUCovidCertCategory, true, "ONCE"
	m.Item.Service, m.Item.TimeToLive = "gone", 0
	b.fed.deliver(codeA, m)
	m = plain(4, false)
	m.Item.Read, m.Item.Precondition = true, "ONCE"
	b.fed.deliver(codeA, m)
	m = plain(5, false)
	m.Item.Read, m.Item.Precondition = true, "ALWAYS"
	b.fed.deliver(codeA, m)

	got := items(t, b.do("GET", inboxPath+"?enrich_result_data=true", token, "", 200))
	head := func(n int, service wire.ServiceID) map[string]any {
		return map[string]any{"id": idOf(n).String(), "fiscal_code": codeA,
			"created_at": idOf(n).Time().String(), "sender_service_id": service,
			"time_to_live": 3600}
	}
	enriched := func(n int, service wire.ServiceID, more map[string]any) map[string]any {
		want := head(n, service)
		want["service_name"], want["organization_name"] = "Anagrafe", "Comune di Prova"
		want["organization_fiscal_code"] = payeeA
		want["message_title"] = fmt.Sprintf("Messaggio numero %d", n)
		want["category"] = map[string]any{"tag": "GENERIC"}
		for _, flag := range []string{"has_attachments", "has_precondition", "is_read", "is_archived"} {
			want[flag] = false
		}
		for k, v := range more {
			want[k] = v
		}
		return want
	}
	unknown := enriched(3, "gone", map[string]any{"has_attachments": true, "has_precondition": true,
		"category": map[string]any{"tag": "EU_COVID_CERT"}, "service_name": unknownSender.service,
		"organization_name": unknownSender.organization, "organization_fiscal_code": "00000000000"})
	delete(unknown, "time_to_live")
	want := []map[string]any{
		enriched(5, serviceA, map[string]any{"is_read": true, "has_precondition": true}),
		enriched(4, serviceA, map[string]any{"is_read": true}),
		unknown,
		enriched(2, serviceB, map[string]any{"is_read": true, "service_name": "Tributi",
			"category": map[string]any{"tag": "PAYMENT", "rptId": "98765432109302032002700000251"}}),
		enriched(1, serviceA, nil),
	}
	for i := range want {
		if !equal(got[i], want[i]) {
			t.Errorf("got %v, want %v", got[i], want[i])
		}
	}
	got = items(t, b.do("GET", inboxPath+"?enrich_result_data=false", token, "", 200))
	if !equal(got[4], head(1, serviceA)) {
		t.Errorf("got %v, want %v", got[4], head(1, serviceA))
	}
}

// Whatever a citizen asks, the pages are those of a plain model; following next visits every
// message once; nobody sees another's.
func TestInboxPaging(t *testing.T) {
	b := newBench(t)
	token, other := b.login(codeA), b.login(codeB)
	r := rand.New(rand.NewPCG(1, 2))
	var open, archived []int
	for _, n := range r.Perm(130) {
		b.fed.deliver(codeA, plain(n+1, n%5 == 0))
		if n%5 == 0 {
			archived = append(archived, n+1)
		} else {
			open = append(open, n+1)
		}
	}
	b.fed.deliver(codeB, plain(1000, false))
	for range 300 {
		size, low, high := 1+r.IntN(100), r.IntN(140), r.IntN(140)
		query := fmt.Sprintf("?page_size=%d", size)
		all := open
		if r.IntN(3) == 0 {
			all, query = archived, query+"&archived=true"
		}
		if r.IntN(2) == 0 {
			query += "&minimum_id=" + strings.ToLower(idOf(low).String())
		} else {
			low = 0
		}
		if r.IntN(2) == 0 {
			query += "&maximum_id=" + idOf(high).String()
		} else {
			high = 1000
		}
		var want []string
		for _, n := range all {
			if n > low && n < high {
				want = append(want, idOf(n).String())
			}
		}
		slices.Sort(want)
		slices.Reverse(want)
		more := len(want) > size
		want = want[:min(size, len(want))]
		checkPage(t, query, b.do("GET", inboxPath+query, token, "", 200), want, more)
	}

	var walked []string
	next := ""
	for pages := 0; ; pages++ {
		got := b.do("GET", inboxPath+"?page_size=7"+next, token, "", 200)
		for _, i := range items(t, got) {
			walked = append(walked, i["id"].(string))
		}
		if got["next"] == nil {
			break
		}
		if next = "&maximum_id=" + got["next"].(string); pages > 100 {
			t.Fatal("next never ends")
		}
	}
	if len(walked) != len(open) || len(slices.Compact(walked)) != len(open) {
		t.Errorf("walked over %d messages, want %d", len(walked), len(open))
	}
	if got := items(t, b.do("GET", inboxPath, other, "", 200)); len(got) != 1 {
		t.Errorf("another citizen sees %d messages, want 1", len(got))
	}
	if got := items(t, b.do("GET", inboxPath, token, "", 200)); len(got) != pageDefault {
		t.Errorf("got %d messages by default, want %d", len(got), pageDefault)
	}
}

func checkPage(t *testing.T, query string, got map[string]any, want []string, more bool) {
	t.Helper()
	var ids []string
	for _, i := range items(t, got) {
		ids = append(ids, i["id"].(string))
	}
	if !slices.Equal(ids, want) {
		t.Errorf("%s: got %d messages, want %d", query, len(ids), len(want))
	}
	var prev, next any
	if len(want) > 0 {
		prev = want[0]
	}
	if more {
		next = want[len(want)-1]
	}
	if got["prev"] != prev || got["next"] != next {
		t.Errorf("%s: got prev %v, next %v, want %v, %v", query, got["prev"], got["next"], prev, next)
	}
}

func TestInboxParameters(t *testing.T) {
	b := newBench(t)
	token := b.login(codeA)
	b.fed.deliver(codeA, plain(1, false))
	zero, top, beyond := strings.Repeat("0", 26), "7"+strings.Repeat("Z", 25), strings.Repeat("z", 26)
	for query, want := range map[string]int{
		"maximum_id=" + zero: 0, "minimum_id=" + zero: 1, "maximum_id=" + top: 1,
		"minimum_id=" + top: 0, "maximum_id=" + beyond: 1, "unread=true": 1, "unread=false": 1,
		"x=1&x=2": 1, "page_size=1": 1, "page_size=100": 1,
	} {
		got := items(t, b.do("GET", inboxPath+"?"+query, token, "", 200))
		if len(got) != want {
			t.Errorf("%s: got %d messages, want %d", query, len(got), want)
		}
	}
	id := idOf(1).String()
	for _, query := range []string{"page_size=0", "page_size=101", "page_size=-1", "page_size=1.5",
		"page_size=", "page_size=+1", "page_size=01", "page_size=1&page_size=2",
		"enrich_result_data=1", "enrich_result_data=", "enrich_result_data=TRUE", "archived=yes",
		"archived=true&archived=true", "maximum_id=", "maximum_id=" + id[1:], "maximum_id=" + id + "0",
		"minimum_id=" + id[:25] + "U", "minimum_id=" + id[:25] + "I",
		"minimum_id=" + beyond, "minimum_id=8" + id[1:], "minimum_id=GZ" + id[2:], "unread=1", "maximum_id=" + id[:24] + "%C5%BF",
		"%zz", "page_size=1;archived=true"} {
		got := b.doAny("GET", inboxPath+"?"+query, token, "", 400)
		b.want(got, map[string]any{"type": problemParameter.Type.URN()})
	}
}

func TestMessage(t *testing.T) {
	b := newBench(t)
	token, other := b.login(codeA), b.login(codeB)
	due := wire.Time(1_900_000_000_123)
	full := plain(1, false)
	full.Item.Category, full.Item.Notice = wire.PaymentCategory, "302032002700000251"
	full.Item.Payee = payeeA
	full.Item.Read = true
	full.Content.RequireSecureChannels = &wire.Flag{}
	full.Content.DueDate = &wire.Date{At: due}
	full.Content.Payment = &wire.Payment{Amount: 9999999999, NoticeNumber: "302032002700000251",
		Payee: payeeA}
	full.Content.ThirdParty = &wire.ThirdParty{ID: "x", ConfigurationID: "01HMVMHCZZ8D0VTFWMRHBM5D6F",
		HasAttachments: true, HasPrecondition: "ONCE", OriginalSender: "Comune", Summary: "s",
		OriginalReceiptDate: &wire.Date{At: due}}
	full.Content.EUCovidCert = &wire.EUCovidCert{AuthCode: "abc"}
	b.fed.deliver(codeA, full)
	bare := plain(2, true)
	bare.Content.ThirdParty = &wire.ThirdParty{ID: "y"}
	bare.Content.Payment = &wire.Payment{Amount: 1, NoticeNumber: "002032002700000251",
		InvalidAfterDueDate: true, Payee: payeeA}
	b.fed.deliver(codeA, bare)

	head := func(n int) map[string]any {
		return map[string]any{"id": idOf(n).String(), "fiscal_code": codeA,
			"created_at": idOf(n).Time().String(), "sender_service_id": serviceA,
			"time_to_live": 3600}
	}
	want := head(1)
	want["content"] = map[string]any{
		"subject": full.Content.Subject, "markdown": full.Content.Markdown,
		"require_secure_channels": false, "due_date": "2030-03-17T17:46:40.123Z",
		"payment_data": map[string]any{"amount": 9999999999, "notice_number": "302032002700000251",
			"invalid_after_due_date": false, "payee": map[string]any{"fiscal_code": payeeA}},
		"third_party_data": map[string]any{"id": "x", "has_attachments": true,
			"has_remote_content": false, "has_precondition": "ONCE", "original_sender": "Comune",
			"configuration_id":      "01HMVMHCZZ8D0VTFWMRHBM5D6F",
			"original_receipt_date": "2030-03-17T17:46:40.123Z", "summary": "s"},
		"eu_covid_cert": map[string]any{"auth_code": "abc"}}
	path := func(n int) string { return inboxPath + "/" + idOf(n).String() }
	if got := b.do("GET", path(1), token, "", 200); !equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for k, v := range map[string]any{"service_name": "Anagrafe", "is_read": true,
		"organization_name": "Comune di Prova", "organization_fiscal_code": payeeA,
		"message_title":   full.Content.Subject,
		"category":        map[string]any{"tag": "PAYMENT", "rptId": "01234567890302032002700000251"},
		"has_attachments": false, "has_precondition": false, "is_archived": false} {
		want[k] = v
	}
	if got := b.do("GET", path(1)+"?public_message=true", token, "", 200); !equal(got, want) {
		t.Errorf("public: got %v, want %v", got, want)
	}
	want = head(2)
	want["content"] = map[string]any{"subject": bare.Content.Subject,
		"markdown": bare.Content.Markdown,
		"payment_data": map[string]any{"amount": 1, "notice_number": "002032002700000251",
			"invalid_after_due_date": true, "payee": map[string]any{"fiscal_code": payeeA}},
		"third_party_data": map[string]any{"id": "y", "has_attachments": false,
			"has_remote_content": false}}
	if got := b.do("GET", strings.ToLower(path(2)), token, "", 200); !equal(got, want) {
		t.Errorf("bare: got %v, want %v", got, want)
	}

	b.do("GET", path(1), other, "", 404)
	b.do("GET", path(9), token, "", 404)
	b.do("GET", inboxPath+"/"+strings.Repeat("Z", 26), token, "", 404)
	b.do("GET", inboxPath+"/"+strings.Repeat("0", 26), token, "", 404)
	for _, id := range []string{"x", idOf(1).String()[1:], idOf(1).String() + "0",
		strings.Repeat("U", 26), strings.Repeat("%C4%B1", 13), "%00"} {
		b.doInvalid("GET", inboxPath+"/"+id, token, "", 400)
	}
	b.doInvalid("GET", path(1)+"?public_message=x", token, "", 400)
}

func TestSenderOutage(t *testing.T) {
	b := newBench(t)
	token := b.login(codeA)
	b.fed.deliver(codeA, plain(1, false))
	b.fed.deaf = wire.Unavailable
	for _, path := range []string{inboxPath + "?enrich_result_data=true",
		inboxPath + "/" + idOf(1).String() + "?public_message=true"} {
		got := b.do("GET", path, token, "", 200)
		if list, ok := got["items"]; ok {
			got = list.([]any)[0].(map[string]any)
		}
		b.want(got, map[string]any{"service_name": unknownSender.service,
			"organization_fiscal_code": unknownSender.code})
	}
}

// However many senders cannot be looked up, a page takes no longer than senderWait.
func TestSlowSenders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		token := b.login(codeA)
		for n := range 50 {
			m := plain(n+1, false)
			m.Item.Service = wire.ServiceID(fmt.Sprintf("service-%d", n/2))
			b.fed.deliver(codeA, m)
		}
		b.fed.slow = true
		began := time.Now()
		got := b.do("GET", inboxPath+"?enrich_result_data=true&page_size=100", token, "", 200)
		if n := len(items(t, got)); n != 50 {
			t.Errorf("got %d items, want 50", n)
		}
		if took := time.Since(began); took != senderWait {
			t.Errorf("took %v of virtual time, want %v", took, senderWait)
		}
		if b.fed.most != senderLookups {
			t.Errorf("got %d look-ups at once, want %d", b.fed.most, senderLookups)
		}
		// Without names nobody is asked.
		began = time.Now()
		b.do("GET", inboxPath+"?page_size=100", token, "", 200)
		if took := time.Since(began); took != 0 {
			t.Errorf("a plain list took %v of virtual time", took)
		}
	})
}

// asksNoRegion are the operations that nothing of a citizen's is needed for.
var asksNoRegion = map[string]bool{"healthcheck": true}

// Every operation turns every error of its region into a status of its own list.
func TestRegionErrors(t *testing.T) {
	table := map[wire.Code]int{
		wire.Internal: 500, wire.Malformed: 400, wire.TooLarge: 400, wire.Unauthenticated: 401,
		wire.Forbidden: 500, wire.WrongFederation: 500, wire.NotLeader: 500, wire.Unavailable: 500,
		wire.OutcomeUnknown: 500, wire.NotFound: 404, wire.Conflict: 409, wire.Moved: 500,
		wire.TooOld: 500, wire.NotReady: 500, wire.UnknownKind: 500, wire.Overloaded: 429,
	}
	for code := wire.Internal; code <= wire.Overloaded; code++ {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			token := b.login(codeA)
			for _, op := range served {
				if asksNoRegion[op.ID] {
					continue
				}
				b.fed.fault = nil
				if op.By == operation.Session {
					token = b.login(codeA)
				}
				b.fed.fault = func(wire.Method, bool) error { return wire.Errorf(code, "injected") }
				want := table[code]
				if code == wire.Moved && op.By == operation.Anyone || !op.Has(want) {
					want = 500
				}
				if code == wire.Conflict && op.By == operation.Anyone {
					want = 500 // a claim that never ends
				}
				path := strings.NewReplacer("{id}", idOf(1).String(), "{service_id}",
					string(serviceA), "{session_id}", strings.Repeat("1", 32)).Replace(op.Path)
				got := b.do(op.Method, path, token, validBody(op.ID), want)
				if code == wire.Conflict && want == 409 && got["detail"] != "injected" {
					t.Errorf("%s: the region's detail is lost: %v", op.ID, got)
				}
			}
		})
	}
}

func validBody(id string) string {
	switch id {
	case "testLogin", "testLoginUnderAuth":
		return `{"username":"` + string(codeA) + `","password":"test"}`
	case "updateProfile":
		return `{"version":0}`
	case "moveToRegion":
		return `{"region":"sicilia"}`
	case "upsertServicePreferences":
		return `{"is_inbox_enabled":true,"is_email_enabled":true,"is_webhook_enabled":true,` +
			`"settings_version":0}`
	case "lockSession", "unlockSession":
		return `{"unlock_code":"123456789"}`
	case "signMessage":
		return `{"message":"ciao"}`
	case "upsertMessageStatusAttributes":
		return `{"change_type":"reading","is_read":true}`
	case "searchMessages":
		return `{"query":"x"}`
	}
	return ""
}

// A dead session is told before anything else is; with a living one, or a region that is away,
// what is wrong with the request.
func TestDeadSessionComesFirst(t *testing.T) {
	b := newBench(t)
	dead := b.login(codeA)
	b.do("POST", "/api/auth/v1/logout", dead, "", 200)
	token := b.login(codeA)
	bad := [][3]string{{"POST", profilePath, `{}`}, {"GET", inboxPath + "?page_size=0", ""},
		{"GET", inboxPath + "/x", ""}, {"GET", "/api/auth/v1/session?fields=x", ""},
		{"POST", homePath, `{}`}, {"PUT", statusPath(1), `{"change_type":"reading"}`},
		{"POST", "/api/identity/v1/services/" + string(serviceA) + "/preferences", `{}`}}
	for _, q := range bad {
		b.doInvalid(q[0], q[1], dead, q[2], 401)
		b.doInvalid(q[0], q[1], token, q[2], 400)
	}
	unknown := "/api/identity/v1/services/unknown/preferences"
	b.do("GET", unknown, dead, "", 401)
	b.do("GET", unknown, token, "", 404)
	b.fed.fault = func(wire.Method, bool) error { return wire.Unavailable }
	for _, q := range bad {
		b.doInvalid(q[0], q[1], token, q[2], 400)
	}
}

func statusPath(n int) string { return inboxPath + "/" + idOf(n).String() + "/status" }

// A status is what the changes made of it, in the answer, in lists and in the message; reading the
// message is no change.
func TestMessageStatus(t *testing.T) {
	b := newBench(t)
	token, other := b.login(codeA), b.login(codeB)
	b.fed.deliver(codeA, plain(1, false))
	b.fed.deliver(codeA, plain(2, false))
	message := inboxPath + "/" + idOf(1).String() + "?public_message=true"
	b.do("GET", message, token, "", 200)
	is := func(read, archived bool) map[string]any {
		return map[string]any{"is_read": read, "is_archived": archived}
	}
	b.want(b.do("GET", message, token, "", 200), is(false, false))
	for _, change := range []struct {
		body string
		want map[string]any
	}{
		{`{"change_type":"archiving","is_archived":true}`, is(false, true)},
		{`{"change_type":"archiving","is_archived":true,"is_read":true}`, is(false, true)},
		{`{"change_type":"bulk","is_archived":false}`, is(false, false)},
		{`{"change_type":"reading","is_read":true}`, is(true, false)},
		{`{"change_type":"reading","is_read":true,"is_archived":true}`, is(true, false)},
		{`{"change_type":"bulk","is_archived":true,"is_read":true}`, is(true, true)},
		{`{"change_type":"archiving","is_archived":false}`, is(true, false)},
		{`{"change_type":"archiving","is_archived":true}`, is(true, true)},
	} {
		for range 2 {
			if got := b.do("PUT", statusPath(1), token, change.body, 200); !equal(got, change.want) {
				t.Errorf("%s: got %v, want %v", change.body, got, change.want)
			}
		}
		b.want(b.do("GET", message, token, "", 200), change.want)
	}
	for query, n := range map[string]int{"": 2, "&archived=true": 1} {
		got := items(t, b.do("GET", inboxPath+"?enrich_result_data=true"+query, token, "", 200))
		if len(got) != 1 || got[0]["id"] != idOf(n).String() {
			t.Fatalf("%q lists %v, want message %d", query, got, n)
		}
		b.want(got[0], is(n == 1, n == 1))
	}
	reading := validBody("upsertMessageStatusAttributes")
	b.do("PUT", statusPath(1), other, reading, 404)
	b.do("PUT", statusPath(9), token, reading, 404)
	b.doInvalid("PUT", inboxPath+"/x/status", token, reading, 400)
	b.fed.fault = func(wire.Method, bool) error { return wire.UnknownKind }
	got := b.do("PUT", statusPath(1), token, reading, 500)
	b.want(got, map[string]any{"detail": "The citizen's region cannot do this yet."})
}

// A change that is none is refused with what is wrong with it.
func TestMessageStatusBody(t *testing.T) {
	b := newBench(t)
	token := b.login(codeA)
	b.fed.deliver(codeA, plain(1, false))
	for body, place := range map[string]string{
		`{}`:                         "change_type",
		`[]`:                         "object",
		`{"change_type":"deleting"}`: "change_type",
		`{"change_type":"reading"}`:  "is_read",
		`{"change_type":"reading","is_read":false}`:                 "is_read",
		`{"change_type":"reading","is_read":null}`:                  "is_read",
		`{"change_type":"archiving","is_read":true}`:                "is_archived",
		`{"change_type":"archiving","is_archived":1}`:               "is_archived",
		`{"change_type":"bulk","is_read":true}`:                     "is_archived",
		`{"change_type":"bulk","is_archived":true,"is_read":false}`: "is_read",
	} {
		got := b.doInvalid("PUT", statusPath(1), token, body, 400)
		if detail, _ := got["detail"].(string); !strings.Contains(detail, place) {
			t.Errorf("%s: %q does not name %s", body, detail, place)
		}
	}
	if n := b.fed.calls[wire.MethodSetMessageStatus]; n != 0 {
		t.Errorf("%d calls of bodies that say nothing", n)
	}
}

// A page that passed over all that it may leads on, also when it shows nothing.
func TestPageGoesOn(t *testing.T) {
	b := newBench(t)
	token := b.login(codeA)
	for n := range 40 {
		b.fed.deliver(codeA, plain(n+1, n != 0 && n != 39))
	}
	b.fed.citizens[codeA].passes = 10
	var walked []string
	pages, next := 0, ""
	for ; pages < 20; pages++ {
		got := b.do("GET", inboxPath+"?page_size=5"+next, token, "", 200)
		for _, i := range items(t, got) {
			walked = append(walked, i["id"].(string))
		}
		if got["next"] == nil {
			break
		}
		next = "&maximum_id=" + got["next"].(string)
	}
	if want := []string{idOf(40).String(), idOf(1).String()}; !slices.Equal(walked, want) || pages != 3 {
		t.Errorf("walked %v in %d pages and a last one, want %v in 3", walked, pages, want)
	}
}

func TestNotReady(t *testing.T) {
	b := newBench(t)
	token := b.login(codeA)
	b.fed.hasher, b.fed.regions = nil, nil
	for _, op := range served {
		path := strings.NewReplacer("{id}", idOf(1).String(), "{service_id}", "x",
			"{session_id}", strings.Repeat("1", 32)).Replace(op.Path)
		got := b.do(op.Method, path, token, validBody(op.ID), 500)
		b.want(got, map[string]any{"type": problemUnavailable.Type.URN()})
	}
}

// At the bound of requests in flight one more is refused at once, and served again afterwards.
func TestInFlightBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBenchWith(t, Config{InFlightMax: 1, TestLogin: &TestLogin{Any: true}})
		token := b.login(codeA)
		entered, leave := make(chan struct{}), make(chan struct{})
		b.fed.away = func(wire.RegionID) {
			entered <- struct{}{}
			<-leave
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			b.do("GET", profilePath, token, "", 200)
		}()
		<-entered
		a := b.checker.Do(t, b.mux, request("GET", profilePath, token, ""))
		b.expect(a, 429)
		if a.Header.Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
		// Where the contract has no 429.
		got := b.do("POST", "/test-login", "", validBody("testLogin"), 500)
		b.want(got, map[string]any{"type": problemUnavailable.Type.URN()})
		close(leave)
		<-done
		b.fed.away = nil
		b.do("GET", profilePath, token, "", 200)
	})
}

// While one region does not answer, its citizens take only its own places; and requests whose
// bodies do not come take none of any region.
func TestRegionAwayShutsOutNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBenchWith(t, Config{InFlightMax: 1, TestLogin: &TestLogin{Any: true}})
		away := b.login(codeA) // at home, lazio
		b.fed.home = "sicilia"
		there := b.login(codeB)
		leave := make(chan struct{})
		b.fed.away = func(region wire.RegionID) {
			if region == "lazio" {
				<-leave
			}
		}
		var waiting sync.WaitGroup
		waiting.Go(func() { b.do("GET", profilePath, away, "", 200) })
		body, sent := io.Pipe()
		waiting.Go(func() {
			r := request("POST", profilePath, there, "")
			r.Body, r.ContentLength = body, -1
			b.mux.ServeHTTP(httptest.NewRecorder(), r)
		})
		synctest.Wait()
		b.do("GET", profilePath, there, "", 200)
		b.do("GET", profilePath, away, "", 429)
		b.do("POST", profilePath, there, `{"version":0}`, 429)
		sent.Close()
		close(leave)
		waiting.Wait()
		b.do("GET", profilePath, away, "", 200)
	})
}

// checkObject parses a body and holds the result against the JSON library's own reading.
func checkObject(t *testing.T, body []byte) *strictjson.Object {
	t.Helper()
	o, err := parseObject(body)
	// Raw members: a number beyond a float64 is JSON. Half a character in an escape is, too.
	var generic map[string]jsontext.Value
	plain := json.Unmarshal(body, &generic, jsontext.AllowInvalidUTF8(true))
	isObject := generic != nil
	if err == nil && (plain != nil || !isObject) {
		t.Fatalf("accepted what is no object: %v", plain)
	}
	if err != nil {
		if plain == nil && isObject && shallow(body) && utf8.Valid(body) {
			t.Fatalf("refused an object: %v", err)
		}
		if p := problem.From(err); p.Type != problemBody.Type || p.Detail == "" {
			t.Fatalf("got %v, want a problem of the body", err)
		}
		return nil
	}
	if o.Len() != len(generic) {
		t.Fatalf("got %d members, want %d", o.Len(), len(generic))
	}
	return o
}

// shallow reports whether brackets nest at most strictjson.DepthMax deep. What is inside strings
// does not count.
func shallow(body []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > strictjson.DepthMax {
				return false
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return true
}
