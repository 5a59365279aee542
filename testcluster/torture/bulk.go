package torture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"

	"github.com/staffetta/staffetta/gateway/institution"
)

const (
	// bulkLinesMax is how many lines a bulk request has at most.
	bulkLinesMax = 48
	bulkTries    = 12
)

// stream sends bulk requests to citizens until ctx ends. Lines that were not answered, or only
// that it cannot be now, are sent again under their keys.
func (w *clients) stream(ctx context.Context, random *rand.Rand, citizens func() []*citizen) {
	var waiting []*submission
	for pause(ctx, random, 8*pace) {
		all := citizens()
		service := random.IntN(services)
		if len(waiting) > 0 {
			service = waiting[0].service
		}
		for n := 1 + random.IntN(bulkLinesMax); len(waiting) < n && len(all) > 0; {
			waiting = append(waiting, choose(random, all).begin(service, true, w.time.now()))
		}
		waiting = w.bulk(ctx, waiting, random)
	}
	for _, s := range waiting { // nothing more will be known of them
		s.judged(w.time.now())
	}
}

// bulk sends one request and returns the lines to be sent again.
func (w *clients) bulk(ctx context.Context, lines []*submission, random *rand.Rand) (
	again []*submission) {
	if len(lines) == 0 {
		return nil
	}
	var body bytes.Buffer
	for _, s := range lines {
		line := s.body()
		line["idempotency_key"] = s.key
		b, err := json.Marshal(line)
		if err != nil {
			panic("a line is no JSON: " + err.Error())
		}
		body.Write(append(b, '\n'))
	}
	answers := w.bulkRequest(ctx, w.gateway(random)+"/api/v1/messages/bulk",
		w.keys[lines[0].service], &body)
	for i, s := range lines {
		a := &answer{outcome: unknown}
		if i < len(answers) {
			a = answers[i]
		}
		w.book.count("bulk", a.outcome)
		s.to.mu.Lock()
		tries := s.tries
		s.to.mu.Unlock()
		if o := w.answer(s, a); o != done && tries < bulkTries && !final4xx(a.status) {
			again = append(again, s)
		} else {
			s.judged(w.time.now())
		}
	}
	return again
}

// final4xx reports whether a line is refused for good.
func final4xx(status int) bool {
	return status >= 400 && status < 500 && status != http.StatusTooManyRequests
}

// bulkRequest makes a request and reads the answers to its lines, in order, as far as they come.
func (w *clients) bulkRequest(ctx context.Context, url, key string, body io.Reader) (
	answers []*answer) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return nil
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set(institution.KeyHeader, key)
	resp, err := w.http.Do(req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(io.LimitReader(resp.Body, 16*answerBytesMax))
	lines.Buffer(nil, answerBytesMax)
	for lines.Scan() {
		var l struct {
			Line   int    `json:"line"`
			Status int    `json:"status_code"`
			Type   string `json:"type"`
		}
		if json.Unmarshal(lines.Bytes(), &l) != nil || l.Line != len(answers)+1 {
			return answers
		}
		a := &answer{status: l.Status, body: bytes.Clone(lines.Bytes())}
		if l.Status >= 400 {
			a.problem = problemOf(a.body)
		}
		a.outcome = outcomeOf(a.status, a.problem)
		answers = append(answers, a)
	}
	return answers
}
