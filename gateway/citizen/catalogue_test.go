package citizen

import (
	"fmt"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

const cataloguePath = "/api/catalog/v1/"

// offer adds an institution with a service.
func (f *federation) offer(service wire.ServiceID, name string, of wire.InstitutionID,
	organization string, m wire.ServiceMetadata) {
	f.services[service] = &wire.ServiceAccess{
		Service:     wire.Service{ID: service, Institution: of, Name: name, Metadata: m, Version: 3},
		Institution: wire.Institution{ID: of, Name: organization}}
}

func namesOf(got map[string]any, list string) string {
	var names []string
	for _, item := range got[list].([]any) {
		names = append(names, item.(map[string]any)["name"].(string))
	}
	return strings.Join(names, ", ")
}

func newCatalogueBench(t *testing.T) (*bench, string) {
	b := newBenchWith(t, Config{TestLogin: &TestLogin{Codes: map[fiscalcode.Code]TestCitizen{
		codeA: {}}}, Featured: []wire.ServiceID{"01INPS", "01GONE", serviceB, serviceA}})
	b.fed.offer("01INPS", "Pensioni", "80078750587", "Istituto della Previdenza",
		wire.ServiceMetadata{Scope: "NATIONAL", Description: "Le pensioni.", PEC: "p@example.org"})
	b.fed.offer("01FORLI", "Tributi", "00606620409", "Città di Forlì",
		wire.ServiceMetadata{Scope: "LOCAL"})
	b.fed.offer("01PROVA", "Scuole", "00606620407", "Provincia di Prova", wire.ServiceMetadata{})
	return b, b.login(codeA)
}

func TestInstitutionsAreFound(t *testing.T) {
	b, token := newCatalogueBench(t)
	const all = "Città di Forlì, Comune di Prova, Istituto della Previdenza, Provincia di Prova"
	for query, want := range map[string]string{
		"":                           all,
		"?search=":                   all,
		"?search=forli":              "Città di Forlì",
		"?search=FORL%C3%8C":         "Città di Forlì",
		"?search=citta+forli":        "Città di Forlì",
		"?search=prov":               "Provincia di Prova, Comune di Prova",
		"?search=di+prova":           "Comune di Prova, Provincia di Prova",
		"?search=rova":               "",
		"?search=%22%27--":           all, // no word is left
		"?scope=NATIONAL":            "Istituto della Previdenza",
		"?scope=LOCAL&search=ist":    "",
		"?limit=1&offset=2":          "Istituto della Previdenza",
		"?offset=4&sessionId=a":      "",
		"?offset=100000&limit=100":   "",
		"?search=prova&scope=LOCAL":  "",
		"?search=citt%C3%A0&limit=9": "Città di Forlì",
	} {
		got := b.do("GET", cataloguePath+"institutions"+query, token, "", 200)
		if names := namesOf(got, "institutions"); names != want {
			t.Errorf("%q: got %q, want %q", query, names, want)
		}
	}
	b.want(b.do("GET", cataloguePath+"institutions?limit=1&offset=2", token, "", 200),
		map[string]any{"offset": 2, "limit": 1, "count": 4, "institutions": []any{map[string]any{
			"id": "80078750587", "name": "Istituto della Previdenza", "fiscal_code": "80078750587"}}})
	for _, query := range []string{"?limit=0", "?limit=101", "?limit=01", "?limit=a", "?offset=-1",
		"?offset=100001", "?scope=local", "?scope=", "?limit=1&limit=2",
		"?search=" + strings.Repeat("a", searchMax+1)} {
		b.doAny("GET", cataloguePath+"institutions"+query, token, "", 400)
	}
	b.doAny("GET", cataloguePath+"institutions?search=%FF", token, "", 400)
}

func TestServicesAreListed(t *testing.T) {
	b, token := newCatalogueBench(t)
	of := cataloguePath + "institutions/" + string(payeeA) + "/services"
	b.want(b.do("GET", of+"?limit=1&offset=1", token, "", 200), map[string]any{"offset": 1,
		"limit": 1, "count": 2, "services": []any{map[string]any{"id": serviceB, "name": "Tributi",
			"version": 0}}})
	b.want(b.do("GET", cataloguePath+"institutions/00000000000/services", token, "", 200),
		map[string]any{"services": []any{}, "count": 0})
	b.doInvalid("GET", of+"?limit=0", token, "", 400)
	got := b.do("GET", cataloguePath+"services/featured", token, "", 200)
	if names := namesOf(got, "services"); names != "Pensioni, Tributi, Anagrafe" {
		t.Errorf("featured services %q", names)
	}
	got = b.do("GET", cataloguePath+"institutions/featured", token, "", 200)
	if names := namesOf(got, "institutions"); names != "Istituto della Previdenza, Comune di Prova" {
		t.Errorf("featured institutions %q", names)
	}
	// The federation cannot be asked: no list is empty for that.
	b.fed.deaf = wire.Errorf(wire.Unavailable, "away")
	for _, path := range []string{"institutions", "services/featured", "services/01INPS"} {
		b.do("GET", cataloguePath+path, token, "", 500)
	}
}

// TestSenderOfEveryMessage: whoever's message a citizen can read, its sender can be loaded.
func TestSenderOfEveryMessage(t *testing.T) {
	b, token := newCatalogueBench(t)
	b.want(b.do("GET", cataloguePath+"services/01INPS", token, "", 200), map[string]any{
		"id": "01INPS", "name": "Pensioni", "description": "Le pensioni.",
		"organization": map[string]any{"name": "Istituto della Previdenza",
			"fiscal_code": "80078750587"},
		"metadata": map[string]any{"scope": "NATIONAL", "category": "STANDARD",
			"pec": "p@example.org"}})
	b.do("GET", cataloguePath+"services/01GONE", token, "", 404)
	b.do("GET", cataloguePath+"services/"+strings.Repeat("a", 300), token, "", 404)
	for i := range 150 {
		b.fed.deliver(codeA, wire.InboxMessage{Item: wire.InboxItem{ID: idOf(i + 2),
			Service: serviceA}})
	}
	b.fed.deliver(codeA, wire.InboxMessage{Item: wire.InboxItem{ID: idOf(1), Service: "01GONE",
		Archived: true}})
	b.fed.deliver(codeA, wire.InboxMessage{Item: wire.InboxItem{ID: idOf(0), Service: "01LEFT"}})
	for _, id := range []string{"01GONE", "01LEFT"} {
		b.want(b.do("GET", cataloguePath+"services/"+id, token, "", 200), map[string]any{"id": id,
			"name": unknownSender.service, "description": "", "organization": map[string]any{
				"name": unknownSender.organization, "fiscal_code": unknownSender.code},
			"metadata": map[string]any{"scope": "NATIONAL", "category": "STANDARD"}})
	}
	b.do("GET", cataloguePath+"services/01OTHER", token, "", 404)
	// Nobody learns anything without a session.
	other := strings.Repeat("0", len(token))
	for _, path := range []string{"institutions", "services/featured", "services/01INPS",
		"institutions/featured", fmt.Sprintf("institutions/%s/services", payeeA)} {
		b.do("GET", cataloguePath+path, other, "", 401)
	}
}
