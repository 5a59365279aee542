package sender

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// roundTrip is a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// More text than may be under way at a time passes, since answered lines make room.
func TestMuchText(t *testing.T) {
	var input strings.Builder
	pad := strings.Repeat("x", LineBytesMax-1<<10)
	for range 2 * textBytesMax / LineBytesMax {
		input.WriteString(`{"fiscal_code":"KNOWN","x":"` + pad + `"}` + "\n")
	}
	g := newGateway(inBulk, nil)
	summary, out, err := send(t, g, input.String(), nil)
	if err != nil || summary.Failed != 0 {
		t.Fatalf("%+v, %v", summary, err)
	}
	checkAll(t, g, input.String(), out)
}

// A request goes on as long as answers come, and no longer.
func TestSlowAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(inBulk, nil)
		input := inputOf(20)
		summary, out, err := send(t, g, input, func(c *Config) {
			c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				resp, err := g.RoundTrip(r)
				if err == nil {
					resp.Body = io.NopCloser(&slowly{r.Context(), resp.Body})
				}
				return resp, err
			})
		})
		if err != nil || summary.Failed != 0 || g.sent != 20 { // each line once
			t.Fatalf("%d lines sent, %+v, %v", g.sent, summary, err)
		}
		checkAll(t, g, input, out)
	})
}

// slowly reads some bytes after each pause, while ctx lasts.
type slowly struct {
	ctx context.Context
	in  io.Reader
}

func (s *slowly) Read(b []byte) (int, error) {
	time.Sleep(attemptTimeout * 2 / 3)
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.in.Read(b[:min(len(b), 128)])
}

// Answers that name another line than the next one are nobody's.
func TestMisplacedAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(inBulk, nil)
		input := inputOf(50)
		var misplaced atomic.Int32
		summary, out, err := send(t, g, input, func(c *Config) {
			c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				resp, err := g.RoundTrip(r)
				if err != nil {
					return resp, err
				}
				text, err := io.ReadAll(resp.Body)
				lines := strings.SplitAfter(string(text), "\n")
				if len(lines) > 2 && misplaced.Add(1) == 1 {
					lines[0], lines[1] = lines[1], lines[0]
				}
				resp.Body = io.NopCloser(strings.NewReader(strings.Join(lines, "")))
				return resp, err
			})
		})
		if err != nil || summary.Failed != 0 || misplaced.Load() == 0 {
			t.Fatalf("%+v, %v", summary, err)
		}
		checkAll(t, g, input, out)
	})
}

// A key that is revoked while lines are under way ends the run; what was answered is recorded.
func TestKeyRevoked(t *testing.T) {
	g := newGateway(inBulk, nil)
	summary, out, err := send(t, g, inputOf(10), func(c *Config) {
		c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {bulkType}},
				Body: io.NopCloser(strings.NewReader(
					string(answerTo(1, reply{status: 201, body: map[string]any{"id": "X"}})) +
						string(answerTo(2, problemOf(401, "Unauthorized", "")))))}, nil
		})
	})
	if !errors.Is(err, ErrKeyRefused) || summary.Processed > streams || summary.Failed > 0 {
		t.Errorf("%+v, %v:\n%s", summary, err, out)
	}
}
