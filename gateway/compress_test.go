package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/staffetta/staffetta/internal/problem"
)

var longText = strings.Repeat(`{"subject":"Avviso di prova"}`, 1500)

func compressEdge(t *testing.T) *edge {
	e, _ := newTestEdge(t, 10, func(mux *http.ServeMux) {
		mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) {
			problem.WriteJSONBytes(w, 200, []byte(longText))
		})
		mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) {
			problem.WriteJSONBytes(w, 200, []byte(longText[:compressBytesMin]))
		})
		mux.HandleFunc("/stream", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, longText)
		})
		mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) {
			problem.WriteJSONBytes(w, 200, []byte(longText))
			panic("half")
		})
	})
	return e
}

func get(e http.Handler, path, accept string) *httptest.ResponseRecorder {
	r, w := httptest.NewRequest("GET", path, nil), httptest.NewRecorder()
	if accept != "" {
		r.Header.Set("Accept-Encoding", accept)
	}
	e.ServeHTTP(w, r)
	return w
}

func TestCompression(t *testing.T) {
	e := compressEdge(t)
	for _, c := range []struct{ path, accept, want string }{
		{"/long", "", ""},
		{"/long", "gzip", "gzip"},
		{"/long", "gzip, deflate, br, zstd", "zstd"},
		{"/long", "zstd;q=0.5, GZIP ; q=0.8", "gzip"},
		{"/long", "gzip;q=0", ""},
		{"/long", "gzip;q=x", ""},
		{"/long", "*", ""},
		{"/long", "br", ""},
		{"/short", "gzip", ""},
		{"/stream", "gzip", ""},
	} {
		w := get(e, c.path, c.accept)
		var in io.Reader = w.Body
		var err error
		size := w.Body.Len()
		switch w.Header().Get("Content-Encoding") {
		case "gzip":
			in, err = gzip.NewReader(w.Body)
		case "zstd":
			var d *zstd.Decoder
			// A client that bounds its memory as RFC 9659 lets it can read it.
			d, err = zstd.NewReader(w.Body, zstd.WithDecoderMaxWindow(8<<20))
			in = d
			defer d.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(in)
		want := longText
		if c.path == "/short" {
			want = longText[:compressBytesMin]
		}
		if got := w.Header().Get("Content-Encoding"); got != c.want || err != nil ||
			string(body) != want {
			t.Errorf("%s for %q: encoding %q, %d bytes, %v; want %q", c.path, c.accept, got,
				len(body), err, c.want)
		}
		if c.want != "" && (size > len(longText)/10 || w.Header().Get("Content-Length") != "") {
			t.Errorf("%q: %d bytes of %d, announced %s", c.accept, size, len(longText),
				w.Header().Get("Content-Length"))
		}
		if varies := w.Header().Get("Vary") == "Accept-Encoding"; varies != (c.path == "/long") {
			t.Errorf("%s: Vary %q", c.path, w.Header().Get("Vary"))
		}
	}
}

// When all compressors are at work an answer goes as it is, and none is lost by a handler that
// fails.
func TestCompressorsAreBounded(t *testing.T) {
	e := compressEdge(t)
	for range 2 * compressorsMax {
		func() {
			defer func() { recover() }() // an answer that was cut off
			get(e, "/broken", "gzip")
		}()
	}
	c := e.codings.negotiate([]string{"gzip"})
	if len(c.busy) != 0 {
		t.Fatalf("%d compressors are lost", len(c.busy))
	}
	for range compressorsMax {
		c.busy <- struct{}{}
	}
	w := get(e, "/long", "gzip")
	if w.Header().Get("Content-Encoding") != "" || w.Body.String() != longText {
		t.Errorf("above the bound: %v", w.Header())
	}
	for range compressorsMax {
		<-c.busy
	}
	if w := get(e, "/long", "gzip"); w.Header().Get("Content-Encoding") != "gzip" {
		t.Errorf("below it again: %v", w.Header())
	}
}

func TestPublicStatus(t *testing.T) {
	_, s := running(t)
	for _, path := range []string{"/status", "/api/v1/status"} {
		resp, body := s.do(t, "GET", path, "")
		if resp.StatusCode != 200 || body != `{"status":"ready"}` {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
	mux := http.NewServeMux()
	own.Register(mux, statuses(func() error { return errBusy }, nil))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/status", nil))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("not ready: %d %v", w.Code, w.Header())
	}
}
