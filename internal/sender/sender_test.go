package sender

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// send runs once, in the caller's bubble or in real time, without a results file.
func send(t *testing.T, g *gatewayFake, input string, change func(*Config)) (Summary, []byte,
	error) {
	t.Helper()
	var out bytes.Buffer
	results := NewResults(&out)
	config := Config{Gateway: "http://gateway.example", Key: "K", In: strings.NewReader(input),
		Results: results, Transport: g, OneByOne: g.lane == oneByOne}
	if change != nil {
		change(&config)
	}
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	summary, err := s.Run(t.Context())
	if err := results.Close(); err != nil {
		t.Fatal(err)
	}
	return summary, out.Bytes(), err
}

func inputOf(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(message([]string{"KNOWN", "KNOWN", "UNKNOWN"}[i%3], i) + "\n")
	}
	return b.String()
}

func TestSend(t *testing.T) { eachLane(t, testSend) }

func testSend(t *testing.T, way lane) {
	input := strings.Join([]string{
		"\xef\xbb\xbf" + message("KNOWN", 1), "  " + message("UNKNOWN", 2) + " \r", "", "{]",
		message("INVALID", 3), message("KNOWN", 1), `["no object"]`,
		`{"fiscal_code":"` + strings.Repeat("x", LineBytesMax) + `"}`, message("KNOWN", 4)}, "\n")
	g := newGateway(way, nil)
	summary, out, err := send(t, g, input, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkAll(t, g, strings.TrimPrefix(input, "\xef\xbb\xbf"), out)
	for kind, want := range map[string]int64{"PROCESSED": 3, "REJECTED USER_NOT_FOUND": 1,
		"error: empty line": 1, "error: not a JSON object": 2,
		"error: line of more than 262144 bytes": 1, "error 400: Invalid message structure": 1} {
		if got := summary.Count(kind); got != want {
			t.Errorf("%s: got %d, want %d", kind, got, want)
		}
	}
	if summary.Lines != 9 || summary.Failed != 5 || summary.Processed != 3 || summary.Rejected != 1 {
		t.Errorf("summary %+v", summary)
	}
	var text strings.Builder
	summary.Write(&text)
	if !strings.Contains(text.String(), "        3  PROCESSED\n") {
		t.Errorf("summary:\n%s", text.String())
	}
}

func TestEmptyInput(t *testing.T) {
	summary, out, err := send(t, newGateway(inBulk, nil), "", nil)
	if err != nil || summary.Lines != 0 || len(out) != 0 {
		t.Errorf("got %+v, %q, %v", summary, out, err)
	}
}

// Whatever happens to attempts, in every pairing, each line becomes one message.
func TestFaults(t *testing.T) { eachLane(t, testFaults) }

func testFaults(t *testing.T, way lane) {
	for _, first := range everyFault {
		for _, second := range append(everyFault, fine) {
			t.Run(fmt.Sprintf("%s then %s", first, second), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g := newGateway(way, func(key string, attempt int) fault {
						return append([]fault{first, second}, make([]fault, 99)...)[attempt]
					})
					input := inputOf(20)
					summary, out, err := send(t, g, input, func(c *Config) {
						c.GiveUp = time.Hour // each line that stays mute holds up a stream
					})
					if err != nil || summary.Failed != 0 {
						t.Fatalf("%+v, %v", summary, err)
					}
					checkAll(t, g, input, out)
				})
			})
		}
	}
}

// An answer decides how long everybody waits.
func TestRateLimit(t *testing.T) { eachLane(t, testRateLimit) }

func testRateLimit(t *testing.T, way lane) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		closed, early := false, 0 // under the fake's lock
		g := newGateway(way, func(string, int) fault {
			if d := time.Since(start); d > 0 && d < 3*time.Second {
				early++
			}
			if !closed {
				closed = true
				return limited
			}
			return fine
		})
		g.latency = 100 * time.Millisecond
		input := inputOf(500)
		_, out, err := send(t, g, input, func(c *Config) { c.Concurrency = 8 })
		if err != nil {
			t.Fatal(err)
		}
		checkAll(t, g, input, out)
		if early > 0 {
			t.Errorf("%d requests within the three seconds that the gateway asked for", early)
		}
	})
}

func TestGiveUp(t *testing.T) { eachLane(t, testGiveUp) }

func testGiveUp(t *testing.T, way lane) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(way, nil)
		input := message("BROKEN", 1) + "\n" + message("KNOWN", 2) + "\n"
		start := time.Now()
		summary, out, err := send(t, g, input, func(c *Config) { c.GiveUp = time.Minute })
		if err != nil || summary.Failed != 1 || summary.Processed != 1 {
			t.Fatalf("%+v, %v", summary, err)
		}
		checkAll(t, g, input, out)
		if !bytes.Contains(out, []byte(`"retriable":true`)) {
			t.Errorf("the results do not say that the line can be tried again: %s", out)
		}
		if d := time.Since(start); d < 40*time.Second || d > time.Minute {
			t.Errorf("gave up after %v, want nearly a minute", d)
		}
	})
}

func TestKeyRefused(t *testing.T) { eachLane(t, testKeyRefused) }

func testKeyRefused(t *testing.T, way lane) {
	g := newGateway(way, nil)
	_, out, err := send(t, g, inputOf(100), func(c *Config) { c.Key, c.Concurrency = "other", 1 })
	if !errors.Is(err, ErrKeyRefused) || len(out) != 0 {
		t.Errorf("got %v and results %q", err, out)
	}
	if g.requests > 2 {
		t.Errorf("%d requests with a key that is refused", g.requests)
	}
}

func TestBadConfig(t *testing.T) {
	_, err := New(Config{Gateway: "ftp://user:secret@x", Key: "a b", Concurrency: -1, GiveUp: -1})
	for _, want := range []string{"gateway:", "key:", "no input", "concurrency:", "give up:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want all problems, %q too", err, want)
		}
	}
	if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "a b") {
		t.Errorf("the error tells a secret: %v", err)
	}
}

// A line's key survives changes around it, and tells equal lines apart.
func TestKeys(t *testing.T) {
	keys := func(input string) map[string][]string {
		m := make(map[string][]string)
		var seen occurrences
		for in := newLines(strings.NewReader(input)); ; {
			l, err := in.next()
			if err != nil {
				return m
			}
			n, _ := seen.next(l.hash)
			m[string(l.text)] = append(m[string(l.text)], keyOf(l.hash, n))
		}
	}
	a, b := keys("x\ny\nx\nz\n"), keys("new\nx\r\n z \nx\nx")
	if len(a["x"]) != 2 || a["x"][0] == a["x"][1] {
		t.Errorf("equal lines have keys %v", a["x"])
	}
	if a["x"][0] != b["x"][0] || a["x"][1] != b["x"][1] || a["z"][0] != b["z"][0] {
		t.Errorf("keys changed: %v, then %v", a, b)
	}
	// Pinned: another key would send a file again that was begun with an earlier version.
	const want = "d2c97aa823f9cd1a9b1af00235e7a45a89b1d82b43d82a7b2e7c5e2ea730db14"
	if got := a["x"][0]; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestOccurrences(t *testing.T) {
	var seen occurrences
	for round := range uint64(3) {
		for i := range 5000 {
			got, ok := seen.next(hashLine(fmt.Append(nil, i)))
			if got != round || !ok {
				t.Fatalf("text %d, time %d: got %d, %v", i, round, got, ok)
			}
		}
	}
}

// One line without an answer holds up a window of results and no more of the input.
func TestBoundedMemory(t *testing.T) { eachLane(t, testBoundedMemory) }

func testBoundedMemory(t *testing.T, way lane) {
	synctest.Test(t, func(t *testing.T) {
		var read atomic.Int64
		ctx, stop := context.WithCancel(t.Context())
		endless := readerFunc(func(b []byte) (int, error) {
			n := read.Add(1)
			return copy(b, message("KNOWN", int(n))+"\n"), nil
		})
		first := keyOf(hashLine([]byte(message("KNOWN", 1))), 0)
		g := newGateway(way, func(key string, _ int) fault {
			if key == first {
				return mute
			}
			return fine
		})
		s, err := New(Config{Gateway: "http://gateway.example", Key: "K", In: endless, Transport: g,
			OneByOne: way == oneByOne})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { _, err := s.Run(ctx); done <- err }()
		synctest.Wait() // everything rests: the first request has no answer
		if n := read.Load(); n < window || n > window+2*ConcurrencyDefault+2 {
			t.Errorf("%d lines read, want a window of %d", n, window)
		}
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func TestReadError(t *testing.T) {
	in := io.MultiReader(strings.NewReader(inputOf(3)), readerFunc(func([]byte) (int, error) {
		return 0, errors.New("disk on fire")
	}))
	g := newGateway(inBulk, nil)
	summary, out, err := send(t, g, "", func(c *Config) { c.In = in })
	if err == nil || !strings.Contains(err.Error(), "read line 4: disk on fire") {
		t.Errorf("got %v", err)
	}
	if summary.Lines != 3 {
		t.Errorf("%d lines have results, want those before the error: %s", summary.Lines, out)
	}
}

// Long lines hold up more of the input before a window of them is under way.
func TestBoundedText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var read atomic.Int64
		ctx, stop := context.WithCancel(t.Context())
		long := `{"fiscal_code":"KNOWN","x":"` + strings.Repeat("x", LineBytesMax-1<<10) + `"}` + "\n"
		endless := readerFunc(func(b []byte) (int, error) {
			n := copy(b, long[read.Load()%int64(len(long)):])
			read.Add(int64(n))
			return n, nil
		})
		g := newGateway(inBulk, func(string, int) fault { return mute })
		s, err := New(Config{Gateway: "http://gateway.example", Key: "K", In: endless, Transport: g})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { _, err := s.Run(ctx); done <- err }()
		synctest.Wait()
		if n := read.Load(); n < textBytesMax || n > textBytesMax+2*LineBytesMax {
			t.Errorf("%d bytes read, want %d", n, textBytesMax)
		}
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// A region that is away holds up its own lines and no others.
func TestSomeLinesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		late, sent := 0, 0 // under the fake's lock
		g := newGateway(inBulk, func(key string, attempt int) fault {
			away := key[0] == '0'
			switch since := time.Since(start); {
			case away && since < time.Minute:
				return unavailable
			case attempt == 0 && since > time.Second:
				late++
			}
			sent++
			return fine
		})
		input := inputOf(5000)
		summary, out, err := send(t, g, input, nil)
		if err != nil || summary.Failed != 0 {
			t.Fatalf("%+v, %v", summary, err)
		}
		checkAll(t, g, input, out)
		if late > 0 || sent != 5000 {
			t.Errorf("%d lines were held up by others, %d sent for 5000 lines", late, sent)
		}
		if g.requests > 4*60+20 {
			t.Errorf("%d requests within a minute of waiting", g.requests)
		}
	})
}

// A gateway that is away is asked seldom, whatever waits.
func TestGatewayAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		g := newGateway(inBulk, func(string, int) fault {
			if time.Since(start) < 5*time.Minute {
				return refuse
			}
			return fine
		})
		input := inputOf(10000)
		summary, out, err := send(t, g, input, nil)
		if err != nil || summary.Failed != 0 {
			t.Fatalf("%+v, %v", summary, err)
		}
		checkAll(t, g, input, out)
		if g.requests > streams*5*60/4 {
			t.Errorf("%d requests in five minutes without a gateway", g.requests)
		}
	})
}

// A line's key becomes a member, whatever else the line has.
func TestBatch(t *testing.T) {
	key := strings.Repeat("k", 64)
	for text, want := range map[string]string{
		`{}`:             `{"idempotency_key":"` + key + `"}`,
		"{ \t}":          `{"idempotency_key":"` + key + "\" \t}",
		`{ "a":{}}`:      `{"idempotency_key":"` + key + `", "a":{}}`,
		`{"a":"\u007b"}`: `{"idempotency_key":"` + key + `","a":"\u007b"}`,
	} {
		for _, size := range []int{1, 7, 4096} {
			b := newBatch([]*task{{line: line{text: []byte(text)}, key: key},
				{line: line{text: []byte("{}")}, key: key}})
			var got []byte
			for buf := make([]byte, size); ; {
				n, err := b.Read(buf)
				got = append(got, buf[:n]...)
				if err != nil {
					break
				}
			}
			if w := want + "\n" + `{"idempotency_key":"` + key + `"}` + "\n"; string(got) != w ||
				b.size != int64(len(w)) {
				t.Errorf("%s: got %q of %d bytes, want %q", text, got, b.size, w)
			}
		}
	}
	for text, fits := range map[string]bool{`{"idempotency_key":1}`: false,
		`{"a":{"idempotency_key":1}}`: true, `{"a":"idempotency_key"}`: true} {
		if problem := unfit([]byte(text)); (problem == "") != fits {
			t.Errorf("%s: %q", text, problem)
		}
	}
}

// An interrupted run lets requests under way finish, even where the input blocks for ever.
func TestInterruptedWhileReading(t *testing.T) { eachLane(t, testInterruptedWhileReading) }

func testInterruptedWhileReading(t *testing.T, way lane) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		ctx, stop := context.WithCancel(t.Context())
		g := newGateway(way, nil)
		var out bytes.Buffer
		results := NewResults(&out)
		s, err := New(Config{Gateway: "http://g", Key: "K", In: r, Transport: g, Results: results,
			OneByOne: way == oneByOne})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { _, err := s.Run(ctx); done <- err }()
		w.Write([]byte(inputOf(3)))
		synctest.Wait()
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if n := bytes.Count(out.Bytes(), []byte("\n")); n != 3 {
			t.Errorf("%d results, want 3: %s", n, out.Bytes())
		}
		w.Close()
	})
}

// Over real connections, broken by the gateway at all points.
func TestRealConnections(t *testing.T) { eachLane(t, testRealConnections) }

func testRealConnections(t *testing.T, way lane) {
	g := newGateway(way, nil)
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if way == oldGateway && strings.HasSuffix(r.URL.Path, "/bulk") {
			g.ServeHTTP(w, r)
			return
		}
		switch n.Add(1) % 6 {
		case 0: // broken before
			panic(http.ErrAbortHandler)
		case 1: // broken after
			g.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case 2: // broken inside the answer
			whole := httptest.NewRecorder()
			g.ServeHTTP(whole, r)
			maps.Copy(w.Header(), whole.Header())
			w.WriteHeader(whole.Code)
			w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case 3: // a gateway that stops
			if way == inBulk {
				w.Header().Set("Content-Type", bulkType)
				line, _ := bufio.NewReader(r.Body).ReadString('\n')
				w.Write(answerTo(1, g.submit(cutKey(line))))
				stops := problemOf(503, "Service unavailable", "")
				stops.retryAfter = 1
				w.Write(answerTo(2, stops))
				return
			}
		}
		g.ServeHTTP(w, r)
	}))
	defer server.Close()
	transport := newTransport(8)
	defer transport.CloseIdleConnections()
	input := inputOf(60)
	summary, out, err := send(t, g, input, func(c *Config) {
		c.Gateway, c.Concurrency, c.Transport = server.URL+"/", 8, transport
	})
	if err != nil || summary.Failed != 0 {
		t.Fatalf("%+v, %v", summary, err)
	}
	checkAll(t, g, input, out)
}

func TestMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		m := NewMeter(&out)
		for i := range int64(100) {
			m.Update(Progress{Lines: i + 1, Bytes: (i + 1) * 10, Size: 1000})
			time.Sleep(50 * time.Millisecond)
		}
		m.Close()
		lines := strings.Split(strings.TrimSpace(out.String()), "\r")
		if len(lines) != 26 { // every fourth, and the end
			t.Errorf("drawn %d times: %q", len(lines), lines)
		}
		if got := lines[12]; !strings.HasPrefix(got, "[###########.............]  49%  49 lines  20/s") {
			t.Errorf("got %q", got)
		}
		if last := lines[len(lines)-1]; !strings.Contains(last, "100%") {
			t.Errorf("the end: %q", last)
		}
	})
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out.ndjson")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
