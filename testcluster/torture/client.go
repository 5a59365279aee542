package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/staffetta/staffetta/gateway/institution"
)

const (
	// clientWait is longer than a gateway takes to answer anything.
	clientWait = 15 * time.Second
	// answerBytesMax bounds an answer: a page of the inbox is a tenth of it.
	answerBytesMax = 1 << 20
	// problemPrefix begins a problem's type.
	problemPrefix = "urn:staffetta:problem:"
)

// outcome is what a client knows of an operation.
type outcome string

const (
	done    outcome = "done"
	refused outcome = "refused" // surely nothing happened
	unknown outcome = "unknown" // it happened, happens later or never
)

// answer is what came of a request.
type answer struct {
	outcome outcome
	status  int    // 0: none came
	problem string // the problem's type without its prefix
	body    []byte
}

// decode reads the body as JSON.
func (a *answer) decode(v any) error { return json.Unmarshal(a.body, v) }

// client makes requests to the gateways.
type client struct{ http *http.Client }

func newClient() *client {
	return &client{&http.Client{Timeout: clientWait, Transport: &http.Transport{
		MaxIdleConnsPerHost: 256, IdleConnTimeout: 10 * time.Second, DisableCompression: true}}}
}

// institution calls as a service, under its key.
func (c *client) institution(ctx context.Context, method, url, key string, body any,
	header ...string) *answer {
	return c.call(ctx, method, url, body, append(header, institution.KeyHeader, key,
		institution.PreferHeader, institution.PreferVerdict)...)
}

// citizen calls as a citizen, with the token of a session.
func (c *client) citizen(ctx context.Context, method, url, token string, body any) *answer {
	return c.call(ctx, method, url, body, "Authorization", "Bearer "+token)
}

func (c *client) call(ctx context.Context, method, url string, body any, header ...string) *answer {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return &answer{outcome: refused, problem: err.Error()}
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return &answer{outcome: refused, problem: err.Error()}
	}
	// Without it the library sends a request under an Idempotency-Key again by itself when the
	// connection breaks, and of two tries only the second one's end is seen.
	req.GetBody = nil
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return &answer{outcome: unanswered(err)}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax))
	if err != nil {
		return &answer{outcome: unknown}
	}
	a := &answer{status: resp.StatusCode, body: b}
	if a.status >= 400 {
		a.problem = problemOf(b)
	}
	a.outcome = outcomeOf(a.status, a.problem)
	return a
}

// unanswered is the outcome of a request without an answer: refused when it was never sent.
func unanswered(err error) outcome {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" && errors.Is(err, syscall.ECONNREFUSED) {
		return refused
	}
	return unknown
}

func problemOf(body []byte) string {
	var p struct{ Type string }
	if json.Unmarshal(body, &p) != nil {
		return ""
	}
	return strings.TrimPrefix(p.Type, problemPrefix)
}

// nothingHappened are the problems after which an institution knows that nothing was recorded.
// After outcome-unknown it knows nothing.
var nothingHappened = map[string]bool{"overloaded": true, "not-ready": true, "unavailable": true,
	"not-leader": true, "moved": true}

// outcomeOf is what a status and a problem say. A citizen's 500 says that the region could not be
// reached, or that its answer did not come: nothing is known.
func outcomeOf(status int, problem string) outcome {
	switch {
	case status >= 200 && status < 300:
		return done
	case status >= 400 && status < 500, status == http.StatusServiceUnavailable &&
		nothingHappened[problem]:
		return refused
	}
	return unknown
}
