package institution

import (
	"errors"
	"strings"
	"testing"
	"testing/quick"
	"time"
	"unicode/utf16"

	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/wire"
)

// decode decodes body as a message and returns the problem's type and detail.
func decode(t testing.TB, body string) (m newMessage, kind, detail string) {
	t.Helper()
	d := newDecoder()
	d.body = []byte(body)
	err := d.decodeMessage(&m)
	var p problem.Problem
	if err != nil && !errors.As(err, &p) {
		t.Fatalf("error %v is no problem", err)
	}
	return m, string(p.Type), p.Detail
}

func TestMalformedJSON(t *testing.T) {
	ok := message(active, "")
	for body, want := range map[string]string{
		"":                   "is empty",
		" \n\t":              "is empty",
		"\xff" + ok:          "is not UTF-8",
		ok + "x":             "is not valid JSON, at byte ",
		ok + ok:              "goes on after its JSON value",
		ok[:len(ok)-1]:       "ends within its JSON value, at byte ",
		`{"a":1,}`:           "is not valid JSON, at byte 6",
		`{"a" 1}`:            "is not valid JSON, at byte 5",
		`{"a":01}`:           "is not valid JSON",
		`{"a":"` + "\n":      "is not valid JSON",
		`{"a":1,"a":2}`:      "has two members of the same name in one object, at byte 7",
		`{"a":1,"\u0061":2}`: "has two members of the same name",
		`{"content":{"subject":"` + subject + `","subject":"` + subject + `"}}`: "has two members",
		`{"x":{"` + active + `":1,"` + active + `":2}}`:                         "has two members",
		`{"x":"\ud800"}`:                                "is not valid JSON",
		`{"x":` + strings.Repeat("[", 10_000):           "is nested deeper than 64 levels",
		`{"x":` + strings.Repeat(`{"a":`, 10_000):       "is nested deeper than 64 levels",
		`{"content":` + strings.Repeat(`[`, 10_000):     "is nested deeper than 64 levels",
		`{"fiscal_code":` + strings.Repeat(`{"a":`, 65): "is nested deeper than 64 levels",
	} {
		_, kind, detail := decode(t, body)
		if kind != "malformed-json" || !strings.HasPrefix(detail, "The request body "+want) {
			t.Errorf("%.60q: got %s %q, want %q", body, kind, detail, want)
		}
		if strings.Contains(detail, active) {
			t.Errorf("the detail %q repeats a fiscal code", detail)
		}
	}
}

// What the strictness must not hit.
func TestTolerated(t *testing.T) {
	for _, body := range []string{
		"\xef\xbb\xbf" + message(active, ""),
		" \r\n" + message(active, "") + " \r\n",
		`{"x":` + strings.Repeat("[", 62) + strings.Repeat("]", 62) + "," + message("", "")[1:],
		`{"a":{"x":1},"b":{"x":1},` + message("", "")[1:],
		`{"time_to_live":null,"feature_level_type":null,` + message("", "")[1:],
		message("", `,"payment_data":{"amount":10,"notice_number":"012345678901234567",`+
			`"invalid_after_due_date":null}`),
		message("", `,"third_party_data":{"id":"x","has_attachments":null,`+
			`"has_remote_content":null}`),
		message("", `,"prescription_data":{"nre":1},"legal_data":false`),
		strings.ReplaceAll(message("", ""), `"subject"`, `"\u0073ubject"`),
		strings.Replace(message("", ""), subject, `\ud83d\ude00\ud83d\ude00\ud83d\ude00\u0000a,.`, 1),
	} {
		if _, kind, detail := decode(t, body); kind != "" {
			t.Errorf("%s: refused: %s %s", body, kind, detail)
		}
	}
}

// One broken value each, and the line that reports it.
func TestInvalidValues(t *testing.T) {
	const fiscal = "[" + typeFiscalCode + "]"
	third := func(member string) string {
		return message("", `,"third_party_data":{"id":"x",`+member+`}`)
	}
	pay := func(members string) string { return message("", `,"payment_data":{`+members+`}`) }
	const amount = `"amount":1`
	const notice = `"notice_number":"012345678901234567"`
	top := func(member string) string { return `{` + member + `,` + message("", "")[1:] }
	for body, want := range map[string]string{
		`[]`:               "value [...] at root is not a valid [NewMessage]",
		`null`:             "value null at root is not a valid [NewMessage]",
		`"` + active + `"`: `value "..." at root is not a valid [NewMessage]`,
		`{}`:               "value undefined at root.content is not a valid [MessageContent]",
		`{"content":3}`:    "value 3 at root.content is not a valid [MessageContent]",
		`{"content":{"markdown":"` + text + `"}}`: "value undefined at root.content.subject is " +
			"not a valid [string of length >= 10 and < 121]",
		`{"content":{"subject":"` + subject + `"}}`: "value undefined at root.content.markdown " +
			"is not a valid [string of length >= 80 and < 10001]",
		strings.Replace(message("", ""), subject, "too short", 1): `value "..." at ` +
			"root.content.subject is not a valid [string of length >= 10 and < 121]",

		top(`"fiscal_code":"rccmnl83s18d969h"`): `value "..." at root.fiscal_code is not a valid ` + fiscal,
		top(`"fiscal_code":""`):                 `value "..." at root.fiscal_code is not a valid ` + fiscal,
		top(`"fiscal_code":"AAAAAA00A00A000ſ"`): `value "..." at root.fiscal_code is not a valid ` + fiscal,
		top(`"fiscal_code":null`):               `value null at root.fiscal_code is not a valid ` + fiscal,
		top(`"fiscal_code":12`):                 `value "..." at root.fiscal_code is not a valid ` + fiscal,
		top(`"time_to_live":3599`):              "value 3599 at root.time_to_live is not a valid [integer >= 3600 and <= 604800]",
		top(`"time_to_live":604801`):            "value 604801 at root.time_to_live is not a valid [integer >= 3600 and <= 604800]",
		top(`"time_to_live":3600.5`):            "value 3600.5 at root.time_to_live is not a valid [integer >= 3600 and <= 604800]",
		top(`"time_to_live":1e999`):             "value 1e999 at root.time_to_live is not a valid [integer >= 3600 and <= 604800]",
		top(`"time_to_live":"3600"`):            `value "3600" at root.time_to_live is not a valid [integer >= 3600 and <= 604800]`,
		top(`"feature_level_type":"advanced"`):  `value "advanced" at root.feature_level_type is not a valid ["STANDARD" or "ADVANCED"]`,
		top(`"feature_level_type":"` + strings.Repeat("A", 99) + `"`): `value "..." at ` +
			`root.feature_level_type is not a valid ["STANDARD" or "ADVANCED"]`,
		top(`"feature_level_type":"xx` + strings.ToLower(active) + `"`): `value "..." at ` +
			`root.feature_level_type is not a valid ["STANDARD" or "ADVANCED"]`,
		top(`"default_addresses":1`): "value 1 at root.default_addresses is not a valid [NewMessageDefaultAddresses]",
		top(`"default_addresses":{"email":"nobody"}`): `value "..." at root.default_addresses.email ` +
			"is not a valid [string that represents an email address]",

		message("", `,"require_secure_channels":"yes"`): `value "yes" at root.content.require_secure_channels is not a valid [boolean]`,
		message("", `,"require_secure_channels":null`):  `value null at root.content.require_secure_channels is not a valid [boolean]`,
		message("", `,"due_date":"2026-02-30T00:00:00Z"`): `value "2026-02-30T00:00:00Z" at ` +
			`root.content.due_date is not a valid [UTCISODateFromString or ISO 8601 date with offset]`,
		message("", `,"due_date":null`): `value null at root.content.due_date is not a valid ` +
			`[UTCISODateFromString or ISO 8601 date with offset]`,

		pay(notice):                           "value undefined at root.content.payment_data.amount is not a valid [integer >= 1 and <= 9999999999]",
		pay(amount):                           `value undefined at root.content.payment_data.notice_number is not a valid [string that matches the pattern "^[0123][0-9]{17}$"]`,
		pay(notice + `,"amount":-1`):          "value -1 at root.content.payment_data.amount is not a valid [integer >= 1 and <= 9999999999]",
		pay(notice + `,"amount":0`):           "value 0 at root.content.payment_data.amount is not a valid [integer >= 1 and <= 9999999999]",
		pay(notice + `,"amount":10000000000`): "value 10000000000 at root.content.payment_data.amount is not a valid [integer >= 1 and <= 9999999999]",
		pay(amount + `,"notice_number":"412345678901234567"`): `value "412345678901234567" at ` +
			`root.content.payment_data.notice_number is not a valid [string that matches the pattern "^[0123][0-9]{17}$"]`,
		pay(amount + `,` + notice + `,"payee":{}`): "value undefined at root.content.payment_data." +
			`payee.fiscal_code is not a valid [string that matches the pattern "^[0-9]{11}$"]`,
		pay(amount + `,` + notice + `,"payee":{"fiscal_code":"1"}`): `value "1" at root.content.payment_data.` +
			`payee.fiscal_code is not a valid [string that matches the pattern "^[0-9]{11}$"]`,
		pay(amount + `,` + notice + `,"payee":null`): `value null at root.content.payment_data.payee is not a valid [Payee]`,

		message("", `,"third_party_data":{}`):   "value undefined at root.content.third_party_data.id is not a valid [non empty string]",
		third(`"summary":""`):                   `value "..." at root.content.third_party_data.summary is not a valid [non empty string]`,
		third(`"original_sender":1`):            `value "..." at root.content.third_party_data.original_sender is not a valid [non empty string]`,
		third(`"has_precondition":"SOMETIMES"`): `value "SOMETIMES" at root.content.third_party_data.has_precondition is not a valid ["ALWAYS" or "ONCE" or "NEVER"]`,
		third(`"configuration_id":"01ARZ3NDEKTSV4RRFFQ69G5FAU"`): `value "01ARZ3NDEKTSV4RRFFQ69G5FAU" at ` +
			`root.content.third_party_data.configuration_id is not a valid [string that matches the pattern "^[0-9a-hjkmnp-tv-zA-HJKMNP-TV-Z]{26}$"]`,
		third(`"original_receipt_date":"x"`):                   `value "x" at root.content.third_party_data.original_receipt_date is not a valid [UTCISODateFromString or ISO 8601 date with offset]`,
		message("", `,"eu_covid_cert":{}`):                     "value undefined at root.content.eu_covid_cert.auth_code is not a valid [string]",
		message("", `,"eu_covid_cert":{"auth_code":{"a":[]}}`): "value {...} at root.content.eu_covid_cert.auth_code is not a valid [string]",
	} {
		_, kind, detail := decode(t, body)
		if kind != "invalid-message" || detail != want {
			t.Errorf("%s:\ngot  %s %s\nwant invalid-message %s", body, kind, detail, want)
		}
	}
}

func TestReport(t *testing.T) {
	_, _, detail := decode(t, `{"time_to_live":1,"content":{"subject":"","markdown":true}}`)
	want := "value 1 at root.time_to_live is not a valid [integer >= 3600 and <= 604800]\n" +
		`value "..." at root.content.subject is not a valid [string of length >= 10 and < 121]` +
		"\n" + `value "..." at root.content.markdown is not a valid [string of length >= 80 and < 10001]`
	if detail != want {
		t.Errorf("got  %s\nwant %s", detail, want)
	}
	d := newDecoder()
	d.body = []byte(`{}`)
	d.begin()
	for range faultsMax + 3 {
		d.fault("x", "1", "y")
	}
	d.skip()
	detail = d.end().(problem.Problem).Detail
	if got := strings.Count(detail, "\n"); got != faultsMax ||
		!strings.HasSuffix(detail, "\n3 more values are not valid") {
		t.Errorf("%d lines: %s", got+1, detail)
	}
}

// A decoder is used again after any message, and keeps nothing large.
func TestDecoderReuse(t *testing.T) {
	d := newDecoder()
	for _, body := range []string{`{"x":[[[`, `{"content":{"due_date":1`, message(active,
		`,"due_date":"2026-01-01T00:00:00Z"`), `{}`, message("", "")} {
		d.body = append(d.body[:0], body...)
		err := d.decodeMessage(&d.message)
		if got := err == nil; got != strings.HasSuffix(body, `"}}`) {
			t.Errorf("%s: %v", body, err)
		}
		if body == message("", "") && (d.message.fiscalCode != "" ||
			d.message.content.DueDate != nil) {
			t.Error("something of an earlier message is left")
		}
		d.reset()
	}
	d.body = make([]byte, keptBytesMax+1)
	d.reset()
	if d.body != nil {
		t.Errorf("kept a buffer of %d bytes", cap(d.body))
	}
}

func TestParseTimestamp(t *testing.T) {
	for in, want := range map[string]string{
		"2026-01-31T23:59:59Z":             "2026-01-31T23:59:59.000Z",
		"2026-01-31T23:59:59":              "2026-01-31T23:59:59.000Z",
		"2026-01-31T23:59:59.1Z":           "2026-01-31T23:59:59.100Z",
		"2026-01-31T23:59:59.99999999999Z": "2026-01-31T23:59:59.999Z",
		"2026-01-31T23:59:59.012":          "2026-01-31T23:59:59.012Z",
		"2026-01-31T23:59:59+02:00":        "2026-01-31T21:59:59.000Z",
		"2026-01-31T23:59:59.5-00:30":      "2026-02-01T00:29:59.500Z",
		"2024-02-29T00:00:00Z":             "2024-02-29T00:00:00.000Z",
		"0000-01-01T00:00:00Z":             "0000-01-01T00:00:00.000Z",
		"9999-12-31T23:59:59Z":             "9999-12-31T23:59:59.000Z",
		"1969-12-31T23:59:59.9999Z":        "1969-12-31T23:59:59.999Z",
		"0000-01-01T00:00:00+00:01":        "",
		"9999-12-31T23:59:59-00:01":        "",
		"2026-02-29T00:00:00Z":             "",
		"2026-04-31T00:00:00Z":             "",
		"2026-13-01T00:00:00Z":             "",
		"2026-00-01T00:00:00Z":             "",
		"2026-01-00T00:00:00Z":             "",
		"2026-01-01T24:00:00Z":             "",
		"2026-01-01T23:60:00Z":             "",
		"2026-01-01T23:00:60Z":             "",
		"2026-01-01T00:00:00.Z":            "",
		"2026-01-01T00:00:00z":             "",
		"2026-01-01 00:00:00Z":             "",
		"2026-01-01T00:00:00+0200":         "",
		"2026-01-01T00:00:00+24:00":        "",
		"2026-01-01T00:00:00+02:60":        "",
		"2026-01-01T00:00:00Z ":            "",
		"2026-01-01":                       "",
		"2026-1-01T00:00:00Z":              "",
		"+2026-01-01T00:00:00Z":            "",
		"":                                 "",
	} {
		got, ok := parseTimestamp([]byte(in))
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%s: got %v %v, want %q", in, got, ok, want)
		}
	}
}

// Whatever the standard library calls RFC 3339 is the same instant here.
func TestParseTimestampAgrees(t *testing.T) {
	same := func(ms uint32, east int16) bool {
		zone := time.FixedZone("", int(east)%(14*60)*60)
		at := time.UnixMilli(int64(ms) * 1000).In(zone)
		got, ok := parseTimestamp([]byte(at.Format(time.RFC3339Nano)))
		return ok && got == wire.TimeOf(at)
	}
	if err := quick.Check(same, nil); err != nil {
		t.Error(err)
	}
}

// Lengths are the contract's: UTF-16 code units.
func TestWithin(t *testing.T) {
	same := func(s string) bool {
		s = strings.ToValidUTF8(s, "?")
		n := len(utf16.Encode([]rune(s)))
		return within([]byte(s), n, n) && !within([]byte(s), n+1, n+1)
	}
	if err := quick.Check(same, nil); err != nil {
		t.Error(err)
	}
	if !within([]byte("aé€😀"), 5, 5) {
		t.Error("aé€😀 is five units")
	}
}

func TestWhole(t *testing.T) {
	for in, want := range map[string]uint64{"0": 0, "1": 1, "9999999999": 9999999999, "1e3": 1000,
		"3600.0": 3600, "36.5E2": 3650, "9007199254740992": 1 << 53, "0.1e1": 1} {
		if got, ok := whole([]byte(in)); !ok || got != want {
			t.Errorf("%s: %d %v, want %d", in, got, ok, want)
		}
	}
	for _, in := range []string{"-1", "-1e3", "0.5", "1e-1", "1e400", "9007199254740993e3", "3600.5"} {
		if got, ok := whole([]byte(in)); ok {
			t.Errorf("%s is no whole number, got %d", in, got)
		}
	}
}

func TestShowable(t *testing.T) {
	for raw, want := range map[string]bool{
		`"2026-01-01"`: true, `123`: true, `"` + active + `"`: false,
		`"x` + strings.ToLower(active) + `x"`: false, `"a\u0041"`: false,
		`"` + strings.Repeat("x", 99) + `"`: false, `"` + strings.Repeat("x", 98) + `"`: true,
	} {
		if got := showable([]byte(raw)); got != want {
			t.Errorf("%s: %v, want %v", raw, got, want)
		}
	}
}
