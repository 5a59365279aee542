package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/staffetta/staffetta/internal/fiscalcode"
)

func TestMessageID(t *testing.T) {
	now := TimeOf(time.Date(2026, 5, 6, 7, 8, 9, 123456789, time.UTC))
	for _, tag := range []RegionTag{0, 12, RegionTags - 1} {
		id := NewMessageID(now, tag)
		if id.Tag() != tag || id.Time() != now {
			t.Errorf("tag %d and time %v, want %d and %v", id.Tag(), id.Time(), tag, now)
		}
		for _, text := range []string{id.String(), strings.ToLower(id.String())} {
			if got, err := ParseMessageID(text); err != nil || got != id {
				t.Errorf("ParseMessageID(%q) = %v, %v", text, got, err)
			}
		}
	}
	if a, b := NewMessageID(now, 1), NewMessageID(now, 1); a == b {
		t.Error("two ids are equal")
	}
	if got, want := now.String(), "2026-05-06T07:08:09.123Z"; got != want {
		t.Errorf("time %s, want %s", got, want)
	}
	for _, bad := range []string{"", "01ARZ3NDEKTSV4RRFFQ69G5FA", "01ARZ3NDEKTSV4RRFFQ69G5FAVX",
		"81ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAU", "01ARZ3NDEKTSV4RRFFQ69G5F\x00V"} {
		if _, err := ParseMessageID(bad); err == nil {
			t.Errorf("%q is taken for a message id", bad)
		}
	}
}

func TestErrorTable(t *testing.T) {
	names := map[string]Code{}
	for code := Code(1); code < codesEnd; code++ {
		info := codeTable[code]
		if info.name == "" || info.status < 400 || info.title == "" {
			t.Errorf("code %d has no row in the table", code)
		}
		if other, taken := names[info.name]; taken {
			t.Errorf("codes %d and %d have the same name", code, other)
		}
		names[info.name] = code
	}
}

func TestErrorTravels(t *testing.T) {
	sent := &Error{Code: Moved, Detail: "d", Leader: "n", Region: "lazio", Epoch: 3}
	got := new(Error)
	if err := Decode(Encode(sent), got); err != nil {
		t.Fatal(err)
	}
	if err := fmt.Errorf("call: %w", got); !errors.Is(err, Moved) || errors.Is(err, NotFound) {
		t.Error("errors.Is does not work on the other side")
	}
	if e := AsError(errors.New("secret")); e.Code != Internal || e.Detail != "" {
		t.Errorf("a foreign error travels as %v", e)
	}
	if e := AsError(fmt.Errorf("x: %w", NotLeader)); e.Code != NotLeader {
		t.Errorf("a bare code travels as %v", e)
	}
	if long := Errorf(Malformed, "%s", strings.Repeat("x", 9999)); len(long.Detail) > DetailBytesMax {
		t.Error("a detail is not cut")
	}
}

func TestRecipient(t *testing.T) {
	a, b := NewHasher(DirectoryKey{1}), NewHasher(DirectoryKey{2})
	one, two := fiscalcode.Code("AAAAAA00A00A000A"), fiscalcode.Code("AAAAAA00A00A000B")
	if again := a.Recipient(one); again != NewHasher(DirectoryKey{1}).Recipient(one) {
		t.Error("a code has two hashes")
	}
	if a.Recipient(one) == a.Recipient(two) || a.Recipient(one) == b.Recipient(one) {
		t.Error("code or key do not matter")
	}
	// The value is for ever: directories are built of it.
	if got := fmt.Sprintf("%x", a.Recipient(one)); got != "65c91219f072cbcd8ab49b6f4cbd8181" {
		t.Errorf("the hash changed to %s", got)
	}
	slots := map[Slot]bool{}
	for i := range 1 << 16 {
		slots[Recipient{byte(i >> 8), byte(i)}.Slot()] = true
	}
	if len(slots) != Slots {
		t.Errorf("%d slots are used, want %d", len(slots), Slots)
	}
}

func TestRecordValidate(t *testing.T) {
	h := NewHasher(DirectoryKey{1})
	good := record(1, 100)
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	digest := good.Redact(h)
	if err := digest.Validate(); err != nil || digest.FiscalCode != "" || digest.Content != nil {
		t.Errorf("digest %+v, %v", digest, err)
	}
	if digest.RecipientUnder(h) != good.RecipientUnder(h) {
		t.Error("the digest names somebody else")
	}
	for name, change := range map[string]func(*Record){
		"id":          func(r *Record) { r.ID = MessageID{} },
		"service":     func(r *Record) { r.Service = "a b" },
		"code":        func(r *Record) { r.FiscalCode = "aaaaaa00a00a000a" },
		"recipient":   func(r *Record) { r.FiscalCode = "" },
		"both":        func(r *Record) { r.Recipient = Recipient{1} },
		"content":     func(r *Record) { r.Content = nil },
		"garbage":     func(r *Record) { r.Content = []byte{0xff} },
		"subject":     func(r *Record) { r.Content = Encode(&Content{Markdown: "x"}) },
		"UTF-8":       func(r *Record) { r.Content = Encode(&Content{Subject: "\xff"}) },
		"level":       func(r *Record) { r.FeatureLevel = 2 },
		"idempotency": func(r *Record) { r.Idempotency = Idempotency{1} },
	} {
		bad := good
		change(&bad)
		if err := bad.Validate(); !errors.Is(err, Malformed) {
			t.Errorf("%s: got %v, want malformed", name, err)
		}
	}
}

// A record is valid if the summary of its content, which lists show, can be read, whatever is in
// the content's bytes.
func TestRecordValidateIsTheSummarys(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 8))
	flag, due := Flag{Set: true}, Date{At: 1}
	whole := Encode(&Content{Subject: "Oggetto è", Markdown: "testo", RequireSecureChannels: &flag,
		DueDate: &due, Payment: &Payment{Amount: 1, NoticeNumber: "0", InvalidAfterDueDate: true,
			Payee: "01234567890"}, EUCovidCert: &EUCovidCert{AuthCode: "a"},
		ThirdParty: &ThirdParty{ID: "i", Summary: "s", HasAttachments: true, OriginalReceiptDate: &due}})
	valid := 0
	for range 20_000 {
		rec := record(1, 100)
		rec.Content = bytes.Clone(whole)
		for range 1 + r.IntN(2) {
			rec.Content[r.IntN(len(whole))] = byte(r.Uint32N(uint32(32 << r.IntN(4))))
		}
		rec.Content = rec.Content[:len(whole)-r.IntN(2)*r.IntN(len(whole))]
		var s Summary
		err := Decode(rec.Content, &s)
		if err == nil && (s.Subject == "" || !utf8.ValidString(s.Subject)) {
			err = Malformedf("record without a valid subject")
		}
		if len(rec.Content) == 0 {
			err = Malformedf("record neither whole nor redacted")
		}
		if got := rec.Validate(); fmt.Sprint(got) != fmt.Sprint(err) {
			t.Fatalf("%x: got %v, want %v", rec.Content, got, err)
		}
		if err == nil {
			valid++
		}
	}
	if valid < 1000 || valid > 19_000 {
		t.Errorf("%d of 20000 are valid: too few of one kind to judge by", valid)
	}
}

func TestCanonicalIsTheSubmission(t *testing.T) {
	h := NewHasher(DirectoryKey{1})
	a, b := record(1, 100), record(1, 100)
	b.ID = MessageID{7}
	r := h.Recipient(a.FiscalCode)
	if a.Canonical(r, "k") != b.Canonical(r, "k") {
		t.Error("the id is part of what must be the same")
	}
	b.TimeToLive++
	if a.Canonical(r, "k") == b.Canonical(r, "k") {
		t.Error("another time to live is the same body")
	}
	if a.Canonical(r, "k") == a.Canonical(r, "l") {
		t.Error("the digest can be computed without the key")
	}
	if IdempotencyOf("A", "BC") == IdempotencyOf("AB", "C") {
		t.Error("service and key run into each other")
	}
}

func TestEntry(t *testing.T) {
	good := EncodeEntry(BlockEntry, 1234, []byte("body"))
	e, err := DecodeEntry(good)
	if err != nil || e.Kind != BlockEntry || e.Time != 1234 || string(e.Body) != "body" {
		t.Errorf("got %+v, %v", e, err)
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 0x10
		if _, err := DecodeEntry(bad); err == nil {
			t.Errorf("byte %d flipped, and accepted", i)
		}
		if _, err := DecodeEntry(good[:i]); err == nil {
			t.Errorf("cut to %d bytes, and accepted", i)
		}
	}
	if _, err := DecodeEntry(EncodeEntry(99, 0, nil)); !errors.Is(err, UnknownKind) {
		t.Errorf("an unknown kind gives %v", err)
	}
	if _, err := DecodeEntry(make([]byte, EntryBytesMax+1)); !errors.Is(err, TooLarge) {
		t.Errorf("an oversized entry gives %v", err)
	}
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add(EncodeEntry(CommandsEntry, 1, Encode(&Commands{List: []Command{{Kind: CmdExpire}}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEntry(b)
		if err != nil {
			return
		}
		if again := EncodeEntry(e.Kind, e.Time, e.Body); string(again) != string(b) {
			t.Error("an entry has two encodings")
		}
	})
}
