package institution

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/internal/problem"
)

// scanned are messages that the short way takes: whoever makes it give up on one of them makes
// nearly every submission as dear as it was.
var scanned = []string{
	message(active, ""), message("", ""), withKey("0123456789abcdef", message(active, "")),
	withKey(`\"quoted\"`, message(active, "")),
	" \r\n\t" + strings.NewReplacer(`,"`, " ,\n\t\"", `:`, "\r:  ", `{`, "{ ", `}`, " }").Replace(
		`{"time_to_live":604800,`+message(active, `,"payment_data":{"amount":9999999999,`+
			`"notice_number":"012345678901234567"}`)[1:]) + " \r\n",
	message(active, `,"require_secure_channels":true,"due_date":"2026-12-31T22:59:59.000Z",`+
		`"payment_data":{"notice_number":"302012345678901234","invalid_after_due_date":false,`+
		`"amount":1}`),
	`{"content":{"markdown":"` + text + `\n\t\r\b\f\/\\\"","subject":"\u00e8\u0000\ud83d\ude00` +
		`abcdef","due_date":"2026-12-31T24:00:00+01:00"},"feature_level_type":"ADVANCED",` +
		`"time_to_live":3600,"fiscal_code":"` + active + `"}`,
	strings.Replace(message(active, `,"require_secure_channels":false`), "Testo",
		"città € 😀 \u2028\u007f\ufeff", 1),
	`{"feature_level_type":"STANDARD",` + message(active, "")[1:],
}

// left are valid messages that it leaves to the other.
var left = []string{
	"\xef\xbb\xbf" + message(active, ""), inTop(`"x":[{}]`), inTop(`"time_to_live":null`),
	inTop(`"time_to_live":36e2`), inTop(`"time_to_live":3600.0`), inTop(`"Subject":"x"`),
	inTop(`"default_addresses":{"email":"a@b"}`), inTop(`"feature_level_type":null`),
	inContent(`"payment_data":{"amount":1,"notice_number":"012345678901234567",` +
		`"payee":{"fiscal_code":"00000000000"}}`),
	inContent(`"third_party_data":{"id":"x","has_attachments":true}`),
	inContent(`"eu_covid_cert":{"auth_code":""}`), inContent(`"legal_data":false`),
	strings.Replace(message(active, ""), `"subject"`, `"\u0073ubject"`, 1),
	strings.Replace(message(active, ""), subject, subject+`\ud800`, 1),
	strings.Replace(message(active, ""), subject, subject+`\udc00\ud800`, 1),
}

func TestScanTakesTheUsual(t *testing.T) {
	for _, body := range slices.Concat(scanned, []string{typical, withKey("k", typical)}) {
		d := newDecoder()
		if d.body = []byte(body); !d.scanMessage(new(newMessage)) {
			t.Errorf("gave up on %s", body)
		}
	}
	for _, body := range left {
		d := newDecoder()
		if d.body = []byte(body); d.scanMessage(new(newMessage)) {
			t.Errorf("took %s", body)
		}
	}
}

// pair reads the same bodies twice: as requests are read, with a decoder that has read others
// before, and with the strict reader alone.
type pair struct{ used, strict *decoder }

func newPair() pair { return pair{newDecoder(), newDecoder()} }

// check holds one way against the other, for a request or a line, and reports whether the scanner
// took the body.
func (p pair) check(t *testing.T, body []byte, line bool) bool {
	t.Helper()
	var got, want newMessage
	p.used.body, p.used.line = append(p.used.body[:0], body...), line
	p.strict.body, p.strict.line = append(p.strict.body[:0], body...), line
	took := p.used.scanMessage(&got)
	gotErr, wantErr := p.used.decodeMessage(&got), p.strict.readMessage(&want)
	var a, b problem.Problem
	errors.As(gotErr, &a)
	errors.As(wantErr, &b)
	if (gotErr == nil) != (wantErr == nil) || !reflect.DeepEqual(a, b) {
		t.Fatalf("%q: got %v, the strict reader says %v", body, gotErr, wantErr)
	}
	if took && wantErr != nil {
		t.Fatalf("%q: taken, the strict reader says %v", body, wantErr)
	}
	clear(p.used.body) // what was read keeps nothing of it
	p.used.body = p.used.body[:0]
	p.used.reset()
	if wantErr == nil && !reflect.DeepEqual(got, want) {
		t.Fatalf("%q: got  %+v\nwant %+v", body, got, want)
	}
	return took
}

// morsels are what mutants are made of.
var morsels = []string{`"`, `\`, `\n`, `\"`, `\u0041`, `\u00E8`, `\uD83D\uDE00`, `\ud83d`, `\ude00`,
	`\ud83d\u0041`, `\u12`, `\U0041`, `\x`, `\'`, "{", "}", "{}", "[]", "[", ",", ",,", ":", "null",
	"true", "false", "truefalse", "TRUE", "0", "1", "01", "-1", "-0", "+1", "1e3", "3600.0", ".5",
	"3600", "604801", "12345678901234567890", "999999999999999", "1000000000000000",
	" ", "\n", "\t", "\r", "\v", "\f", "\x00", "\x1f", "\x7f", "\x85", "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "è", "😀",
	"\u00a0", "\u2028", "\ufeff", "\ufffd", "//", "/**/", "NaN", `"x":1,`, `,"x":{"y":[1]}`,
	`"subject"`, `"content":`, `"content":{},`, strings.Repeat("è", 60),
	strings.Repeat("😀", 55), strings.Repeat("x", 110), strings.Repeat("[", 70)}

// members are of every object, most of them known.
var members = []string{`"subject":"` + subject + `"`, `"markdown":"` + text + `"`, `"amount":1`,
	`"notice_number":"012345678901234567"`, `"invalid_after_due_date":true`,
	`"time_to_live":3600`, `"time_to_live":null`, `"idempotency_key":"k"`, `"Idempotency-Key":"k"`,
	`"fiscal_code":"` + active + `"`, `"feature_level_type":"ADVANCED"`, `"x":1`, `"Subject":"x"`,
	`"due_date":"2026-02-30T00:00:00Z"`, `"due_date":"2026-02-28T24:00:00.5"`, `"":""`,
	`"due_date":"2026-02-28T24:00:00"`, `"require_secure_channels":true`, `"content":{}`,
	`"payment_data":{"amount":1,"notice_number":"012345678901234567"}`,
	`"content":{"subject":"` + subject + `","markdown":"` + text + `"}`}

// mutant is one of the messages with up to three changes, most of them small. Of five, two have only
// their text changed, and many of these are still valid; one has a member more, often one that it
// had.
func mutant(r *rand.Rand, from []string) []byte {
	b := []byte(from[r.IntN(len(from))])
	switch start := bytes.Index(b, []byte(text[len("Testo"):])); r.IntN(5) {
	case 0, 1:
		if start >= 0 {
			at := start + r.IntN(len(text)/2)
			return slices.Concat(b[:at], []byte(morsels[r.IntN(len(morsels))]), b[at+r.IntN(3):])
		}
	case 2:
		at := r.IntN(len(b))
		at += bytes.IndexAny(b[at:], "{,") + 1
		return slices.Concat(b[:at], []byte(members[r.IntN(len(members))]+","), b[at:])
	}
	for range 1 + r.IntN(3) {
		at := r.IntN(len(b) + 1)
		if quote := bytes.IndexByte(b[at:], '"'); quote >= 0 && r.IntN(2) == 0 {
			at += quote + r.IntN(2) // where the structure is
		}
		cut := at
		if r.IntN(2) == 0 {
			cut = min(len(b), at+r.IntN(4))
		}
		if r.IntN(20) == 0 {
			cut = min(len(b), at+r.IntN(len(b)+1))
		}
		put := morsels[r.IntN(len(morsels))]
		switch r.IntN(6) {
		case 0:
			put = ""
		case 1:
			put = string([]byte{byte(r.Uint32())})
		case 2: // a part of the message again
			from := r.IntN(len(b) + 1)
			put = string(b[from:min(len(b), from+r.IntN(40))])
		}
		b = append(append(bytes.Clone(b[:at]), put...), b[cut:]...)
	}
	return b
}

// TestScanAgrees holds the short way to the strict one by what clients might send: the same values,
// the same refusals.
func TestScanAgrees(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 3))
	p, all := newPair(), slices.Concat(scanned, scanned, left)
	const mutants = 60_000
	took := 0
	for i := range mutants {
		if p.check(t, mutant(r, all), i%2 == 0) {
			took++
		}
	}
	if took < mutants/10 || took > mutants/2 {
		t.Errorf("%d of %d mutants were taken: too few of one kind to judge by", took, mutants)
	}
	for _, v := range invalidValues {
		if p.check(t, []byte(v.body), false) {
			t.Errorf("took %s", v.body)
		}
	}
}

// Each byte of a message replaced by each other one, and the message cut there.
func TestScanAgreesAtEveryByte(t *testing.T) {
	p := newPair()
	body := []byte(withKey("k", scanned[5]))
	for at := range body {
		p.check(t, body[:at], false)
		for _, c := range []byte("\x00\x08\t\n\r\x1f !\"'+,-./059:AZ[\\]_az{}\x7f\x80\xc3\xff") {
			changed := bytes.Clone(body)
			changed[at] = c
			p.check(t, changed, true)
		}
	}
}

// Lengths are counted in UTF-16 units by both, whatever a text is written in.
func TestScanAgreesOnLengths(t *testing.T) {
	p := newPair()
	for _, unit := range []string{"a", "è", "€", "😀", `\u00e8`, `\u20AC`, `\ud83d\ude00`, `\n`} {
		for _, n := range []int{0, 4, 5, 9, 10, 59, 60, 61, 119, 120, 121, 122} {
			body := strings.Replace(message(active, ""), subject, strings.Repeat(unit, n), 1)
			units := n
			if unit == "😀" || len(unit) == 12 {
				units = 2 * n
			}
			if took := p.check(t, []byte(body), false); took != (units >= 10 && units <= 120) {
				t.Errorf("%d times %s: taken: %v", n, unit, took)
			}
		}
		for _, n := range []int{79, 80, 3333, 3334, 5000, 5001, 10000, 10001} {
			body := strings.Replace(message(active, ""), text, strings.Repeat(unit, n), 1)
			p.check(t, []byte(body), false)
		}
	}
}

// FuzzScan is TestScanAgrees with a fuzzer's messages.
func FuzzScan(f *testing.F) {
	r := rand.New(rand.NewPCG(17, 4))
	for _, body := range slices.Concat(scanned, left) {
		f.Add([]byte(body))
	}
	for range 64 {
		f.Add(mutant(r, scanned))
	}
	p := newPair()
	f.Fuzz(func(t *testing.T, body []byte) {
		p.check(t, body, len(body)%2 == 0)
	})
}
