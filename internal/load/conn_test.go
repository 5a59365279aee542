package load

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
)

func TestAnswers(t *testing.T) {
	for in, want := range map[string]string{
		"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nab":                      "201 ab",
		"HTTP/1.1 201 Created\r\ncontent-length:2\r\nX: y\r\n\r\nabHTTP":           "201 ab",
		"HTTP/1.1 503 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n": "503 ab",
		"HTTP/1.1 503 x\r\nRetry-After: 1\r\nContent-Length: 1\r\n\r\nx":           "503 x",
		"HTTP/1.1 503 x\r\nRetry-After:\r\nContent-Length: 1\r\n\r\nx":             "503 x",
		"HTTP/1.1 204 \r\nContent-Length: 0\r\n\r\n":                               "204 ",
		"HTTP/1.1 201 Created\r\nContent-Length: -2\r\n\r\nab":                     "",
		"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nab":                      "",
		"HTTP/1.1 201 Created\r\nContent-Length: 65537\r\n\r\n":                    "",
		"HTTP/1.1 400 x\r\nConnection: close\r\n\r\nab":                            "400 ab",
		"HTTP/1.1 201 Created\r\n\r\nab":                                           "",
		"HTTP/1.0 201 Created\r\nContent-Length: 2\r\n\r\nab":                      "",
		"HTTP/1.1 20":                               "",
		"HTTP/1.1 abc\r\n\r\n":                      "",
		"HTTP/1.1 100 Continue\r\n\r\n":             "",
		"HTTP/1.1 201 " + strings.Repeat("x", 9000): "",
	} {
		c := &conn{in: bufio.NewReaderSize(strings.NewReader(in), 4096)}
		a, err := c.read()
		got := ""
		if err == nil {
			got = strconv.Itoa(a.status) + " " + string(a.body)
		}
		if a.retryAfter != strings.Contains(in, "Retry-After: 1") {
			t.Errorf("%.60q: to come again: %v", in, a.retryAfter)
		}
		if got != want {
			t.Errorf("%.60q: got %q, %v, want %q", in, got, err, want)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nab"))
	f.Add([]byte("HTTP/1.1 503 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		c := &conn{in: bufio.NewReaderSize(bytes.NewReader(in), 4096)}
		if a, err := c.read(); err == nil && len(a.body) > answerBytesMax {
			t.Errorf("a body of %d bytes", len(a.body))
		}
	})
}

// Over TCP, against a server that closes connections when it likes.
func TestRealConnections(t *testing.T) {
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		switch n.Add(1) % 4 {
		case 0:
			w.Header().Set("Connection", "close")
		case 1:
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(201)
		io.WriteString(w, `{"id":"01","status":"PROCESSED"}`)
	}))
	defer server.Close()
	r, err := Run(t.Context(), Config{Gateways: []string{server.URL}, Key: "K", Concurrency: 1,
		Count: 100, Codes: []fiscalcode.Code{"AAAAAA00A00A000A"}})
	if err != nil || r.Messages != 75 || r.Errors["connection broken"] != 25 {
		t.Errorf("%d messages, errors %v, %v", r.Messages, r.Errors, err)
	}
}

// What the generator costs itself: by hand, and as net/http would do it. The server's part is
// the same in both.
func BenchmarkByHand(b *testing.B) {
	server := fastServer(b)
	config := benchConfig(server.URL)
	config.Count = int64(b.N)
	cpu := processor(b)
	r, err := Run(b.Context(), config)
	if err != nil || r.Messages != int64(b.N) {
		b.Fatal(r, err)
	}
	b.ReportMetric(float64((processor(b)-cpu).Microseconds())/float64(b.N), "cpu-us/op")
}

func BenchmarkNetHTTP(b *testing.B) {
	server := fastServer(b)
	config := benchConfig(server.URL)
	if err := config.complete(); err != nil {
		b.Fatal(err)
	}
	corpus := newCorpus(&config)
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	defer transport.CloseIdleConnections()
	cpu := processor(b)
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		var request []byte
		t := newTally(time.Now())
		for pb.Next() {
			var n int
			request, n = corpus.request(request[:0])
			req, _ := http.NewRequest("POST", server.URL+"/api/v1/messages",
				bytes.NewReader(request[len(request)-n:]))
			req.Header.Set("Ocp-Apim-Subscription-Key", "K")
			req.Header.Set("Content-Type", "application/json")
			start := time.Now()
			resp, err := transport.RoundTrip(req)
			if err != nil {
				b.Error(err)
				return
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				b.Error(err)
				return
			}
			t.answered(answer{status: resp.StatusCode, body: body}, moment{start, start}, n)
		}
	})
	b.ReportMetric(float64((processor(b)-cpu).Microseconds())/float64(b.N), "cpu-us/op")
}

func benchConfig(url string) Config {
	return Config{Gateways: []string{url}, Key: "K", Codes: []fiscalcode.Code{"AAAAAA00A00A000A"}}
}

func fastServer(b *testing.B) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(201)
		io.WriteString(w, `{"id":"01","status":"PROCESSED"}`)
	}))
	b.Cleanup(server.Close)
	return server
}

// processor is the time that this process has used.
func processor(b *testing.B) time.Duration {
	u, err := readUsage(os.Getpid())
	if err != nil {
		b.Skip(err)
	}
	return u.cpu
}
