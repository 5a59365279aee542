package institution

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/staffetta/staffetta/internal/contract"
	"github.com/staffetta/staffetta/internal/openapitest"
	"github.com/staffetta/staffetta/wire"
)

// FuzzNewMessage holds the decoder against the OpenAPI document: what it accepts, the document
// accepts; what it refuses for a value, the document refuses, but for timestamps, whose days and
// hours no pattern can count. What is accepted survives the way into a record and back, and is
// answered in the documented form.
func FuzzNewMessage(f *testing.F) {
	doc := openapitest.Load(f, "../../api/institutions.yaml")
	in, out := doc.Schema(f, "NewMessage"), doc.Schema(f, "MessageContent")
	for _, seed := range []string{
		message(active, ""), message("", `,"due_date":"2026-02-30T00:00:00+01:00"`),
		message("", `,"payment_data":{"amount":1e2,"notice_number":"012345678901234567",`+
			`"invalid_after_due_date":null,"payee":{"fiscal_code":"00000000000"}}`),
		message("", `,"third_party_data":{"id":"x","configuration_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV",`+
			`"has_precondition":"ONCE","original_receipt_date":"2026-01-01T00:00:00","summary":"s"}`),
		message("", `,"require_secure_channels":true,"eu_covid_cert":{"auth_code":""}`),
		`{"time_to_live":3600.5,"feature_level_type":null,"default_addresses":{"email":"a@b"}}`,
		`{"content":{"subject":"\ud83d\ude00","markdown":null}}`, `{"a":1,"a":2}`, `[[[[]]]]`,
		strings.Repeat(`{"x":[`, 40),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, kind, detail := decode(t, string(body))
		if !utf8.ValidString(detail) || len(detail) > 16<<10 {
			t.Errorf("detail of %d bytes", len(detail))
		}
		if kind == "malformed-json" || kind == "invalid-idempotency-key" {
			return
		}
		var tree any
		if err := json.Unmarshal(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), &tree); err != nil {
			t.Fatalf("%q is no JSON, but was taken for it: %v", body, err)
		}
		err := in.VisitJSON(tree)
		switch {
		case kind == "" && err != nil:
			t.Fatalf("%q: accepted, the document says %v", body, err)
		case kind != "" && err == nil && !strings.Contains(detail, timestampRule.Name):
			t.Fatalf("%q: refused, the document does not: %s", body, detail)
		case kind == "":
			checkContent(t, &m, out)
		}
	})
}

// checkContent follows a content into a record and out to a reader.
func checkContent(t *testing.T, m *newMessage, schema *openapi3.Schema) {
	t.Helper()
	if m.content.Payment != nil && !m.payeeGiven {
		m.content.Payment.Payee = "01234567890"
	}
	var back wire.Content
	if err := wire.Decode(wire.Encode(&m.content), &back); err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(m.content)
	if got, _ := json.Marshal(back); !bytes.Equal(got, want) {
		t.Errorf("came back as %s, was %s", got, want)
	}
	answer, err := json.Marshal(contract.ContentOf(&back))
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(answer, &tree); err != nil {
		t.Fatal(err)
	}
	if err := schema.VisitJSON(tree); err != nil {
		t.Errorf("%s: answered against the document: %v", answer, err)
	}
	// What is answered can be submitted again.
	again := `{"content":` + string(answer) + `}`
	if _, kind, detail := decode(t, again); kind != "" {
		t.Errorf("%s: own answer refused: %s", again, detail)
	}
}

// FuzzProfile: the body of a profile request is a fiscal code or a problem.
func FuzzProfile(f *testing.F) {
	f.Add([]byte(`{"fiscal_code":"` + active + `"}`))
	f.Add([]byte(`{"fiscal_code":null,"x":[{}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		d := newDecoder()
		d.body = body
		code, err := d.decodeProfile()
		if (err == nil) != code.Valid() {
			t.Errorf("%q: code valid %v, error %v", body, code.Valid(), err)
		}
	})
}

// FuzzTimestamp: what is accepted can be told again, as the same instant.
func FuzzTimestamp(f *testing.F) {
	f.Add("2026-01-31T23:59:59.999+02:00")
	f.Add("0000-02-29T00:00:00")
	f.Fuzz(func(t *testing.T, s string) {
		at, ok := parseTimestamp([]byte(s))
		if !ok {
			return
		}
		if again, ok := parseTimestamp([]byte(at.String())); !ok || again != at {
			t.Errorf("%q: told as %s, read again as %v", s, at, again)
		}
	})
}
