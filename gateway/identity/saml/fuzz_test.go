package saml

import (
	"testing"

	"github.com/staffetta/staffetta/gateway/identity"
	testidp "github.com/staffetta/staffetta/internal/testidp/saml"
)

// FuzzResponse: whatever is made of an answer, it is refused, or says what was signed.
func FuzzResponse(f *testing.F) {
	fx := newFixture(f, providerKey(), nil)
	l := fx.begin(f, identity.Level2, "")
	type person struct{ number, name, family, born, email, level string }
	said := func(a *identity.Assertion) person {
		return person{a.FiscalNumber, a.Name, a.FamilyName, a.DateOfBirth, a.Email, a.Level}
	}
	signed := map[person]bool{}
	answers := [][]byte{l.answer(f)}
	for _, fault := range testidp.Faults() {
		answers = append(answers, l.answer(f, fault))
	}
	for _, answer := range answers {
		f.Add(answer)
		if a, err := l.finish(answer); err == nil { // so it is the rules' to refuse
			signed[said(a)] = true
		}
	}
	if len(signed) < 5 {
		f.Fatalf("%d people were signed for", len(signed))
	}
	f.Fuzz(func(t *testing.T, response []byte) {
		got, err := l.finish(response)
		if _, ok := err.(*identity.Refusal); err != nil && !ok {
			t.Errorf("%T is no refusal", err)
		}
		if err == nil && !signed[said(got)] {
			t.Errorf("got %+v, which nobody signed", said(got))
		}
	})
}

// FuzzMetadata: no document of metadata does harm.
func FuzzMetadata(f *testing.F) {
	fx := newFixture(f, providerKey(), nil)
	f.Add(document(f, fx.idp))
	f.Add(fx.entity.Metadata())
	f.Fuzz(func(t *testing.T, text []byte) {
		found, err := readMetadata(text, nil, start)
		for id, r := range found {
			if err != nil || id == "" || len(r.keys) == 0 || len(r.at) == 0 {
				t.Errorf("%q: %d keys, %d addresses, error %v", id, len(r.keys), len(r.at), err)
			}
		}
	})
}
