package federation

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

const remoteID = wire.RemoteContentID("01ARZ3NDEKTSV4RRFFQ69G5FAV")

func remoteSpec() *wire.RemoteContentSpec {
	return &wire.RemoteContentSpec{Content: wire.RemoteContent{ID: remoteID,
		Institution: "01234567890", Name: "Atti", Description: "Gli atti.", Precondition: "ALWAYS",
		Production: &wire.RemoteServer{BaseURL: "https://atti.example/v1", Header: "X-Api-Key"}},
		ProductionKey: "a-key-of-production", LollipopOff: []string{"MRNNNA36M50M981K"},
		TestUsers: []string{"RCCMNL83S18D969H"}}
}

// TestRemoteContentIsSealed: neither keys nor fiscal codes lie in the row; the same put again is
// the same row, and a key goes to no other host than it was given for.
func TestRemoteContentIsSealed(t *testing.T) {
	spec := remoteSpec()
	first, err := NewRemoteContent(spec, nil, testHasher)
	if err != nil {
		t.Fatal(err)
	}
	row := wire.Encode(first)
	for _, secret := range []string{spec.ProductionKey, spec.LollipopOff[0], spec.TestUsers[0]} {
		if bytes.Contains(row, []byte(secret)) {
			t.Errorf("the row shows %q", secret)
		}
	}
	key, err := wire.OpenRemoteKey(testHasher.Key(), remoteID, first.Production.Key)
	if err != nil || key != spec.ProductionKey {
		t.Errorf("opened %q, %v", key, err)
	}
	for _, id := range []wire.RemoteContentID{"01ARZ3NDEKTSV4RRFFQ69G5FAW", ""} {
		if _, err := wire.OpenRemoteKey(testHasher.Key(), id, first.Production.Key); err == nil {
			t.Errorf("the key is opened for %q", id)
		}
	}
	for _, sealed := range [][]byte{nil, {1}, first.Production.Key[:20], make([]byte, 64)} {
		if _, err := wire.OpenRemoteKey(testHasher.Key(), remoteID, sealed); err == nil {
			t.Errorf("%x is opened", sealed)
		}
	}
	for _, key := range []string{"", spec.ProductionKey} {
		again := remoteSpec()
		again.ProductionKey = key
		second, err := NewRemoteContent(again, first, testHasher)
		if err != nil || !reflect.DeepEqual(second, first) {
			t.Errorf("key %q put again: %v, or another row", key, err)
		}
		again = remoteSpec()
		again.ProductionKey, again.Content.Production.BaseURL = key, "https://other.example/v1"
		if _, err := NewRemoteContent(again, first, testHasher); (err == nil) != (key != "") {
			t.Errorf("key %q and another host: %v", key, err)
		}
	}
}

func TestRemoteContentIsRefused(t *testing.T) {
	for name, change := range map[string]func(*wire.RemoteContentSpec){
		"no key":        func(s *wire.RemoteContentSpec) { s.ProductionKey = "" },
		"key of lines":  func(s *wire.RemoteContentSpec) { s.ProductionKey = "a\r\nHost: b" },
		"long key":      func(s *wire.RemoteContentSpec) { s.ProductionKey = strings.Repeat("a", 1025) },
		"test user":     func(s *wire.RemoteContentSpec) { s.TestUsers = []string{"nobody"} },
		"lollipop":      func(s *wire.RemoteContentSpec) { s.LollipopOff = []string{""} },
		"id":            func(s *wire.RemoteContentSpec) { s.Content.ID = "01ARZ3NDEKTSV4RRFFQ69G5FAU" },
		"no server":     func(s *wire.RemoteContentSpec) { s.Content.Production = nil },
		"scheme":        func(s *wire.RemoteContentSpec) { s.Content.Production.BaseURL = "file:///etc" },
		"user":          func(s *wire.RemoteContentSpec) { s.Content.Production.BaseURL = "https://a@b" },
		"query":         func(s *wire.RemoteContentSpec) { s.Content.Production.BaseURL = "https://b?c" },
		"fragment":      func(s *wire.RemoteContentSpec) { s.Content.Production.BaseURL = "https://b#c" },
		"slash":         func(s *wire.RemoteContentSpec) { s.Content.Production.BaseURL = "https://b/" },
		"no host":       func(s *wire.RemoteContentSpec) { s.Content.Production.BaseURL = "https:///a" },
		"fiscal code":   func(s *wire.RemoteContentSpec) { s.Content.Production.Header = "FISCAL_CODE" },
		"signature":     func(s *wire.RemoteContentSpec) { s.Content.Production.Header = "signature" },
		"header's line": func(s *wire.RemoteContentSpec) { s.Content.Production.Header = "a: b" },
		"lollipop's header": func(s *wire.RemoteContentSpec) {
			s.Content.Production.Header = "X-Pagopa-Lollipop-User-Id"
		},
	} {
		spec := remoteSpec()
		change(spec)
		if _, err := NewRemoteContent(spec, nil, testHasher); !errors.Is(err, wire.Malformed) {
			t.Errorf("%s: got %v, want malformed", name, err)
		}
	}
}

// TestRemoteContentOf: test users are sent to the environment of test, all of them where there is
// no other.
func TestRemoteContentOf(t *testing.T) {
	production, test := &wire.RemoteServer{BaseURL: "p"}, &wire.RemoteServer{BaseURL: "t"}
	tester, other := wire.Recipient{1}, wire.Recipient{2}
	for _, c := range []struct {
		r             wire.RemoteContent
		tester, other *wire.RemoteServer
	}{
		{wire.RemoteContent{Production: production}, production, production},
		{wire.RemoteContent{Test: test}, test, test},
		{wire.RemoteContent{Production: production, Test: test}, test, production},
	} {
		c.r.TestUsers, c.r.Lollipop = []wire.Recipient{tester}, true
		c.r.LollipopOff = []wire.Recipient{other}
		if c.r.Of(tester) != c.tester || c.r.Of(other) != c.other {
			t.Errorf("%+v: got %v and %v", c.r, c.r.Of(tester), c.r.Of(other))
		}
		if !c.r.PassesSignatures(tester) || c.r.PassesSignatures(other) {
			t.Error("signatures go to the wrong ones")
		}
	}
}

func TestRemoteContentPages(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	succeed(t, s, command(wire.CmdFound, testMap("lazio")))
	for _, id := range []wire.InstitutionID{"01234567890", "01234567891"} {
		succeed(t, s, command(wire.CmdPutInstitution, &wire.Institution{ID: id, Name: "Comune"}))
	}
	for i, id := range []wire.RemoteContentID{"01ARZ3NDEKTSV4RRFFQ69G5FAV",
		"01ARZ3NDEKTSV4RRFFQ69G5FAW", "01ARZ3NDEKTSV4RRFFQ69G5FAX"} {
		spec := remoteSpec()
		spec.Content.ID = id
		spec.Content.Institution = []wire.InstitutionID{"01234567890", "01234567891"}[i%2]
		r, err := NewRemoteContent(spec, nil, testHasher)
		if err != nil {
			t.Fatal(err)
		}
		succeed(t, s, command(wire.CmdPutRemoteContent, r))
		if got, err := s.RemoteContent(id); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("got %+v, %v, want %+v", got, err, r)
		}
	}
	page, err := s.RemoteContents(&wire.ListRegistry{Institution: "01234567890", Limit: 1})
	if err != nil || len(page.List) != 1 || page.List[0].Production.Key != nil || page.Next == "" {
		t.Errorf("got %+v, %v, want the first, without its key", page, err)
	}
	for _, id := range []wire.RemoteContentID{"", "01ARZ3NDEKTSV4RRFFQ69G5FAZ"} {
		if _, err := s.RemoteContent(id); !errors.Is(err, wire.NotFound) {
			t.Errorf("%q: got %v, want not found", id, err)
		}
	}
}
