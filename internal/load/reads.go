package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/staffetta/staffetta/internal/fiscalcode"
)

const (
	// ReadersMax bounds the citizens who read, ReaderMessagesMax what is sent to each.
	ReadersMax        = 10_000
	ReaderMessagesMax = 100_000
	// ReadersDefault are few, so that their inboxes are soon full; with ReaderMessagesDefault
	// messages, which is years of them.
	ReadersDefault        = 20
	ReaderMessagesDefault = 1000
	// listEvery: of so many exchanges one lists, the others read a message.
	listEvery = 10
	// listPath is the first page as the app asks for it.
	listPath = "/api/communication/v1/messages?enrich_result_data=true&page_size=12"
	// idsPath finds the messages to be read: the newest, as people do.
	idsPath     = "/api/communication/v1/messages?page_size=100"
	messagePath = "/api/communication/v1/messages/"
)

// ReadsConfig is what a run of reads needs.
type ReadsConfig struct {
	// Config has the institution that fills inboxes, the citizens, and the phases. Its rate is
	// that of the messages written beside the reads; none are with a rate of 0.
	Config
	// Reads is the number of lists and messages asked for in a second.
	Reads float64
	// Readers are the citizens who read, of all; Messages are sent to each before.
	Readers  int
	Messages int
}

// ReadsReport tells how long citizens wait for their inboxes.
type ReadsReport struct {
	Readers    int     `json:"readers"`
	PerReader  int     `json:"messages_per_reader"`
	Offered    float64 `json:"reads_per_second_offered"`
	Lists      *Report `json:"lists"`
	Messages   *Report `json:"messages"`
	Writes     *Report `json:"writes,omitempty"`
	Throughput float64 `json:"reads_per_second"`
	// Unsent counts exchanges that were due and found no connection before the end.
	Unsent int64 `json:"unsent,omitempty"`
}

func (c *ReadsConfig) check() error {
	if !(c.Reads > 0 && c.Reads <= RateMax) {
		return fmt.Errorf("reads: %v a second, want up to %d", c.Reads, RateMax)
	}
	if c.Readers < 1 || c.Readers > ReadersMax || c.Messages < 0 || c.Messages > ReaderMessagesMax {
		return fmt.Errorf("readers: %d with %d messages each, want 1-%d with 0-%d", c.Readers,
			c.Messages, ReadersMax, ReaderMessagesMax)
	}
	return nil
}

// Reads fills the inboxes of some citizens, logs them in with the test login, and then has them
// list and read at a rate, while messages are written to all citizens.
func Reads(ctx context.Context, c ReadsConfig) (*ReadsReport, error) {
	writes, config := c.Config, c.Config
	config.Bulk, config.Rate, config.Count = false, c.Reads, 0
	if err := errors.Join(c.check(), config.complete()); err != nil {
		return nil, err
	}
	if err := c.fill(ctx); err != nil {
		return nil, err
	}
	readers, err := c.login(ctx)
	if err != nil {
		return nil, err
	}
	r := &runner{config: &config, kinds: 2, next: readersNext(readers, config.Seed)}
	defer r.close()
	if err := r.connect(); err != nil {
		return nil, err
	}
	out := &ReadsReport{Readers: len(readers), PerReader: c.Messages, Offered: c.Reads}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	written := make(chan *Report, 1)
	if writes.Rate > 0 {
		writes.Duration, writes.Count, writes.Federation = config.Duration, 0, nil
		go func() {
			r, err := Run(ctx, writes)
			if err != nil {
				cancel(fmt.Errorf("writes: %w", err))
			}
			written <- r
		}()
	} else {
		written <- nil
	}
	if config.WarmUp > 0 {
		r.phase(ctx, config.WarmUp, 0)
	}
	p, _ := r.phase(ctx, config.Duration, 0)
	out.Writes = <-written
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	out.Lists, out.Messages = newReport(p, p.tallies[0]), newReport(p, p.tallies[1])
	out.Lists.Rate, out.Messages.Rate = c.Reads/listEvery, c.Reads*(listEvery-1)/listEvery
	out.Lists.Unsent, out.Messages.Unsent, out.Unsent = 0, 0, p.unsent()
	out.Throughput = out.Lists.Throughput + out.Messages.Throughput
	return out, nil
}

// fill sends the readers their messages.
func (c *ReadsConfig) fill(ctx context.Context) error {
	if c.Messages == 0 {
		return nil
	}
	fill := c.Config
	fill.Codes, fill.inTurn, fill.UnknownPercent = c.readers(), true, 0
	fill.Rate, fill.WarmUp, fill.Duration, fill.Federation = 0, 0, 0, nil
	fill.Count = int64(len(fill.Codes) * c.Messages)
	fill.Keys = true
	r, err := Run(ctx, fill)
	if err != nil {
		return fmt.Errorf("fill inboxes: %w", err)
	}
	if n := r.Verdicts["PROCESSED"]; n != fill.Count {
		return fmt.Errorf("fill inboxes: %d of %d messages delivered, errors %v", n, fill.Count,
			r.Errors)
	}
	return nil
}

// readers are spread over all citizens, and so over the regions.
func (c *ReadsConfig) readers() (codes []fiscalcode.Code) {
	n := min(c.Readers, len(c.Codes))
	for i := range n {
		codes = append(codes, c.Codes[i*len(c.Codes)/n])
	}
	return codes
}

// reader is a citizen who has logged in.
type reader struct {
	headers string
	ids     []string // of messages in the inbox
}

// login opens the readers' sessions and looks into their inboxes.
func (c *ReadsConfig) login(ctx context.Context) (readers []*reader, err error) {
	gateway := strings.TrimRight(c.Gateways[0], "/")
	transport := &http.Transport{DialContext: c.Dial}
	defer transport.CloseIdleConnections()
	client := &http.Client{Timeout: answerTimeout, Transport: transport}
	for _, code := range c.readers() {
		var session struct{ Token string }
		credentials, err := json.Marshal(map[string]string{"username": string(code),
			"password": "test"})
		if err != nil {
			return nil, err
		}
		err = askJSON(ctx, client, http.MethodPost, gateway+"/test-login", "", string(credentials),
			&session)
		if err != nil {
			return nil, fmt.Errorf("log a citizen in: %w", err)
		}
		var page struct{ Items []struct{ ID string } }
		err = askJSON(ctx, client, http.MethodGet, gateway+idsPath, session.Token, "", &page)
		if err != nil {
			return nil, fmt.Errorf("list an inbox: %w", err)
		}
		if len(page.Items) == 0 {
			return nil, errors.New("an inbox is empty: send messages before")
		}
		r := &reader{headers: "Authorization: Bearer " + session.Token + "\r\n\r\n"}
		for _, item := range page.Items {
			r.ids = append(r.ids, url.PathEscape(item.ID))
		}
		readers = append(readers, r)
	}
	return readers, nil
}

// askJSON makes one exchange that is not measured. Its errors do not repeat what was sent.
func askJSON(ctx context.Context, client *http.Client, method, url, token, body string,
	answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", resp.Status)
	}
	return json.Unmarshal(b, answer)
}

// readersNext makes the readers' requests: kind 0 lists, kind 1 reads a message.
func readersNext(readers []*reader, seed uint64) func([]byte, *conn) request {
	var made atomic.Uint64
	return func(dst []byte, c *conn) request {
		n := made.Add(1) - 1
		who := readers[mix(seed, 2*n)%uint64(len(readers))]
		if n%listEvery == 0 {
			return request{bytes: append(c.appendStart(dst, http.MethodGet, listPath),
				who.headers...)}
		}
		id := who.ids[mix(seed, 2*n+1)%uint64(len(who.ids))]
		return request{kind: 1, bytes: append(c.appendStart(dst, http.MethodGet, messagePath+id),
			who.headers...)}
	}
}

// Write writes the report for people.
func (r *ReadsReport) Write(w io.Writer) error {
	t := newTable("exchange", "a second", "p50 ms", "p99 ms", "p99.9", "max")
	row := func(name string, a *Report) {
		t.row(name, a.Throughput, a.Latency.P50, a.Latency.P99, a.Latency.P999, a.Latency.Max)
	}
	row("first page", r.Lists)
	row("one message", r.Messages)
	if r.Writes != nil {
		row("submission", r.Writes)
	}
	t.text("\n%.0f reads a second of %.0f offered, by %d citizens with %d new messages each; sent "+
		"up to %.2f ms late.\n", r.Throughput, r.Offered, r.Readers, r.PerReader,
		max(r.Lists.Latency.Late, r.Messages.Latency.Late))
	if r.Unsent > 0 {
		t.text("%d were due and not sent before the end: no connection was free.\n", r.Unsent)
	}
	t.doubts("first page", r.Lists)
	t.doubts("one message", r.Messages)
	t.doubts("submission", r.Writes)
	return t.write(w)
}
