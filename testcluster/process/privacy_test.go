package process_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/localfile"
)

// TestPrivacy has a federation of two regions do everything that it can do, well asked and badly,
// logs at the debug level. Afterwards no fiscal code, key, token or text of a message may be found
// in what leaves the processes (P6), and no citizen's data on another region's disks (P4).
func TestPrivacy(t *testing.T) {
	t.Parallel()
	f := startLocal(t, "--demo=false", "--nodes", "1", "--regions", "lazio,lombardia",
		"--log-level", "debug")
	w := newTraffic(t, f.file())
	w.institutions()
	w.citizens()
	w.badInstitutions()
	w.badCitizens()
	w.garbage()
	w.whileAway(f)
	if len(w.refusals) < 40 {
		t.Fatalf("%d refusals: the traffic is not what it should be", len(w.refusals))
	}
	leaving := f.leaving()
	f.interrupt()
	for path, b := range f.logFiles(t) {
		if !bytes.Contains(b, []byte(`"level":"DEBUG"`)) {
			t.Errorf("%s has no line of level debug: the test proves nothing", path)
		}
		leaving[path] = b
	}
	leaving["events of local"] = []byte(f.events.String())
	leaving["refusals"] = bytes.Join(w.refusals, []byte("\n"))
	for place, b := range leaving {
		for _, kind := range w.secrets.in(b) {
			t.Errorf("%s shows %s", place, kind)
		}
		checkScan(t, w.secrets, b)
	}
	checkDisks(t, f, w)
}

// checkScan plants every secret into b, where the scan must find it.
func checkScan(t *testing.T, all secrets, b []byte) {
	t.Helper()
	for _, s := range all {
		planted := append(bytes.Clone(b), `{"msg":"planted","value":"`+s.text+`"}`...)
		if len((secrets{s}).in(planted)) == 0 {
			t.Errorf("the scan does not find planted %s", s.kind)
		}
	}
}

// leaving is what the processes show to operators, by its place.
func (f *federation) leaving() map[string][]byte {
	f.t.Helper()
	places := map[string][]byte{}
	file := f.file()
	read := func(id, admin string) {
		for _, path := range []string{"/metrics", "/status", "/health"} {
			a, err := call(http.MethodGet, admin+path, nil)
			if err != nil || a.status != http.StatusOK || len(a.body) == 0 {
				f.t.Errorf("%s%s: %v", id, path, err)
				continue
			}
			places[id+path] = a.body
		}
	}
	for _, n := range file.Nodes {
		read(n.ID, n.Admin)
	}
	for _, g := range file.Gateways {
		read(g.ID, g.Admin)
	}
	for _, pid := range processesOf(f.dir) { // what other users of a machine see
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil {
			places[fmt.Sprintf("command line %d", pid)] = b
		}
	}
	return places
}

func (f *federation) logFiles(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, path := range f.logs() {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = b
	}
	if len(files) < 3 {
		t.Fatalf("%d logs", len(files))
	}
	return files
}

// traffic is everything that clients say, and what of it is secret.
type traffic struct {
	t        *testing.T
	gateway  localfile.Gateway
	key      string
	limited  string // key of the limited service
	service  string
	all      []localfile.Citizen
	secrets  secrets
	refusals [][]byte          // bodies of every answer that refuses
	texts    map[string]string // what was written to a citizen of a region, or of a state
	message  string            // an id
}

func newTraffic(t *testing.T, file *localfile.File) *traffic {
	w := &traffic{t: t, gateway: file.Gateways[0], key: file.Services[0].PrimaryKey,
		limited: file.Services[1].PrimaryKey, service: file.Services[0].ServiceID,
		all: file.Citizens, texts: map[string]string{}}
	for _, c := range file.Citizens {
		w.secrets.add("a fiscal code", c.FiscalCode)
	}
	for _, s := range file.Services {
		w.secrets.add("a key", s.PrimaryKey, s.SecondaryKey)
	}
	return w
}

// ask makes a request and keeps the body of a refusal.
func (w *traffic) ask(method, path string, body string, header ...string) *answer {
	w.t.Helper()
	a, err := call(method, w.gateway.URL+path, []byte(body), header...)
	if err != nil {
		w.t.Fatalf("%s: %v", method, err)
	}
	if a.status >= 400 {
		w.refusals = append(w.refusals, a.body)
	}
	return a
}

// want is ask with a status that must come.
func (w *traffic) want(status int, method, path string, body string, header ...string) *answer {
	w.t.Helper()
	a := w.ask(method, path, body, header...)
	if a.status != status {
		w.t.Errorf("%s %s: got %d %s, want %d", method, path, a.status, a.body, status)
	}
	return a
}

// marker makes a text that is found nowhere else.
func (w *traffic) marker(kind, word string) string {
	text := fmt.Sprintf("Segnaposto-%s-%x", word, time.Now().UnixNano())
	w.secrets.add(kind, text)
	return text
}

// institutions submits and reads as an institution does.
func (w *traffic) institutions() {
	for _, c := range w.all {
		if w.texts[c.Region+c.State] == "" {
			w.texts[c.Region+c.State] = w.marker("a message's text", c.Region+c.State)
		}
		key := w.marker("an idempotency key", "chiave")
		message := string(messageTo(c.FiscalCode, w.texts[c.Region+c.State]))
		var sent submitted
		w.want(201, "POST", "/api/v1/messages", message, keyHeader, w.key, "Idempotency-Key",
			key).decode(w.t, &sent)
		w.want(201, "POST", "/api/v1/messages", message, keyHeader, w.key, "Idempotency-Key", key)
		w.want(409, "POST", "/api/v1/messages", strings.Replace(message, "una frase", "altra", 1),
			keyHeader, w.key, "Idempotency-Key", key)
		w.want(200, "GET", "/api/v1/messages/"+c.FiscalCode+"/"+sent.ID, "", keyHeader, w.key)
		w.ask("GET", "/api/v1/messages/"+c.FiscalCode+"/"+sent.ID, "", keyHeader, w.limited)
		w.ask("GET", "/api/v1/profiles/"+c.FiscalCode, "", keyHeader, w.key)
		w.ask("POST", "/api/v1/profiles", `{"fiscal_code":"`+c.FiscalCode+`"}`, keyHeader, w.key)
		w.ask("POST", "/api/v1/messages", message, keyHeader, w.limited)
		w.message = sent.ID

		inPath := string(messageTo("", w.texts[c.Region+c.State]))
		inPath = strings.Replace(inPath, `"fiscal_code":"",`, "", 1)
		inPath = strings.Replace(inPath, `"fiscal_code":""`, `"time_to_live":3600`, 1)
		w.want(201, "POST", "/api/v1/messages/"+c.FiscalCode, inPath, keyHeader, w.key)
	}
}

// citizens does what a citizen can do.
func (w *traffic) citizens() {
	for _, c := range w.all {
		if c.State == localfile.Unknown {
			continue
		}
		token := login(w.t, w.gateway.URL, c.FiscalCode)
		w.secrets.add("a token", token)
		auth := []string{"Authorization", "Bearer " + token}
		mail := w.marker("an e-mail address", "posta") + "@example.org"
		var profile struct {
			Version int `json:"version"`
		}
		w.want(200, "GET", "/api/identity/v1/profile", "", auth...).decode(w.t, &profile)
		update := fmt.Sprintf(`{"version":%d,"email":%q,"is_email_enabled":true,`+
			`"is_inbox_enabled":%t}`, profile.Version, mail, c.State == localfile.Active)
		w.ask("POST", "/api/identity/v1/profile", update, auth...)
		w.ask("POST", "/api/identity/v1/profile", update, auth...) // the version has passed
		w.ask("GET", "/api/identity/v1/services/"+w.service+"/preferences", "", auth...)
		w.ask("POST", "/api/identity/v1/services/"+w.service+"/preferences",
			`{"is_inbox_enabled":true,"is_email_enabled":false,"settings_version":1}`, auth...)
		w.want(200, "GET", "/api/communication/v1/messages?enrich_result_data=true", "", auth...)
		w.ask("GET", "/api/communication/v1/messages/"+w.message, "", auth...)
		w.want(200, "GET", "/api/auth/v1/session", "", auth...)
		w.want(200, "POST", "/api/auth/v1/logout", "", auth...)
		w.want(401, "GET", "/api/auth/v1/session", "", auth...)
	}
}

// badInstitutions asks badly, with codes, keys and texts where they do not belong.
func (w *traffic) badInstitutions() {
	code := w.all[0].FiscalCode
	low, folded := strings.ToLower(code), foldedCode(code)
	w.secrets.add("a folded fiscal code", folded)
	key := w.marker("a wrong key", "falsa")
	text := w.marker("a refused message's text", "rifiutato")
	message := string(messageTo(code, text))
	for _, wrong := range []string{key, "Bearer " + key, strings.Repeat(key, 20)} {
		w.want(401, "POST", "/api/v1/messages", message, keyHeader, wrong)
		w.want(401, "GET", "/api/v1/profiles/"+code, "", keyHeader, wrong)
	}
	w.want(401, "GET", "/api/v1/messages/"+code+"/"+w.message, "")
	for _, bad := range []string{low, folded, code + "X", code[1:], "%20" + code, text} {
		w.ask("GET", "/api/v1/profiles/"+bad, "", keyHeader, w.key)
		w.ask("GET", "/api/v1/messages/"+bad+"/"+w.message, "", keyHeader, w.key)
		w.ask("POST", "/api/v1/messages/"+bad, message, keyHeader, w.key)
		w.want(400, "POST", "/api/v1/profiles", `{"fiscal_code":"`+bad+`"}`, keyHeader, w.key)
		w.want(400, "POST", "/api/v1/messages", strings.Replace(message, code, bad, 1), keyHeader,
			w.key)
	}
	w.want(400, "GET", "/api/v1/profiles/"+low, "", keyHeader, w.key)
	for _, body := range []string{
		message[:len(message)-2], message + message, `{"` + code + `":"` + text + `"`,
		`{"fiscal_code":["` + code + `"]}`, `{"` + code + `":1,"` + code + `":2}`,
		`"` + code + `"`, code, "\xff" + message, strings.Repeat("[", 10_000) + code,
		strings.Replace(message, `"subject":"`, `"subject":1,"x":"`, 1),
		// The contract repeats wrong values of fields that are not free text. A code among them is
		// not repeated.
		strings.Replace(message, `"content":{`, `"content":{"due_date":"`+code+`",`, 1),
		strings.Replace(message, `"content":{`, `"content":{"payment_data":{"amount":-1,`+
			`"notice_number":"x`+low+`y"},`, 1),
		strings.Replace(message, `"content":{`, `"time_to_live":"`+code+`","content":{`, 1),
		strings.Replace(message, `"content":{`, `"feature_level_type":"`+code+`","content":{`, 1),
	} {
		w.want(400, "POST", "/api/v1/messages", body, keyHeader, w.key)
		w.ask("POST", "/api/v1/profiles", body, keyHeader, w.key)
	}
	w.want(400, "POST", "/api/v1/messages", message, keyHeader, w.key, "Idempotency-Key",
		code+" "+text)
	w.want(404, "GET", "/"+code+"/"+text+"?"+code, "")
	w.want(405, "DELETE", "/api/v1/messages/"+code, text, keyHeader, w.key)
	w.want(404, "GET", "/api/v1/messages/"+code+"/01HQ0000000000000000000000", "", keyHeader, w.key)
	w.ask("GET", "/api/v1/messages/"+code+"/"+text, "", keyHeader, w.key)
}

// foldedCode has letters that only Unicode's folding makes into those of a code.
func foldedCode(code string) string {
	for ascii, other := range map[string]string{"S": "\u017f", "K": "\u212a"} {
		if strings.Contains(code, ascii) {
			return strings.Replace(code, ascii, other, 1)
		}
	}
	return "\u017f" + code[1:]
}

// badCitizens asks badly as a citizen's client.
func (w *traffic) badCitizens() {
	code := w.all[0].FiscalCode
	token := login(w.t, w.gateway.URL, code)
	wrong := w.marker("a wrong token", "gettone")
	text := w.marker("a password", "segreta")
	w.secrets.add("a token", token)
	auth := []string{"Authorization", "Bearer " + token}
	for _, body := range []string{
		`{"username":"` + code + `","password":"` + text + `"}`,
		`{"username":"` + code + "X" + `","password":"test"}`,
		`{"username":"` + code + `","password":"test","home_region":"` + text + `"}`,
		`{"username":["` + code + `"],"password":"` + text, `{"` + code + `":"` + text + `"}`,
		`{"username":"` + code + `","password":"test","home_region":"lombardia"}`,
	} {
		w.ask("POST", "/test-login", body)
	}
	for _, value := range []string{"Bearer " + wrong, "Bearer " + token + "x", "Basic " + code,
		code, "Bearer " + code, "Bearer " + token[:len(token)-1]} {
		w.want(401, "GET", "/api/identity/v1/profile", "", "Authorization", value)
		w.want(401, "GET", "/api/communication/v1/messages", "", "Authorization", value)
		w.want(401, "POST", "/api/auth/v1/logout", "", "Authorization", value)
	}
	for _, query := range []string{"maximum_id=" + code, "page_size=" + code, "%zz" + code,
		"enrich_result_data=" + code, "minimum_id=" + text, "maximum_id=1&maximum_id=" + code} {
		w.want(400, "GET", "/api/communication/v1/messages?"+query, "", auth...)
	}
	w.ask("GET", "/api/communication/v1/messages/"+code, "", auth...)
	w.ask("GET", "/api/identity/v1/services/"+code+"/preferences", "", auth...)
	w.ask("GET", "/api/auth/v1/session?fields="+code, "", auth...)
	for _, body := range []string{`{"version":"` + code + `"}`, `{"version":0,"email":"` + code +
		`"}`, `{"version":0,"service_preferences_settings":{"mode":"` + text + `"}}`, code,
		`{"version":99999,"email":"` + text + `@example.org"}`} {
		a := w.ask("POST", "/api/identity/v1/profile", body, auth...)
		if a.status < 400 {
			w.t.Errorf("%s is accepted", body)
		}
	}
}

// garbage is not HTTP.
func (w *traffic) garbage() {
	code := w.all[0].FiscalCode
	for _, text := range []string{
		code + "\r\n\r\n", "GET /" + code + "\r\n\r\n", "GET " + code + " HTTP/1.1\r\n\r\n",
		"GET /" + code + " HTTP/1.1\r\nHost: x\r\n" + code + " : " + w.key + "\r\n\r\n",
		"POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: -" + code + "\r\n\r\n",
		"POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + code + "\r\n\r\n",
		"POST /api/v1/messages HTTP/1.1\r\nHost: x\r\n" + keyHeader + ": " + w.key +
			"\r\nTransfer-Encoding: chunked\r\n\r\n" + code + "\r\n" + code,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + code, "\x16\x03\x01" + code,
	} {
		w.refusals = append(w.refusals, rawExchange(w.t, w.gateway.URL, text))
	}
}

// rawExchange writes text to a new connection and returns what comes back until its end.
func rawExchange(t *testing.T, url, text string) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	conn.Write([]byte(text))
	conn.(*net.TCPConn).CloseWrite()
	var b bytes.Buffer
	b.ReadFrom(conn)
	return b.Bytes()
}

// whileAway asks for a region that is down and comes back.
func (w *traffic) whileAway(f *federation) {
	var away localfile.Citizen
	for _, c := range w.all {
		if c.Region == "lombardia" {
			away = c
		}
	}
	token := login(w.t, w.gateway.URL, away.FiscalCode)
	w.secrets.add("a token", token)
	text := w.marker("an unanswered message's text", "assente")
	pid := f.pid("lombardia-1")
	syscall.Kill(pid, syscall.SIGSTOP)
	await(w.t, "the node is stopped", func() bool { return stopped(pid) })
	// Kept sealed in the sender's region, and delivered when the node goes on.
	w.want(201, "POST", "/api/v1/messages", string(messageTo(away.FiscalCode, text)), keyHeader,
		w.key, "Idempotency-Key", w.marker("an idempotency key", "chiave"))
	w.want(500, "GET", "/api/communication/v1/messages", "", "Authorization", "Bearer "+token)
	syscall.Kill(pid, syscall.SIGCONT)
	f.killChild("lombardia-1")
	insist(w.t, 200, "GET", w.gateway.URL+"/api/communication/v1/messages", nil,
		"Authorization", "Bearer "+token)
}
