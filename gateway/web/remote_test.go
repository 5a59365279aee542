package web

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// keeper is an institution's server.
type keeper struct {
	status                    int
	title, text, name, docURL string
	asked                     []string
}

func (s *keeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked = append(s.asked, r.URL.Path)
	isDoc := strings.Contains(r.URL.Path, "/docs/")
	if s.status != 0 && isDoc {
		w.Header().Set("Retry-After", "9")
		w.WriteHeader(s.status)
		return
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/precondition"):
		json.NewEncoder(w).Encode(map[string]string{"title": s.title, "markdown": s.text})
	case strings.HasSuffix(r.URL.Path, ".pdf"):
		w.Write([]byte("%PDF-1.7 x"))
	case isDoc:
		w.Write([]byte("<html>"))
	default:
		json.NewEncoder(w).Encode(map[string]any{"attachments": []any{map[string]string{"id": "a/1",
			"url": s.docURL, "name": s.name}}, "details": map[string]string{
			"subject": "Un oggetto remoto", "markdown": s.text + strings.Repeat(" testo", 20)}})
	}
}

func keeping(t *testing.T, precondition string) (*bench, *keeper, string) {
	b := entered(t)
	s := &keeper{title: "Prima", text: "Leggi **bene**.", name: "atto.pdf", docURL: "docs/1.pdf"}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	id := wire.RemoteContentID("01ARZ3NDEKTSV4RRFFQ69G5FAV")
	b.fed.remote = &wire.RemoteContent{ID: id, Institution: payeeA, Precondition: "NEVER",
		Production: &wire.RemoteServer{BaseURL: server.URL, Header: "X-Key",
			Key: wire.SealRemoteKey(b.fed.Hasher().Key(), id, "the-server's-key")}}
	m := b.fed.deliver(wire.Content{Subject: "Un oggetto", Markdown: "Testo.",
		ThirdParty: &wire.ThirdParty{ID: "1", ConfigurationID: string(id), HasAttachments: true,
			HasRemoteContent: true, HasPrecondition: precondition}})
	return b, s, "/inbox/" + m.String()
}

// TestPrecondition: it comes first, nothing is read before it is gone on from, and no address of
// another message, time or session leads past it.
func TestPrecondition(t *testing.T) {
	for _, when := range []string{"ALWAYS", "ONCE"} {
		b, s, path := keeping(t, when)
		b.want(b.get(path), 200, "Prima", "<strong>bene</strong>", `action="`+path+`/open"`)
		b.wantAt(b.get(path+"/attachment?id=a/1"), path)
		if b.fed.inbox[0].Item.Read || len(s.asked) != 1 {
			t.Fatalf("%s: read before it was opened, or asked %v", when, s.asked)
		}
		to := b.post(path+"/open?view=unread", nil).Header.Get("Location")
		if !strings.HasPrefix(to, path+"?view=unread&open=") {
			t.Fatalf("opening leads to %q", to)
		}
		_, proof, _ := strings.Cut(to, "open=")
		for _, bad := range []string{"", "1", "-", proof[:len(proof)-1], "9" + proof} {
			b.want(b.get(path+"?open="+bad), 200, "/open")
		}
		c := &call{token: wire.TokenHash{1}}
		id := b.fed.inbox[0].Item.ID
		b.want(b.get(path+"?open="+c.proofOf(id, time.Now().Add(time.Hour))), 200, "/open")
		if b.fed.inbox[0].Item.Read {
			t.Fatalf("%s: read by a proof that is none", when)
		}
		b.want(b.get(to), 200, "Un oggetto remoto", "atto.pdf", "open="+proof)
		b.want(b.get(path+"/attachment?id=a%2F1&open="+proof), 200, "%PDF")
		if again := b.want(b.get(path), 200); strings.Contains(again.body, "/open") !=
			(when == "ALWAYS") || !b.fed.inbox[0].Item.Read {
			t.Errorf("%s: of a message that was read: %s", when, again.body)
		}
	}
	b, s, path := keeping(t, "NEVER")
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Sec-Purpose", "prefetch")
	if b.want(b.send(r), 503); len(s.asked) > 0 {
		t.Error("the institution heard of what nobody opened")
	}
}

// TestHostileInstitution: nothing that an institution's server says leaves its place.
func TestHostileInstitution(t *testing.T) {
	for _, text := range hostile[:12] {
		b, s, path := keeping(t, "ONCE")
		s.title, s.text, s.name = text, text, text+"\r\nSet-Cookie: a=b"
		checkPage(t, path, b.want(b.get(path), 200).body)
		to := b.post(path+"/open", nil).Header.Get("Location")
		checkPage(t, to, b.want(b.get(to), 200).body)
		got := b.want(b.get(path+"/attachment?id=a/1"), 200)
		if d := got.Header.Get("Content-Disposition"); !strings.HasPrefix(d, "attachment; filename") ||
			d != mime.FormatMediaType("attachment", map[string]string{"filename": fileName(s.name)}) ||
			strings.ContainsAny(d, "\r\n<>") || len(got.Cookies()) > 0 ||
			got.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%q: %v", text, got.Header)
		}
	}
	for name, want := range map[string]string{"": "documento.pdf", "a.PDF": "a.pdf",
		"../../etc/passwd": "etc passwd.pdf", "x.exe": "x.exe.pdf", "x\u202efdp.exe": "xfdp.exe.pdf",
		"a\"; filename=\"b.exe": "a filename= b.exe.pdf", "è\r\nb": "è b.pdf", "\xff": "documento.pdf",
		strings.Repeat("è", 300): strings.Repeat("è", fileRunesMax) + ".pdf"} {
		if got := fileName(name); got != want {
			t.Errorf("%q is called %q, want %q", name, got, want)
		}
	}
}

// TestRemoteTrouble: a document that is not to be had is a page that says what to do.
func TestRemoteTrouble(t *testing.T) {
	b, s, path := keeping(t, "NEVER")
	for status, want := range map[int]int{500: 502, 503: 503, 429: 503, 403: 403, 404: 404} {
		s.status = status
		got := b.want(b.get(path+"/attachment?id=a/1"), want, "L’ente")
		if (got.Header.Get("Retry-After") == "9") != (want == 503) {
			t.Errorf("%d: retry after %q", status, got.Header.Get("Retry-After"))
		}
	}
	s.status, s.docURL = 0, "docs/page"
	b.want(b.get(path+"/attachment?id=a/1"), 415, "non è un PDF")
	b.want(b.get(path+"/attachment?id=other"), 404)
	b.fed.inbox[0].Content.ThirdParty.ConfigurationID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
	b.fed.remote.Production.BaseURL = "http://127.0.0.1:1"
	b.want(b.get(path), 200, "Testo.", "resta da leggere")
	if b.fed.inbox[0].Item.Read {
		t.Error("read without what was not there")
	}
	b.fed.remote = nil
	b.want(b.get(path), 410)
}

// TestUnreadCount: the tab says how many messages are unread.
func TestUnreadCount(t *testing.T) {
	b := entered(t)
	b.fed.deliver(wire.Content{Subject: "Un avviso qualunque"})
	b.want(b.get("/inbox"), 200, `Da leggere (1<span class="visually-hidden"> messaggio</span>)`)
}
