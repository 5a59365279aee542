package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/internal/problem"
)

// largeBody is more than the buffers of both sides hold: a client that writes all of it before it
// reads depends on somebody taking it.
const largeBody = 12 << 20

// writeThenRead is a client as most are: it writes its request to the end, then reads.
func writeThenRead(t *testing.T, address, head string, body []byte) (*http.Response, error) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, head); err != nil {
		return nil, err
	}
	if _, err := c.Write(body); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(b))
	return resp, err
}

// TestAnswersArrive: whatever is refused before its body was read, the client gets the answer, not
// a connection that was reset.
func TestAnswersArrive(t *testing.T) {
	_, s := running(t)
	address := strings.TrimPrefix(s.url, "http://")
	body := bytes.Repeat([]byte("x"), largeBody)
	chunked := append([]byte(fmt.Sprintf("%x\r\n", len(body))), body...)
	chunked = append(chunked, "\r\n0\r\n\r\n"...)
	key := "Ocp-Apim-Subscription-Key: " + testKey + "\r\n"
	for name, c := range map[string]struct {
		request string
		chunked bool
		want    int
	}{
		"wrong key":     {"POST /api/v1/messages|Ocp-Apim-Subscription-Key: no\r\n", false, 401},
		"no key":        {"POST /api/v1/messages/" + testCode + "|", false, 401},
		"too large":     {"POST /api/v1/messages|" + key, false, 413},
		"in chunks":     {"POST /api/v1/messages|" + key, true, 413},
		"scope":         {"POST /api/v1/profiles|" + key, false, 403},
		"bulk, type":    {"POST /api/v1/messages/bulk|" + key, true, 415},
		"unknown path":  {"POST /nothing|", false, 404},
		"other method":  {"PUT /api/v1/messages|" + key, false, 405},
		"citizen":       {"POST /api/identity/v1/profile|", false, 401},
		"citizen login": {"POST /test-login|", true, 400},
		"with a GET":    {"GET /openapi/|", false, 200},
	} {
		line, header, _ := strings.Cut(c.request, "|")
		head, sent := fmt.Sprintf("%s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n", line,
			header, largeBody), body
		if c.chunked {
			head, sent = line+" HTTP/1.1\r\nHost: x\r\n"+header+
				"Transfer-Encoding: chunked\r\n\r\n", chunked
		}
		resp, err := writeThenRead(t, address, head, sent)
		if err != nil {
			t.Errorf("%s: the client sees %v, want the answer %d", name, err, c.want)
		} else if resp.StatusCode != c.want || resp.Header.Get("Connection") == "keep-alive" {
			t.Errorf("%s: got %d %v, want %d", name, resp.StatusCode, resp.Header, c.want)
		}
	}
}

// The connection of a small body, or of one that was read, goes on.
func TestConnectionsGoOn(t *testing.T) {
	_, s := running(t)
	for name, c := range map[string]struct {
		size int
		ends bool
	}{"a small body": {2000, false}, "a large one": {200_000, true}} {
		resp, _ := s.do(t, "POST", "/api/v1/messages", strings.Repeat("x", c.size),
			"Ocp-Apim-Subscription-Key", "no")
		if resp.StatusCode != 401 || resp.Close != c.ends {
			t.Errorf("%s: %d, the connection ends: %v", name, resp.StatusCode, resp.Close)
		}
	}
	resp, _ := s.do(t, "POST", "/api/v1/messages", strings.Repeat(" ", 100_000)+testBody,
		"Ocp-Apim-Subscription-Key", testKey)
	if resp.StatusCode != 201 || resp.Close {
		t.Errorf("a large body that was read: %d, the connection ends: %v", resp.StatusCode,
			resp.Close)
	}
}

// A client is heard within bounds: of silence, of time and of bytes.
func TestLingerIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		every time.Duration // another piece of the body; 0: none
		piece int
		want  time.Duration // until the connection ends
	}{
		"silent": {0, 0, lingerSilence},
		"slow":   {time.Second, 100, lingerWait},
		"fast":   {time.Millisecond, 64 << 10, lingerBytes / (64 << 10) * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			e, _ := newTestEdge(t, 10, func(mux *http.ServeMux) {
				mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
					problem.Write(w, busy(r))
				})
			})
			p, stop := serveBubble(t, e, 10)
			defer stop()
			c0 := p.dial()
			defer c0.Close()
			began := time.Now()
			io.WriteString(c0, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
			in := bufio.NewReader(c0)
			resp, err := http.ReadResponse(in, nil)
			if err != nil || resp.StatusCode != 500 || time.Since(began) != 0 {
				t.Fatalf("%s: the answer is %v, %v, after %s", name, resp, err, time.Since(began))
			}
			if n := e.requests.Load(); n != 0 {
				t.Errorf("%s: %d requests hold a place", name, n)
			}
			ended := make(chan time.Duration, 1)
			go func() {
				io.Copy(io.Discard, in)
				ended <- time.Since(began)
			}()
			for c.every > 0 {
				time.Sleep(c.every)
				if _, err := c0.Write(make([]byte, c.piece)); err != nil {
					break
				}
			}
			// The server itself waits for half a second before it closes.
			if took := <-ended; took < c.want || took > c.want+time.Second {
				t.Errorf("%s: heard for %s, want %s", name, took, c.want)
			}
		})
	}
}
