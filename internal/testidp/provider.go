package testidp

import (
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
)

// Userinfo is the form of what is said of a person.
type Userinfo int

// The forms.
const (
	JSON   Userinfo = iota
	Signed          // a signed token
	Nested          // a signed token within an encrypted one
)

// Config of a Provider. Only Issuer is required.
type Config struct {
	// Issuer is the address under which the provider is served.
	Issuer string
	// ClientID and Secret of the one who may ask; without a secret an assertion is taken unread.
	ClientID, Secret string
	Userinfo         Userinfo
	// EncryptTo is the client's key, for Nested.
	EncryptTo *rsa.PublicKey
	// Seed of the citizens.
	Seed uint64
	// Now is the wall clock. nil: time.Now.
	Now func() time.Time
}

// Provider is the provider. It is an http.Handler, safe for concurrent use.
type Provider struct {
	// Set at construction.
	cfg      Config
	mux      *http.ServeMux
	citizens []Citizen
	foreign  *pair // another provider's

	// Guarded by mu.
	mu     sync.Mutex
	key    *pair
	keys   []jose.JSONWebKey
	codes  map[string]*grant
	access map[string]*grant
	last   string // the ID token of the login before
	broken map[string]Fault
}

// grant is a login that came so far.
type grant struct {
	citizen                 Citizen
	fault                   Fault
	client, redirect        string
	nonce, challenge, level string
	subject, accessed       string
}

// grantsMax bounds the logins that are remembered.
const grantsMax = 1024

// New makes a Provider.
func New(cfg Config) *Provider {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Provider{cfg: cfg, mux: http.NewServeMux(), citizens: Citizens(cfg.Seed),
		key: firstPair(), foreign: foreignPair(),
		codes: map[string]*grant{}, access: map[string]*grant{}, broken: map[string]Fault{}}
	p.keys = []jose.JSONWebKey{p.key.public()}
	p.mux.HandleFunc("GET /.well-known/openid-configuration", p.breakable("discovery", p.describe))
	p.mux.HandleFunc("GET /jwks", p.breakable("jwks", p.showKeys))
	p.mux.HandleFunc("GET /authorize", p.ask)
	p.mux.HandleFunc("POST /authorize", p.authorize)
	p.mux.HandleFunc("POST /token", p.breakable("token", p.exchange))
	p.mux.HandleFunc("GET /userinfo", p.breakable("userinfo", p.tell))
	return p
}

// ServeHTTP is http.Handler's.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

// Break has what answers at a place (discovery, jwks, token, userinfo) be wrong; "": right again.
func (p *Provider) Break(place string, f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken[place] = f
}

// Roll has the provider sign with a new key. The old one is still published where keep says so.
func (p *Provider) Roll(keep bool) {
	next := newPair("key-" + strconv.Itoa(len(p.keys)+1) + random()[:4])
	p.mu.Lock()
	defer p.mu.Unlock()
	if !keep {
		p.keys = nil
	}
	p.key, p.keys = next, append(p.keys, next.public())
}

func (p *Provider) breakable(place string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		fault := p.broken[place]
		p.mu.Unlock()
		switch fault {
		case Slow:
			io.Copy(io.Discard, r.Body) // else nobody would see the client leave
			<-r.Context().Done()
		case Huge:
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(`{"keys":[],"a":"` + strings.Repeat("a", 1<<20) + `"}`))
		case Garbage:
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(`{"id_token": <html>`))
		case Down:
			w.WriteHeader(http.StatusServiceUnavailable)
		case Redirect:
			http.Redirect(w, r, p.cfg.Issuer+"/elsewhere", http.StatusFound)
		default:
			h(w, r)
		}
	}
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.MarshalWrite(w, v)
}

func (p *Provider) describe(w http.ResponseWriter, _ *http.Request) {
	answer(w, 200, map[string]any{"issuer": p.cfg.Issuer,
		"authorization_endpoint": p.cfg.Issuer + "/authorize",
		"token_endpoint":         p.cfg.Issuer + "/token",
		"userinfo_endpoint":      p.cfg.Issuer + "/userinfo", "jwks_uri": p.cfg.Issuer + "/jwks",
		"authorization_response_iss_parameter_supported": true})
}

func (p *Provider) showKeys(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	answer(w, 200, jose.JSONWebKeySet{Keys: p.keys})
}

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="it"><head><meta charset="utf-8"><title>Provider di prova</title></head><body>
<main><h1>Provider di prova</h1><p>Cittadini inventati: chi vuoi essere?</p>
{{range $i, $c := .Citizens}}<form method="post" action="/authorize?{{$.Query}}">
<input type="hidden" name="citizen" value="{{$i}}">
<button>{{$c.Name}} {{$c.FamilyName}} ({{$c.Code}})</button></form>
{{end}}<form method="post" action="/authorize?{{.Query}}">
<input type="hidden" name="citizen" value="0">
<label>Con un difetto: <select name="fault">{{range .Faults}}<option>{{.}}</option>{{end}}</select>
</label> <button>Entra col difetto</button></form></main></body></html>
`))

// ask shows the citizens.
func (p *Provider) ask(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	page.Execute(w, map[string]any{"Citizens": p.citizens, "Faults": Faults(),
		"Query": template.URL(r.URL.Query().Encode())})
}

// authorize lets the browser be a citizen.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	i, bad := strconv.Atoi(r.PostFormValue("citizen"))
	if err != nil || bad != nil || i < 0 || i >= len(p.citizens) ||
		q.Get("client_id") != p.cfg.ClientID || q.Get("response_type") != "code" ||
		q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" {
		http.Error(w, "not a request that this provider takes", http.StatusBadRequest)
		return
	}
	g := &grant{citizen: p.citizens[i], fault: Fault(r.PostFormValue("fault")),
		client: q.Get("client_id"), redirect: q.Get("redirect_uri"), nonce: q.Get("nonce"),
		challenge: q.Get("code_challenge"), level: q.Get("acr_values")}
	sum := sha256.Sum256([]byte(g.client + g.citizen.Code))
	g.subject = base64.RawURLEncoding.EncodeToString(sum[:])
	code := random()
	p.mu.Lock()
	if len(p.codes) >= grantsMax {
		clear(p.codes)
	}
	p.codes[code] = g
	p.mu.Unlock()
	to := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.cfg.Issuer}}
	g.fault.answer(to)
	back.RawQuery = to.Encode()
	http.Redirect(w, r, back.String(), http.StatusSeeOther)
}

// exchange takes a code, once.
func (p *Provider) exchange(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	id, secret, basic := r.BasicAuth()
	known := basic && id == url.QueryEscape(p.cfg.ClientID) && secret == url.QueryEscape(p.cfg.Secret)
	if p.cfg.Secret == "" {
		known = strings.Count(r.PostFormValue("client_assertion"), ".") == 2
	}
	if !known {
		answer(w, 401, map[string]string{"error": "invalid_client"})
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if g == nil || g.redirect != r.PostFormValue("redirect_uri") ||
		base64.RawURLEncoding.EncodeToString(sum[:]) != g.challenge {
		answer(w, 400, map[string]string{"error": "invalid_grant"})
		return
	}
	g.accessed = random()
	if len(p.access) >= grantsMax {
		clear(p.access)
	}
	p.access[g.accessed] = g
	token := p.idToken(g)
	if g.fault == Replayed && p.last != "" {
		token = p.last
	}
	p.last = token
	answer(w, 200, map[string]any{"access_token": g.accessed, "token_type": "Bearer",
		"id_token": token, "expires_in": 300})
}

func (p *Provider) idToken(g *grant) string {
	now := p.cfg.Now()
	claims := map[string]any{"iss": p.cfg.Issuer, "sub": g.subject, "aud": g.client,
		"exp": now.Add(5 * time.Minute).Unix(), "iat": now.Unix(), "nonce": g.nonce,
		"acr": g.level, "jti": random(), "at_hash": hashOf(g.accessed)}
	g.fault.idToken(claims, now)
	return p.token(claims, g.fault)
}

// tell says who the person is.
func (p *Provider) tell(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.access[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	if g == nil {
		answer(w, 401, map[string]string{"error": "invalid_token"})
		return
	}
	now := p.cfg.Now()
	c := map[string]any{"sub": g.subject, "given_name": g.citizen.Name,
		"family_name": g.citizen.FamilyName, "birthdate": g.citizen.DateOfBirth,
		"email": g.citizen.Email, attributes + "fiscal_number": "TINIT-" + g.citizen.Code}
	g.fault.person(c, now)
	if g.fault == OtherSubject {
		c["sub"] = "another"
	}
	if p.cfg.Userinfo == JSON || g.fault == PlainUserinfo {
		answer(w, 200, c)
		return
	}
	c["iss"], c["aud"] = p.cfg.Issuer, g.client
	c["iat"], c["exp"] = now.Unix(), now.Add(5*time.Minute).Unix()
	fault := Fault("")
	if g.fault == UserinfoForeign {
		fault = Foreign
	}
	text := p.token(c, fault)
	if p.cfg.Userinfo == Nested {
		to := p.cfg.EncryptTo
		if g.fault == WrongKey {
			to = &p.foreign.private.PublicKey
		}
		text = encrypt(to, text)
	}
	w.Header().Set("Content-Type", "application/jwt")
	w.Write([]byte(text))
}
