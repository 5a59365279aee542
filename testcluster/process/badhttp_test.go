package process_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/localfile"
)

// idleConnections is how many connections a client may hold without a word while others are
// served: fewer than the bound of a gateway, and of open files of a test.
const idleConnections = 3000

// TestBadHTTP does to a running gateway what clients do by mistake and on purpose. Each gets a
// precise refusal or the end of its connection, and others are served meanwhile.
func TestBadHTTP(t *testing.T) {
	t.Parallel()
	f := startLocal(t, "--demo=false", "--nodes", "1", "--regions", "lazio")
	file := f.file()
	gateway, key := file.Gateways[0], file.Services[0].PrimaryKey
	code := file.Citizens[0].FiscalCode
	slow := startSlowClients(t, gateway.URL, key)
	pid := f.pid(gateway.ID)

	t.Run("bodies", func(t *testing.T) { badBodies(t, gateway.URL, key, code) })
	t.Run("oversized", func(t *testing.T) { oversized(t, gateway.URL, key) })
	t.Run("not HTTP", func(t *testing.T) { notHTTP(t, gateway.URL) })
	t.Run("idle connections", func(t *testing.T) { idle(t, file, key, code) })
	slow.check()

	if got := f.pid(gateway.ID); got != pid {
		t.Error("the gateway was started again")
	}
	insist(t, http.StatusOK, http.MethodGet, gateway.Admin+"/health", nil)
	sent := submit(t, gateway.URL, key, code, "dopo tutto")
	if got := inbox(t, gateway.URL, code); len(got) != 1 || got[0] != sent.ID {
		t.Errorf("inbox %v, want %s only: a refused message was recorded", got, sent.ID)
	}
}

// badBodies are refused with a problem of a stable type.
func badBodies(t *testing.T, gateway, key, code string) {
	good := string(messageTo(code, "corpo"))
	change := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	const malformed, invalid = "malformed-json", "invalid-message"
	for name, c := range map[string]struct{ body, problem string }{
		"empty":           {"", malformed},
		"cut":             {good[:len(good)-1], malformed},
		"two values":      {good + good, malformed},
		"deep":            {deep, malformed},
		"deep inside":     {change(`"content":{`, `"x":`+deep+`,"content":{`), malformed},
		"deep objects":    {strings.Repeat(`{"a":`, 10_000), malformed},
		"invalid UTF-8":   {change("corpo", "corpo\xff\xfe"), malformed},
		"duplicate names": {change(`"content":{`, `"fiscal_code":"`+code+`","content":{`), malformed},
		"duplicate inside": {change(`"content":{`, `"content":{"subject":"`+
			strings.Repeat("x", 20)+`",`), malformed},
		"null byte":       {change("corpo", "corpo\x00"), malformed},
		"array":           {"[" + good + "]", invalid},
		"lower-case code": {change(code, strings.ToLower(code)), invalid},
		"folded code":     {change(code, foldedCode(code)), invalid},
		"full-width code": {change(code, "\uff21"+code[1:]), invalid},
		"negative amount": {change(`"content":{`, `"content":{"payment_data":{"amount":-1,`+
			`"notice_number":"301111111111111111"},`), invalid},
		"fraction of a cent": {change(`"content":{`, `"content":{"payment_data":{"amount":1.5,`+
			`"notice_number":"301111111111111111"},`), invalid},
		"amount too large": {change(`"content":{`, `"content":{"payment_data":`+
			`{"amount":99999999999,"notice_number":"301111111111111111"},`), invalid},
		"amount of 400 digits": {change(`"content":{`, `"content":{"payment_data":{"amount":1`+
			strings.Repeat("0", 400)+`,"notice_number":"301111111111111111"},`), invalid},
		"negative life": {change(`"content":{`, `"time_to_live":-3600,"content":{`), invalid},
	} {
		a, err := call(http.MethodPost, gateway+"/api/v1/messages", []byte(c.body), keyHeader, key)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var p struct{ Type string }
		if a.status == http.StatusBadRequest {
			a.decode(t, &p)
		}
		if a.status != http.StatusBadRequest || !strings.HasSuffix(p.Type, ":"+c.problem) ||
			a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: got %d %s, want 400 %s", name, a.status, a.body, c.problem)
		}
	}
	for name, path := range map[string]string{"lower case": strings.ToLower(code),
		"folded": foldedCode(code), "short": code[1:]} {
		a, err := call(http.MethodPost, gateway+"/api/v1/messages/"+path,
			[]byte(change(`"fiscal_code":"`+code+`"`, `"time_to_live":3600`)), keyHeader, key)
		if err != nil || a.status != http.StatusBadRequest {
			t.Errorf("%s code in the path: got %v, %v, want 400", name, a, err)
		}
	}
}

// oversized bodies are refused before they are read.
func oversized(t *testing.T, gateway, key string) {
	for name, framing := range map[string]string{
		"announced": "Content-Length: 1073741824",
		"chunked":   "Transfer-Encoding: chunked",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(gateway, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(conn, "POST /api/v1/messages HTTP/1.1\r\nHost: x\r\n%s: %s\r\n%s\r\n\r\n",
			keyHeader, key, framing)
		sent := make(chan int, 1)
		go func() { // without end, until the gateway has enough
			n := 0
			chunk := []byte(fmt.Sprintf("%x\r\n%s\r\n", 4096, bytes.Repeat([]byte(" "), 4096)))
			for {
				m, err := conn.Write(chunk)
				if n += m; err != nil {
					sent <- n
					return
				}
			}
		}()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: got %s, want 413", name, resp.Status)
		}
		io.Copy(io.Discard, resp.Body)
		// What was written beyond the bound lies in the two sockets' buffers.
		if n := <-sent; n > 64<<20 {
			t.Errorf("%s: the gateway took %d bytes", name, n)
		}
	}
	exact := bytes.Repeat([]byte(" "), 256<<10)
	for size, want := range map[int]int{256 << 10: 400, 256<<10 + 1: 413} {
		body := append(exact[:0:0], exact...)
		body = append(body, ' ')[:size]
		a, err := call(http.MethodPost, gateway+"/api/v1/messages", body, keyHeader, key)
		if err != nil || a.status != want {
			t.Errorf("body of %d bytes: got %v, %v, want %d", size, a, err, want)
		}
	}
}

// notHTTP gets a refusal of HTTP or the end of the connection.
func notHTTP(t *testing.T, gateway string) {
	for _, text := range []string{"garbage\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00",
		strings.Repeat("\x00", 10_000), "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nx: " + strings.Repeat("y", 200_000) + "\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("\xff", 100),
	} {
		got := rawExchange(t, gateway, text)
		if len(got) > 0 && !bytes.HasPrefix(got, []byte("HTTP/1.")) && got[3] > 4 ||
			bytes.Contains(got, []byte(" 200 ")) || bytes.Contains(got, []byte(" 500 ")) {
			t.Errorf("%.20q: got %.100q", text, got)
		}
	}
}

// idle holds thousands of connections while a citizen and an institution are served.
func idle(t *testing.T, file *localfile.File, key, code string) {
	gateway := file.Gateways[0]
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range idleConnections {
		conn, err := net.Dial("tcp", strings.TrimPrefix(gateway.URL, "http://"))
		if err != nil {
			t.Fatalf("after %d connections: %v", len(conns), err)
		}
		conns = append(conns, conn)
	}
	await(t, "the gateway holds them all", func() bool {
		a, err := call(http.MethodGet, gateway.Admin+"/metrics", nil)
		return err == nil && metric(a.body, "staffetta_http_connections") >= idleConnections
	})
	a, err := call(http.MethodPost, gateway.URL+"/api/v1/profiles",
		[]byte(`{"fiscal_code":"`+code+`"}`), keyHeader, key)
	if err != nil || a.status != http.StatusOK {
		t.Errorf("beside %d idle connections: got %v, %v, want 200", len(conns), a, err)
	}
	insist(t, http.StatusOK, http.MethodGet, gateway.Admin+"/health", nil)
}

// metric is the value of a metric without labels in Prometheus text; -1 when it is not there.
func metric(text []byte, name string) float64 {
	for line := range strings.Lines(string(text)) {
		var v float64
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(rest, &v); err == nil {
				return v
			}
		}
	}
	return -1
}

// slowClients send a request so slowly that it never ends.
type slowClients struct {
	t    *testing.T
	wait sync.WaitGroup

	mu     sync.Mutex
	faults []string // guarded by mu
}

// startSlowClients begins to send slowly, beside everything else that a test does.
func startSlowClients(t *testing.T, gateway, key string) *slowClients {
	s := &slowClients{t: t}
	for name, head := range map[string]string{
		"silent":      "",
		"slow header": "POST /api/v1/messages HTTP/1.1\r\nHost: x\r\n" + keyHeader + ": ",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(gateway, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		s.wait.Go(func() { s.drip(name, conn, head) })
	}
	return s
}

// drip sends one byte at a time until the gateway ends the connection, as it must.
func (s *slowClients) drip(name string, conn net.Conn, head string) {
	conn.SetDeadline(time.Now().Add(patience))
	conn.Write([]byte(head))
	stop := make(chan struct{})
	defer close(stop)
	if head != "" {
		go func() {
			tick := time.NewTicker(250 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					conn.Write([]byte("x"))
				case <-stop:
					return
				}
			}
		}()
	}
	b, err := io.ReadAll(conn)
	if ne, ok := err.(net.Error); ok && ne.Timeout() || bytes.Contains(b, []byte(" 200 ")) {
		s.mu.Lock()
		s.faults = append(s.faults, fmt.Sprintf("%s: got %.60q, %v; want an end", name, b, err))
		s.mu.Unlock()
	}
}

// check waits until every slow client was sent away.
func (s *slowClients) check() {
	s.t.Helper()
	s.wait.Wait()
	for _, fault := range s.faults {
		s.t.Error(fault)
	}
}
