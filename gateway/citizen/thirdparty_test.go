package citizen

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/gateway/remote"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

const (
	thirdPath     = "/api/communication/v1/third-party-messages/"
	configuration = wire.RemoteContentID("01ARZ3NDEKTSV4RRFFQ69G5FAV")
	remotePDF     = "%PDF-1.7\nun documento"
)

var remoteText = strings.Repeat("testo remoto ", 10)

// remoteBench is an API, an institution's server, and a citizen.
type remoteBench struct {
	*bench
	token  string
	status int
	asked  []*http.Request
}

func newRemoteBench(t *testing.T) *remoteBench {
	b := &remoteBench{status: 200}
	server := httptest.NewServer(http.HandlerFunc(b.answer))
	client := remote.New(remote.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	b.bench = newBenchWith(t, Config{TestLogin: &TestLogin{Codes: map[fiscalcode.Code]TestCitizen{
		codeA: {}, codeB: {}}}, Remote: client})
	b.token = b.login(codeA)
	key := wire.SealRemoteKey(b.fed.hasher.Key(), configuration, "the-server's-key")
	b.fed.remotes = map[wire.RemoteContentID]*wire.RemoteContent{configuration: {ID: configuration,
		Institution: payeeA, Precondition: "NEVER", Lollipop: true,
		LollipopOff: []wire.Recipient{b.fed.hasher.Recipient(codeB)},
		TestUsers:   []wire.Recipient{b.fed.hasher.Recipient(codeB)},
		Production:  &wire.RemoteServer{BaseURL: server.URL + "/p", Header: "X-Key", Key: key},
		Test:        &wire.RemoteServer{BaseURL: server.URL + "/t", Header: "X-Key", Key: key}}}
	return b
}

func (b *remoteBench) answer(w http.ResponseWriter, r *http.Request) {
	b.asked = append(b.asked, r)
	w.Header().Set("Retry-After", "9")
	switch w.WriteHeader(b.status); {
	case b.status != 200:
	case strings.HasSuffix(r.URL.Path, "/precondition"):
		io.WriteString(w, `{"title":"Prima","markdown":"Accetta."}`)
	case strings.HasSuffix(r.URL.Path, ".pdf"):
		io.WriteString(w, remotePDF)
	case strings.Contains(r.URL.Path, "/docs/"):
		io.WriteString(w, "<html>")
	default:
		io.WriteString(w, `{"attachments":[{"id":"1","url":"docs/1.pdf"}],"details":{"subject":`+
			`"Un oggetto remoto","markdown":"`+remoteText+`"}}`)
	}
}

// deliver puts a message of the configuration into an inbox, and returns its path.
func (b *remoteBench) deliver(n int, to fiscalcode.Code, change func(*wire.ThirdParty)) string {
	third := &wire.ThirdParty{ID: fmt.Sprint("atto-", n), HasAttachments: true,
		HasRemoteContent: true, ConfigurationID: strings.ToLower(string(configuration))}
	change(third)
	b.fed.deliver(to, wire.InboxMessage{Item: wire.InboxItem{ID: idOf(n), Service: serviceA},
		Content: wire.Content{Subject: "Un oggetto", Markdown: strings.Repeat("testo ", 20),
			ThirdParty: third}})
	return thirdPath + idOf(n).String()
}

func asIs(*wire.ThirdParty) {}

// TestThirdPartyMessage: the message comes with what its institution keeps of it, which is asked as
// the contract says.
func TestThirdPartyMessage(t *testing.T) {
	b := newRemoteBench(t)
	path := b.deliver(1, codeA, asIs)
	r := request("GET", path, b.token, "")
	for _, name := range append([]string{"X-Pagopa-Lollipop-User-Id", "Cookie"}, signedBy...) {
		r.Header.Set(name, "of the client")
	}
	got := b.expect(b.checker.Do(b.t, b.mux, r), 200)
	b.want(got, map[string]any{"id": idOf(1).String(), "third_party_message": map[string]any{
		"attachments": []any{map[string]any{"id": "1", "url": "docs/1.pdf", "category": "DOCUMENT"}},
		"details":     map[string]any{"subject": "Un oggetto remoto", "markdown": remoteText}}})
	asked := b.asked[0]
	if asked.URL.Path != "/p/messages/atto-1" || asked.Header["X-Key"][0] != "the-server's-key" ||
		asked.Header["Fiscal_code"][0] != string(codeA) || asked.Header["Signature"] == nil ||
		asked.Header.Get("X-Pagopa-Lollipop-User-Id") != string(codeA) ||
		asked.Header["Authorization"] != nil || asked.Header["Cookie"] != nil {
		t.Errorf("asked %s with %v", asked.URL, asked.Header)
	}
	// A test user is sent to the environment of test; the signatures of an exception stay here.
	other := b.login(codeB)
	r = request("GET", b.deliver(2, codeB, asIs), other, "")
	r.Header.Set("Signature", "of the client")
	b.expect(b.checker.Do(b.t, b.mux, r), 200)
	if asked := b.asked[1]; asked.URL.Path != "/t/messages/atto-2" ||
		asked.Header["Signature"] != nil {
		t.Errorf("asked %s with %v", asked.URL, asked.Header)
	}
	// What the message does not promise is not shown.
	got = b.do("GET", b.deliver(3, codeA, func(m *wire.ThirdParty) {
		m.HasAttachments, m.HasRemoteContent = false, false
	}), b.token, "", 200)
	b.want(got, map[string]any{"third_party_message": map[string]any{"details": map[string]any{
		"subject": "Un oggetto", "markdown": strings.Repeat("testo ", 20)}}})
	// Another citizen's message is not there, and nobody is asked for it.
	n := len(b.asked)
	for _, what := range []string{"", "/precondition", "/attachments/1.pdf"} {
		b.expect(b.checker.DoAny(b.t, b.mux, request("GET", path+what, other, "")), 404)
	}
	if len(b.asked) != n {
		t.Error("the institution was asked for another citizen's message")
	}
}

// TestPrecondition: ALWAYS asks, ONCE until the message was read, NEVER nothing; the message's own
// word goes before the configuration's.
func TestPrecondition(t *testing.T) {
	b := newRemoteBench(t)
	n := 0
	for _, c := range []struct {
		message, configured string
		read                bool
		want                int
	}{
		{"ALWAYS", "NEVER", true, 200}, {"ONCE", "NEVER", false, 200}, {"ONCE", "NEVER", true, 204},
		{"NEVER", "ALWAYS", false, 204}, {"", "ALWAYS", true, 200}, {"", "ONCE", true, 204},
		{"", "NEVER", false, 204},
	} {
		n++
		path := b.deliver(n, codeA, func(m *wire.ThirdParty) { m.HasPrecondition = c.message })
		b.fed.remotes[configuration].Precondition = c.configured
		b.fed.citizens[codeA].inbox[n-1].Item.Read = c.read
		r := request("GET", path+"/precondition", b.token, "")
		a := b.checker.Do(b.t, b.mux, r)
		if a.Status != c.want {
			t.Errorf("%+v: got %d %s", c, a.Status, a.Body)
		}
		if c.want == 200 && string(a.Body) != `{"title":"Prima","markdown":"Accetta."}` {
			t.Errorf("got %s", a.Body)
		}
	}
}

// TestAttachments: a PDF passes as it is, with slashes in its path, and nothing else.
func TestAttachments(t *testing.T) {
	b := newRemoteBench(t)
	path := b.deliver(1, codeA, asIs)
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		b.mux.ServeHTTP(w, request("GET", path, b.token, ""))
		return w
	}
	a := get(path + "/attachments/docs/1.pdf")
	if a.Code != 200 || a.Body.String() != remotePDF ||
		a.Header().Get("Content-Type") != "application/octet-stream" ||
		a.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %q %v", a.Code, a.Body, a.Header())
	}
	for path, want := range map[string]int{"docs/page": 415, "docs/%2e%2e": 404, "a%5Cb": 404} {
		if a := get(thirdPath + idOf(1).String() + "/attachments/" + path); a.Code != want {
			t.Errorf("%s: got %d %s, want %d", path, a.Code, a.Body, want)
		}
	}
	b.status = 503
	if a := get(path + "/attachments/docs/1.pdf"); a.Code != 503 ||
		a.Header().Get("Retry-After") != "9" {
		t.Errorf("not ready: got %d %v", a.Code, a.Header())
	}
	none := b.deliver(2, codeA, func(m *wire.ThirdParty) { m.HasAttachments = false })
	if a := get(none + "/attachments/docs/1.pdf"); a.Code != 404 {
		t.Errorf("of a message without: got %d", a.Code)
	}
}

// TestRemoteProblems: whatever the institution's server does is a status of the operation's own.
func TestRemoteProblems(t *testing.T) {
	b := newRemoteBench(t)
	path := b.deliver(1, codeA, func(m *wire.ThirdParty) { m.HasPrecondition = "ALWAYS" })
	for status, want := range map[int]int{401: 500, 403: 403, 404: 404, 429: 429, 500: 500, 503: 500,
		302: 500} {
		b.status = status
		for _, what := range []string{"", "/precondition"} {
			b.do("GET", path+what, b.token, "", want)
		}
	}
	b.status = 200
	coherent := map[string]any{"title": "ATTACHMENTS_NOT_PRESENT"}
	b.fed.remotes[configuration].Production.BaseURL += "/x/docs/.pdf?" // an answer that is no JSON
	b.do("GET", path, b.token, "", 500)
	plain := b.deliver(2, codeA, asIs)
	b.fed.citizens[codeA].inbox[1].Content.ThirdParty = nil
	b.do("GET", plain, b.token, "", 400)
	delete(b.fed.remotes, configuration)
	b.do("GET", path, b.token, "", 410)
	if p := problemNoAttachments; p.Title != coherent["title"] {
		t.Errorf("the title is %q", p.Title)
	}
	b.fed.deaf = wire.Errorf(wire.Unavailable, "away")
	b.do("GET", path, b.token, "", 500)
}

// TestEveryAcceptedShape: each of a message's parts that is taken is shown to its recipient.
func TestEveryAcceptedShape(t *testing.T) {
	b := newRemoteBench(t)
	for n := range 8 {
		path := b.deliver(n+1, codeA, func(m *wire.ThirdParty) {
			m.HasAttachments, m.HasRemoteContent = n&1 > 0, n&2 > 0
			if n&4 > 0 {
				m.HasPrecondition = "ALWAYS"
			}
		})
		want := map[bool]int{true: 200, false: 204}[n&4 > 0]
		if a := b.checker.Do(b.t, b.mux, request("GET", path+"/precondition", b.token, "")); a.Status !=
			want {
			t.Errorf("shape %d: precondition %d, want %d", n, a.Status, want)
		}
		got := b.do("GET", path, b.token, "", 200)["third_party_message"].(map[string]any)
		if attached := got["attachments"] != nil; attached != (n&1 > 0) {
			t.Errorf("shape %d: got %v", n, got)
		}
		subject := got["details"].(map[string]any)["subject"]
		if remote := subject == "Un oggetto remoto"; remote != (n&2 > 0) {
			t.Errorf("shape %d: got %v", n, got)
		}
		b.do("GET", "/api/communication/v1/messages/"+idOf(n+1).String()+"?public_message=true",
			b.token, "", 200)
	}
}
