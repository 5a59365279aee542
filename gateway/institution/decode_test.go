package institution

import (
	"errors"
	"strings"
	"testing"
	"testing/quick"
	"time"
	"unicode/utf16"

	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/internal/strictjson"
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
		`{"x":` + strings.Repeat("[", 10_000):                                   "is nested deeper than 64 levels",
		`{"x":` + strings.Repeat(`{"a":`, 10_000):                               "is nested deeper than 64 levels",
		`{"content":` + strings.Repeat(`[`, 10_000):                             "is nested deeper than 64 levels",
		`{"fiscal_code":` + strings.Repeat(`{"a":`, 65):                         "is nested deeper than 64 levels",
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
		`{"default_addresses":{"email":"mario@città.it"},` + message("", "")[1:],
		`{"default_addresses":{"email":"\"a b\"@x.it"},` + message("", "")[1:],
		message("", `,"due_date":"2026-12-31T24:00:00Z"`),
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
		`{"x":"\ud800","\udc00":{"\udfff":"\ud83dx"},` + message("", "")[1:],
		strings.Replace(message("", ""), subject, strings.Repeat("a", 119)+`\ud83d`, 1),
		strings.Replace(message("", ""), subject, `\ud83d\ude00\ud83d\ude00\ud83d\ude00\u0000a,.`, 1),
	} {
		if _, kind, detail := decode(t, body); kind != "" {
			t.Errorf("%s: refused: %s %s", body, kind, detail)
		}
	}
}

// line is the report of one broken value.
func line(value, path, want string) string {
	return "value " + value + " at root" + path + " is not a valid [" + want + "]"
}

// The contract's names of the types.
const (
	typeDate     = "UTCISODateFromString or ISO 8601 date with offset"
	typeTTL      = "integer >= 3600 and <= 604800"
	typeAmount   = "integer >= 1 and <= 9999999999"
	typeLevel    = `"STANDARD" or "ADVANCED"`
	typeNotice   = `string that matches the pattern "^[0123][0-9]{17}$"`
	typePayee    = `string that matches the pattern "^[0-9]{11}$"`
	typeULID     = `string that matches the pattern "^[0-9a-hjkmnp-tv-zA-HJKMNP-TV-Z]{26}$"`
	typeSubject  = "string of length >= 10 and < 121"
	typeMarkdown = "string of length >= 80 and < 10001"

	goodAmount = `"amount":1,`
	goodNotice = `"notice_number":"012345678901234567"`
)

func inTop(member string) string { return `{` + member + `,` + message("", "")[1:] }

func inContent(member string) string { return message("", `,`+member) }

func inPayment(members string) string { return inContent(`"payment_data":{` + members + `}`) }

func inThird(member string) string {
	return inContent(`"third_party_data":{"id":"x",` + member + `}`)
}

// invalidValues are bodies with one broken value each: the value as a report shows it, its path
// and type.
var invalidValues = []struct{ body, value, path, want string }{
	{`[]`, "[...]", "", "NewMessage"},
	{`null`, "null", "", "NewMessage"},
	{`"` + active + `"`, strictjson.Hidden, "", "NewMessage"},
	{`{}`, "undefined", ".content", "MessageContent"},
	{`{"content":3}`, "3", ".content", "MessageContent"},
	{`{"content":{"markdown":"` + text + `"}}`, "undefined", ".content.subject", typeSubject},
	{`{"content":{"subject":"` + subject + `"}}`, "undefined", ".content.markdown", typeMarkdown},
	{strings.Replace(message("", ""), subject, "too short", 1), strictjson.Hidden, ".content.subject",
		typeSubject},

	{inTop(`"fiscal_code":"rccmnl83s18d969h"`), strictjson.Hidden, ".fiscal_code", typeFiscalCode},
	{inTop(`"fiscal_code":""`), strictjson.Hidden, ".fiscal_code", typeFiscalCode},
	{inTop(`"fiscal_code":"EEEEEE00A00E000ſ"`), strictjson.Hidden, ".fiscal_code", typeFiscalCode},
	{inTop(`"fiscal_code":null`), "null", ".fiscal_code", typeFiscalCode},
	{inTop(`"fiscal_code":12`), strictjson.Hidden, ".fiscal_code", typeFiscalCode},
	{inTop(`"time_to_live":3599`), "3599", ".time_to_live", typeTTL},
	{inTop(`"time_to_live":604801`), "604801", ".time_to_live", typeTTL},
	{inTop(`"time_to_live":3600.5`), "3600.5", ".time_to_live", typeTTL},
	{inTop(`"time_to_live":1e999`), "1e999", ".time_to_live", typeTTL},
	{inTop(`"time_to_live":"3600"`), `"3600"`, ".time_to_live", typeTTL},
	{inTop(`"time_to_live":1` + strings.Repeat("0", 200)), strictjson.Hidden, ".time_to_live", typeTTL},
	{inTop(`"feature_level_type":"advanced"`), `"advanced"`, ".feature_level_type", typeLevel},
	{inTop(`"feature_level_type":"` + strings.Repeat("A", 99) + `"`), strictjson.Hidden,
		".feature_level_type", typeLevel},
	{inTop(`"feature_level_type":"xx` + strings.ToLower(active) + `"`), strictjson.Hidden,
		".feature_level_type", typeLevel},
	{inTop(`"default_addresses":1`), "1", ".default_addresses", "NewMessageDefaultAddresses"},
	{inTop(`"default_addresses":{"email":1}`), strictjson.Hidden, ".default_addresses.email", "string"},

	{inContent(`"require_secure_channels":"yes"`), `"yes"`, ".content.require_secure_channels",
		"boolean"},
	{inContent(`"require_secure_channels":null`), "null", ".content.require_secure_channels",
		"boolean"},
	{inContent(`"due_date":"2026-02-30T00:00:00Z"`), `"2026-02-30T00:00:00Z"`, ".content.due_date",
		typeDate},
	{inContent(`"due_date":null`), "null", ".content.due_date", typeDate},

	{inPayment(goodNotice), "undefined", ".content.payment_data.amount", typeAmount},
	{inPayment(`"amount":1`), "undefined", ".content.payment_data.notice_number", typeNotice},
	{inPayment(goodNotice + `,"amount":-1`), "-1", ".content.payment_data.amount", typeAmount},
	{inPayment(goodNotice + `,"amount":0`), "0", ".content.payment_data.amount", typeAmount},
	{inPayment(goodNotice + `,"amount":10000000000`), "10000000000", ".content.payment_data.amount",
		typeAmount},
	{inPayment(goodAmount + `"notice_number":"412345678901234567"`), `"412345678901234567"`,
		".content.payment_data.notice_number", typeNotice},
	{inPayment(goodAmount + goodNotice + `,"payee":{}`), "undefined",
		".content.payment_data.payee.fiscal_code", typePayee},
	{inPayment(goodAmount + goodNotice + `,"payee":{"fiscal_code":"1"}`), `"1"`,
		".content.payment_data.payee.fiscal_code", typePayee},
	{inPayment(goodAmount + goodNotice + `,"payee":null`), "null", ".content.payment_data.payee",
		"Payee"},

	{inContent(`"third_party_data":{}`), "undefined", ".content.third_party_data.id",
		"non empty string"},
	{inThird(`"summary":""`), strictjson.Hidden, ".content.third_party_data.summary", "non empty string"},
	{inThird(`"original_sender":1`), strictjson.Hidden, ".content.third_party_data.original_sender",
		"non empty string"},
	{inThird(`"has_precondition":"SOMETIMES"`), `"SOMETIMES"`,
		".content.third_party_data.has_precondition", `"ALWAYS" or "ONCE" or "NEVER"`},
	{inThird(`"configuration_id":"01ARZ3NDEKTSV4RRFFQ69G5FAU"`),
		`"01ARZ3NDEKTSV4RRFFQ69G5FAU"`, ".content.third_party_data.configuration_id", typeULID},
	{inThird(`"original_receipt_date":"x"`), `"x"`,
		".content.third_party_data.original_receipt_date", typeDate},
	{inContent(`"eu_covid_cert":{}`), "undefined", ".content.eu_covid_cert.auth_code", "string"},
	{inContent(`"eu_covid_cert":{"auth_code":{"a":[]}}`), "{...}",
		".content.eu_covid_cert.auth_code", "string"},
}

func TestInvalidValues(t *testing.T) {
	for _, c := range invalidValues {
		_, kind, detail := decode(t, c.body)
		if want := line(c.value, c.path, c.want); kind != "invalid-message" || detail != want {
			t.Errorf("%s:\ngot  %s %s\nwant invalid-message %s", c.body, kind, detail, want)
		}
	}
}

func TestReport(t *testing.T) {
	_, _, detail := decode(t, `{"time_to_live":1,"content":{"subject":"","markdown":true}}`)
	want := line("1", ".time_to_live", strictjson.IntegerType(3600, 604800)) + "\n" +
		line(strictjson.Hidden, ".content.subject", subjectRule.Name) + "\n" +
		line(strictjson.Hidden, ".content.markdown", markdownRule.Name)
	if detail != want {
		t.Errorf("got  %s\nwant %s", detail, want)
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
		"2026-01-01T24:00:00Z":             "2026-01-02T00:00:00.000Z",
		"2026-12-31T24:00:00.000+01:00":    "2026-12-31T23:00:00.000Z",
		"2026-02-30T24:00:00Z":             "",
		"9999-12-31T24:00:00Z":             "",
		"2026-01-01T24:00:01Z":             "",
		"2026-01-01T24:01:00Z":             "",
		"2026-01-01T24:00:00.001Z":         "",
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
