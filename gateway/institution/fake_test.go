package institution

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/openapitest"
	"github.com/staffetta/staffetta/wire"
)

// Synthetic people and their fate.
const (
	active     = "EEEEEE00A00E000E"
	unwilling  = "BBBBBB00A00B000B" // active, takes nothing of the service
	unknown    = "CCCCCC00A00C000C"
	authorized = "DDDDDD00A00D000D" // active, on the services' lists
)

const homeTag = 7

// fakeRelay is a federation of one region, in memory.
type fakeRelay struct {
	hasher *wire.Hasher
	fail   error         // answered by every call on citizens
	gate   chan struct{} // nil, or what every bulk submission's verdict takes one of

	mu       sync.Mutex
	services map[wire.KeyHash]*wire.ServiceAccess
	remotes  map[wire.RemoteContentID]*wire.RemoteContent
	messages map[wire.MessageID]*fakeMessage
	keys     map[fakeKey]*fakeMessage
	last     wire.Record // submitted
	asked    int         // calls on citizens
	keyFail  error       // answered to every look-up of a key
}

type fakeMessage struct {
	rec     wire.Record
	verdict wire.Verdict
	read    bool
	hidden  bool
}

type fakeKey struct {
	service   wire.ServiceID
	recipient wire.Recipient
	key       wire.Idempotency
}

func newFakeRelay() *fakeRelay {
	return &fakeRelay{hasher: wire.NewHasher(wire.DirectoryKey{1}),
		services: map[wire.KeyHash]*wire.ServiceAccess{},
		messages: map[wire.MessageID]*fakeMessage{}, keys: map[fakeKey]*fakeMessage{}}
}

func (f *fakeRelay) Hasher() *wire.Hasher { return f.hasher }

func (f *fakeRelay) NewID() wire.MessageID {
	return wire.NewMessageID(1_700_000_000_123, homeTag)
}

func (f *fakeRelay) RemoteContent(_ context.Context, id wire.RemoteContentID) (
	*wire.RemoteContent, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.remotes[id]; c != nil {
		return c, nil
	}
	return nil, wire.Errorf(wire.NotFound, "no such configuration")
}

func (f *fakeRelay) ServiceByKey(_ context.Context, key wire.KeyHash) (
	*wire.ServiceAccess, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keyFail != nil {
		return nil, f.keyFail
	}
	if s := f.services[key]; s != nil {
		return s, nil
	}
	return nil, wire.Errorf(wire.NotFound, "no such key")
}

func (f *fakeRelay) Submit(_ context.Context, rec *wire.Record, _ wire.InstitutionID) (wire.Outcome,
	error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.fail != nil {
		return wire.Outcome{}, f.fail
	}
	if err := rec.Validate(); err != nil {
		return wire.Outcome{}, err
	}
	key := fakeKey{rec.Service, f.hasher.Recipient(rec.FiscalCode), rec.Idempotency}
	if first := f.keys[key]; first != nil && !rec.Idempotency.IsZero() {
		if first.rec.Digest != rec.Digest {
			return wire.Outcome{Kind: wire.KeyConflict}, nil
		}
		return wire.Outcome{Kind: wire.Decided, ID: first.rec.ID, Verdict: first.verdict}, nil
	}
	f.last = *rec
	m := &fakeMessage{rec: *rec, verdict: wire.Verdict{Status: wire.Processed}}
	switch rec.FiscalCode {
	case unknown:
		m.verdict = wire.Verdict{Status: wire.Rejected, Reason: wire.UserNotFound}
	case unwilling:
		m.verdict = wire.Verdict{Status: wire.Rejected, Reason: wire.ServiceNotAllowed}
	}
	f.messages[rec.ID], f.keys[key] = m, m
	return wire.Outcome{Kind: wire.Decided, ID: rec.ID, Verdict: m.verdict}, nil
}

func (f *fakeRelay) StartBulk(ctx context.Context, rec *wire.Record, from wire.InstitutionID) (
	wait func() (wire.Outcome, error)) {
	out, err := f.Submit(ctx, rec, from)
	return func() (wire.Outcome, error) {
		if f.gate != nil {
			<-f.gate
		}
		return out, err
	}
}

func (f *fakeRelay) FindMessage(_ context.Context, code fiscalcode.Code, id wire.MessageID) (
	*wire.MessageView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.fail != nil {
		return nil, f.fail
	}
	m := f.messages[id]
	if m == nil || m.rec.FiscalCode != code {
		return nil, wire.Errorf(wire.NotFound, "no such message")
	}
	v := &wire.MessageView{ID: id, Service: m.rec.Service, Verdict: m.verdict,
		TimeToLive: m.rec.TimeToLive, FeatureLevel: m.rec.FeatureLevel, Read: m.read,
		ReadHidden: m.hidden}
	if m.verdict.Status == wire.Processed {
		v.Content = new(wire.Content)
		if err := wire.Decode(m.rec.Content, v.Content); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (f *fakeRelay) SenderProfile(_ context.Context, code fiscalcode.Code,
	_ wire.ServiceID) (*wire.SenderProfile, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	switch {
	case f.fail != nil:
		return nil, f.fail
	case code == unknown:
		return nil, wire.Errorf(wire.NotFound, "no such profile")
	case code == unwilling:
		return &wire.SenderProfile{}, nil
	}
	return &wire.SenderProfile{Allowed: true, Languages: []string{"it_IT"}}, nil
}

// bench is an API with its relay, its document and its log.
type bench struct {
	relay *fakeRelay
	api   *API
	doc   *openapitest.Checker
	mux   *http.ServeMux
	log   *bytes.Buffer
	reg   *prometheus.Registry
}

func newBench(t testing.TB, change ...func(*Config)) *bench {
	t.Helper()
	b := &bench{relay: newFakeRelay(), mux: http.NewServeMux(), log: new(bytes.Buffer),
		reg: prometheus.NewRegistry()}
	b.doc = openapitest.Load(t, "../../api/institutions.yaml")
	c := Config{Relay: b.relay, Registerer: b.reg, AcceptUnserved: true,
		Logger: slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, f := range change {
		f(&c)
	}
	api, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	b.api = api
	api.Register(b.mux)
	b.service("full", everyScope...)
	return b
}

// everyScope is what a trusted institution has.
var everyScope = []string{"ApiMessageWrite", "ApiMessageRead", "ApiLimitedProfileRead",
	"ApiMessageWriteAdvanced", "ApiMessageReadAdvanced", "ApiThirdPartyMessageWrite",
	"ApiMessageWriteWithPayee", "ApiNoRateLimit"}

// service adds a service whose key, id and institution derive from name.
func (b *bench) service(name string, scopes ...string) *wire.ServiceAccess {
	s := &wire.ServiceAccess{
		Service: wire.Service{ID: wire.ServiceID("SERVICE-" + name), Institution: "01234567890",
			Name: name, MaxAllowedPaymentAmount: 100_000,
			AuthorizedCIDRs:      []string{"0.0.0.0/0"},
			AuthorizedRecipients: []wire.Recipient{b.relay.hasher.Recipient(authorized)},
			Metadata: wire.ServiceMetadata{Description: "d", PrivacyURL: "https://example.it",
				Email: "a@example.it"}},
		Institution: wire.Institution{ID: wire.InstitutionID("inst-" + name), Scopes: scopes},
	}
	b.relay.mu.Lock()
	defer b.relay.mu.Unlock()
	b.relay.services[wire.HashKey("key-"+name)] = s
	return s
}

// request makes a request under the key of the named service.
func request(service, method, path, body string) *http.Request {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req := httptest.NewRequest(method, "/api/v1"+path, r)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if service != "" {
		req.Header.Set(KeyHeader, "key-"+service)
	}
	return req
}

const (
	subject = "Avviso di scadenza"
	text    = "Testo del messaggio, abbastanza lungo da superare il minimo di ottanta caratteri."
)

// message is a NewMessage with the given members before and inside the content.
func message(code, content string) string {
	m := `{`
	if code != "" {
		m += `"fiscal_code":"` + code + `",`
	}
	return m + `"content":{"subject":"` + subject + `","markdown":"` + text + `"` + content + `}}`
}
