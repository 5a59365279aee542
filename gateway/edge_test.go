package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/internal/problem"
)

func newTestEdge(t *testing.T, requestsMax int, routes func(*http.ServeMux)) (*edge, *logs) {
	t.Helper()
	mux, l := http.NewServeMux(), new(logs)
	routes(mux)
	e, err := newEdge(mux, requestsMax, slog.New(slog.NewTextHandler(l,
		&slog.HandlerOptions{Level: slog.LevelDebug})), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return e, l
}

func TestPanicEndsOneRequest(t *testing.T) {
	e, logged := newTestEdge(t, 10, func(mux *http.ServeMux) {
		mux.HandleFunc("GET /early", func(http.ResponseWriter, *http.Request) {
			panic("about " + testCode)
		})
		mux.HandleFunc("GET /late", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "half")
			panic("about " + testCode)
		})
	})
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest("GET", "/early", nil))
	if w.Code != 500 || !strings.Contains(w.Body.String(), "urn:staffetta:problem:internal") {
		t.Errorf("got %d %s, want a problem", w.Code, w.Body)
	}
	func() {
		defer func() {
			if v, _ := recover().(error); !errors.Is(v, http.ErrAbortHandler) {
				t.Errorf("half an answer was left as if it were whole: %v", v)
			}
		}()
		e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/late", nil))
	}()
	text := logged.String()
	if strings.Contains(text, testCode) {
		t.Error("the panic's value was logged")
	}
	if strings.Count(text, "request failed by panic") != 2 || !strings.Contains(text, "GET /early") {
		t.Errorf("the log does not tell the panics: %s", text)
	}
	if n := e.requests.Load(); n != 0 {
		t.Errorf("%d requests still counted", n)
	}
}

func TestRequestsAreBounded(t *testing.T) {
	started, hold := make(chan struct{}), make(chan struct{})
	e, _ := newTestEdge(t, 1, func(mux *http.ServeMux) {
		mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) { close(started); <-hold })
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	}()
	<-started
	for path, want := range map[string]int{"/api/v1/messages": 503, "/api/identity/v1/profile": 500} {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s above the bound: got %d, want %d with Retry-After", path, w.Code, want)
		}
	}
	close(hold)
	<-done
}

// pipes is a listener in memory, for bubbles.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// serveBubble serves e over pipes until the test ends.
func serveBubble(t *testing.T, e *edge, connections int) (*pipes, func()) {
	p := newPipes()
	g := &Gateway{edge: e, cfg: Config{HTTP: p, Logger: slog.New(slog.DiscardHandler),
		DrainWait: time.Second, Limits: Limits{Connections: connections}}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.serve(ctx, t.Context()) }()
	return p, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: got %v, want nil", err)
		}
	}
}

func TestSlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := newTestEdge(t, 10, func(mux *http.ServeMux) {
			mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
				if _, err := problem.ReadBody(w, r, nil, 1<<20); err != nil {
					problem.Write(w, problem.From(err))
				}
			})
			mux.HandleFunc("POST /refused", func(w http.ResponseWriter, r *http.Request) {
				problem.Write(w, busy(r))
			})
		})
		p, stop := serveBubble(t, e, 10)
		defer stop()

		began := time.Now()
		silent := p.dial()
		if _, err := io.ReadAll(silent); err != nil {
			t.Errorf("silent client: %v", err)
		}
		if took := time.Since(began); took != headerWait {
			t.Errorf("a client that sends nothing was let go after %s, want %s", took, headerWait)
		}
		silent.Close()

		began = time.Now()
		slow := p.dial()
		io.WriteString(slow, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
		resp, err := http.ReadResponse(bufio.NewReader(slow), nil)
		if err != nil {
			t.Fatalf("slow body: %v", err)
		}
		if took := time.Since(began); resp.StatusCode != 400 || took != requestWait {
			t.Errorf("slow body: got %d after %s, want 400 after %s", resp.StatusCode, took,
				requestWait)
		}
		slow.Close()

		began = time.Now()
		refused := p.dial()
		io.WriteString(refused, "POST /refused HTTP/1.1\r\nHost: x\r\n"+
			"Content-Length: 200000\r\n\r\nhalf")
		resp, err = http.ReadResponse(bufio.NewReader(refused), nil)
		if err != nil {
			t.Fatalf("refused with a slow body: %v", err)
		}
		if took := time.Since(began); resp.StatusCode != 500 || took != 0 {
			t.Errorf("refused with a slow body: got %d after %s, want 500 at once",
				resp.StatusCode, took)
		}
		refused.Close()
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := newTestEdge(t, 10, func(mux *http.ServeMux) {
			mux.HandleFunc("GET /", func(http.ResponseWriter, *http.Request) {})
		})
		p, stop := serveBubble(t, e, 2)
		defer stop()
		first, second := p.dial(), p.dial()
		third := make(chan net.Conn)
		go func() { third <- p.dial() }()
		synctest.Wait()
		select {
		case <-third:
			t.Error("a third connection was accepted, 2 allowed")
		default:
		}
		first.Close() // makes room
		c := <-third
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil ||
			resp.StatusCode != 200 {
			t.Errorf("after room was made: %v", err)
		}
		c.Close()
		second.Close()
		synctest.Wait()
		if n := e.connections.Load(); n != 0 {
			t.Errorf("%d connections counted after all were closed", n)
		}
	})
}

func TestDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := newTestEdge(t, 10, func(mux *http.ServeMux) {
			mux.HandleFunc("GET /", func(_ http.ResponseWriter, r *http.Request) {
				<-r.Context().Done()
			})
		})
		p, stop := serveBubble(t, e, 10)
		c := p.dial()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); took != time.Second {
			t.Errorf("draining took %s, want the bound of a second", took)
		}
		c.Close()
	})
}
