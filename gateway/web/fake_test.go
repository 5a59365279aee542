package web

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/staffetta/staffetta/gateway/citizen"
	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/remote"
	"github.com/staffetta/staffetta/internal/asof"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

const (
	codeA    = fiscalcode.Code("RSSMRA85T10A562S")
	serviceA = wire.ServiceID("01GQQDPM127KFGG6T3660D5TXD")
	payeeA   = wire.InstitutionID("01234567890")
)

// federation is one region with one citizen, in memory: what the pages ask of it.
type federation struct {
	mu       sync.Mutex
	sessions map[wire.TokenHash]bool
	profile  wire.Profile
	inbox    []wire.InboxMessage // newest first
	sender   wire.ServiceAccess
	choice   *wire.Preference
	move     wire.Move
	others   []wire.SessionView // sessions besides the browser's
	calls    map[wire.Method]int
	fault    error // of every call
	remote   *wire.RemoteContent
	asOf     time.Time // of when what is read is; zero: of now
}

func newFederation() *federation {
	return &federation{sessions: map[wire.TokenHash]bool{}, calls: map[wire.Method]int{},
		move: wire.Move{Region: lazio.ID},
		profile: wire.Profile{FiscalCode: codeA, Name: "Maria", FamilyName: "Rossi",
			Email: "maria@example.com", SettingsVersion: -1},
		sender: wire.ServiceAccess{Service: wire.Service{ID: serviceA, Institution: payeeA,
			Name: "Anagrafe"}, Institution: wire.Institution{ID: payeeA, Name: "Comune di Prova"}}}
}

var lazio, sicilia = wire.Region{ID: "lazio"}, wire.Region{ID: "sicilia", Tag: 1}

func (f *federation) Hasher() *wire.Hasher { return wire.NewHasher(wire.DirectoryKey{1}) }
func (f *federation) Home() wire.Region    { return lazio }
func (f *federation) RegionByTag(tag wire.RegionTag) (wire.Region, bool) {
	return lazio, tag == lazio.Tag
}
func (f *federation) Regions() []wire.Region { return []wire.Region{sicilia, lazio} }
func (f *federation) RegionByID(id wire.RegionID) (wire.Region, bool) {
	if id == sicilia.ID {
		return sicilia, true
	}
	return lazio, id == lazio.ID
}
func (f *federation) RegionOf(context.Context, fiscalcode.Code) (wire.RegionID, bool, error) {
	return lazio.ID, true, nil
}
func (f *federation) RemoteContent(context.Context, wire.RemoteContentID) (*wire.RemoteContent,
	error) {
	if f.remote == nil {
		return nil, wire.NotFound
	}
	return f.remote, nil
}

func (f *federation) Catalogue(context.Context) (*wire.CataloguePage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &wire.CataloguePage{Services: []wire.CatalogueService{{ID: serviceA,
		Institution: payeeA, Name: f.sender.Service.Name}},
		Institutions: []wire.CatalogueInstitution{{ID: payeeA, Name: "Comune di Prova"}}}, f.fault
}

func (f *federation) ServiceByID(_ context.Context, id wire.ServiceID) (*wire.ServiceAccess, error) {
	if id != f.sender.Service.ID {
		return nil, wire.NotFound
	}
	return &f.sender, nil
}

func (f *federation) CallRegion(ctx context.Context, _ wire.RegionID, m wire.Method,
	req, resp codec.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m.Stale() && !f.asOf.IsZero() {
		asof.From(ctx).Note(f.asOf)
	}
	f.calls[m]++
	if f.fault != nil {
		return f.fault
	}
	answer, err := f.apply(m, req)
	if err != nil {
		return wire.AsError(err)
	}
	if answer == nil || resp == nil {
		return nil
	}
	return wire.Decode(wire.Encode(answer), resp)
}

func (f *federation) apply(m wire.Method, req codec.Message) (codec.Message, error) {
	if o, ok := req.(*wire.OpenSession); ok {
		f.sessions[o.Session.Token] = true
		return &o.Session, nil
	}
	var ref wire.SessionRef
	if err := wire.Decode(wire.Encode(req), &ref); err != nil || !f.sessions[ref.Token] {
		return nil, wire.Unauthenticated
	}
	switch req := req.(type) {
	case *wire.Logout:
		delete(f.sessions, req.Token)
		return nil, nil
	case *wire.SetProfile:
		return f.setProfile(&req.Update)
	case *wire.ListInbox:
		return f.list(req), nil
	case *wire.GetInbox:
		if i := f.find(req.ID); i >= 0 {
			return &f.inbox[i], nil
		}
		return nil, wire.NotFound
	case *wire.SetMessageStatus:
		i := f.find(req.ID)
		if i < 0 {
			return nil, wire.NotFound
		}
		item := &f.inbox[i].Item
		item.Read = item.Read || req.Read
		if req.Archived != wire.Unset {
			item.Archived = req.Archived == wire.Yes
		}
		return &wire.MessageStatus{Read: item.Read, Archived: item.Archived}, nil
	}
	return f.applyOther(m, req)
}

func (f *federation) applyOther(m wire.Method, req codec.Message) (codec.Message, error) {
	switch req := req.(type) {
	case *wire.MoveIntent:
		f.move.To, f.move.State = req.To, wire.MoveIntended
		return &f.move, nil
	case *wire.GetPreference:
		if f.profile.Mode == wire.Legacy {
			return nil, wire.Conflict
		}
		if f.choice == nil {
			on := f.profile.Mode == wire.Auto
			return &wire.Preference{Service: req.Service, Inbox: on, Email: on, Webhook: on,
				SettingsVersion: f.profile.SettingsVersion}, nil
		}
		return f.choice, nil
	case *wire.SetPreference:
		if req.Preference.SettingsVersion != f.profile.SettingsVersion {
			return nil, wire.Conflict
		}
		f.choice = &req.Preference
		return f.choice, nil
	case *wire.DeleteMessage:
		i := f.find(req.ID)
		if i < 0 {
			return nil, wire.NotFound
		}
		f.inbox = slices.Delete(f.inbox, i, i+1)
		return nil, nil
	case *wire.SearchInbox:
		page := &wire.InboxPage{FiscalCode: codeA}
		for _, m := range f.inbox {
			if strings.Contains(m.Item.Subject, req.Query) {
				page.Items = append(page.Items, m.Item)
			}
		}
		return page, nil
	case *wire.EndSessions:
		kept := slices.DeleteFunc(slices.Clone(f.others), func(v wire.SessionView) bool {
			return req.ID == wire.SessionID{} || v.ID == req.ID
		})
		ended := uint32(len(f.others) - len(kept))
		if f.others = kept; ended == 0 && req.ID != (wire.SessionID{}) {
			return nil, wire.NotFound
		}
		return &wire.EndedSessions{Count: ended}, nil
	}
	switch m {
	case wire.MethodGetProfile:
		return &f.profile, nil
	case wire.MethodCountMessages:
		n := &wire.MessageCounts{}
		for _, m := range f.inbox {
			if !m.Item.Read && !m.Item.Archived {
				n.Unread++
			}
		}
		return n, nil
	case wire.MethodGetMove:
		return &f.move, nil
	case wire.MethodListSessions:
		return &wire.SessionList{List: append(slices.Clone(f.others),
			wire.SessionView{ID: wire.SessionID{9}, Device: "Firefox", Current: true})}, nil
	}
	return nil, wire.UnknownKind
}

func (f *federation) find(id wire.MessageID) int {
	return slices.IndexFunc(f.inbox, func(m wire.InboxMessage) bool { return m.Item.ID == id })
}

func (f *federation) setProfile(u *wire.ProfileUpdate) (codec.Message, error) {
	p := &f.profile
	if u.Version != p.Version {
		return nil, wire.Conflict
	}
	if u.AcceptedTos != 0 {
		p.AcceptedTos, p.InboxEnabled = u.AcceptedTos, true
	}
	if u.SetMode {
		p.Mode, p.SettingsVersion = u.Mode, p.SettingsVersion+1
	}
	if u.SetLanguages {
		p.Languages = u.Languages
	}
	if u.Inbox != wire.Unset {
		p.InboxEnabled = u.Inbox == wire.Yes
	}
	p.Reminder, p.PushContent, p.LastAppVersion = u.Reminder, u.PushContent, u.LastAppVersion
	p.Version++
	return p, nil
}

func (f *federation) list(q *wire.ListInbox) *wire.InboxPage {
	page := &wire.InboxPage{FiscalCode: codeA}
	for _, m := range f.inbox {
		if !q.Shows(wire.MessageStatus{Read: m.Item.Read, Archived: m.Item.Archived}) ||
			!q.Before.IsZero() && bytes.Compare(m.Item.ID[:], q.Before[:]) >= 0 {
			continue
		}
		if len(page.Items) == int(q.Size) {
			page.More = true
			break
		}
		page.Items = append(page.Items, m.Item)
	}
	return page
}

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// deliver puts a message on top of the inbox.
func (f *federation) deliver(c wire.Content) wire.MessageID {
	id := wire.MessageID{1, 0x9c}
	id[5], id[15] = byte(len(f.inbox)>>8), byte(len(f.inbox))
	id[4] = 1
	f.inbox = slices.Insert(f.inbox, 0, wire.InboxMessage{FiscalCode: codeA, Content: c,
		Item: wire.InboxItem{ID: id, Service: serviceA, Subject: c.Subject}})
	return id
}

// bench is the pages over a federation in memory.
type bench struct {
	t   testing.TB
	fed *federation
	mux *http.ServeMux
	log *bytes.Buffer
	jar map[string]string

	pages *Web
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, fed: newFederation(), mux: http.NewServeMux(), log: new(bytes.Buffer),
		jar: map[string]string{}}
	login := &citizen.TestLogin{Codes: map[fiscalcode.Code]citizen.TestCitizen{codeA: {}}}
	logger := slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	citizens, err := citizen.New(citizen.Config{Relay: b.fed, TestLogin: login, Logger: logger,
		Remote: remote.New(remote.Config{Allow: []netip.Prefix{loopback}})})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := New(Config{Relay: b.fed, Citizens: citizens, TestLogin: true,
		Providers: b.providers(),
		Contact:   "mailto:help@example.com", Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	pages.Register(b.mux)
	b.pages = pages
	t.Cleanup(func() {
		for _, secret := range []string{string(codeA), "Maria", "example.com"} {
			if strings.Contains(b.log.String(), secret) {
				t.Errorf("the log shows %q", secret)
			}
		}
	})
	return b
}

func (b *bench) providers() []identity.Info {
	return []identity.Info{{ID: "cie", Name: "CIE", Kind: identity.CIE},
		{ID: "poste", Name: "<i>Poste</i>", Kind: identity.SPID},
		{ID: "regione", Name: "Regione", Kind: identity.OIDC}}
}

// entered is a bench whose citizen is signed in and has accepted the terms.
func entered(t testing.TB) *bench {
	t.Helper()
	b := newBench(t)
	b.fed.profile.AcceptedTos, b.fed.profile.Mode = 1, wire.Auto
	b.fed.profile.SettingsVersion = 0
	b.post("/sign-in", url.Values{"code": {string(codeA)}, "password": {"test"}})
	if b.jar[cookieName] == "" {
		t.Fatal("nobody is signed in")
	}
	return b
}

type answer struct {
	*http.Response
	body string
}

func (b *bench) send(r *http.Request) answer {
	b.t.Helper()
	for name, value := range b.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	b.mux.ServeHTTP(w, r)
	resp := w.Result()
	for _, c := range resp.Cookies() {
		if b.jar[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.jar, c.Name)
		}
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{resp, string(body)}
}

func (b *bench) get(path string) answer {
	b.t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Accept", "text/html")
	return b.send(r)
}

// post posts a form as a browser does from a page of ours.
func (b *bench) post(path string, form url.Values) answer {
	b.t.Helper()
	r := httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Origin", "http://example.com")
	return b.send(r)
}

// want holds an answer against a status and texts that its body has.
func (b *bench) want(a answer, status int, texts ...string) answer {
	b.t.Helper()
	if a.StatusCode != status {
		b.t.Fatalf("got status %d, want %d: %.400s", a.StatusCode, status, a.body)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			b.t.Errorf("the page lacks %q", text)
		}
	}
	return a
}

// wantAt holds an answer against the place that it sends on to.
func (b *bench) wantAt(a answer, to string) {
	b.t.Helper()
	if got := a.Header.Get("Location"); a.StatusCode != http.StatusSeeOther || got != to {
		b.t.Fatalf("got status %d and %q, want 303 and %q", a.StatusCode, got, to)
	}
}
