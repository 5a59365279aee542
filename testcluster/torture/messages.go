package torture

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"
)

// submit sends a message once.
func (w *clients) submit(ctx context.Context, c *citizen, random *rand.Rand) outcome {
	s := c.begin(random.IntN(services), false, w.time.now())
	o := w.try(ctx, s, random)
	s.judged(w.time.now())
	return o
}

// submitUnderKey sends a message until it has a verdict, and now and then once more.
func (w *clients) submitUnderKey(ctx context.Context, c *citizen, random *rand.Rand) (o outcome) {
	s := c.begin(random.IntN(services), true, w.time.now())
	for range replayed {
		if o = w.try(ctx, s, random); o == done || !pause(ctx, random, 2*pace) {
			break
		}
	}
	s.judged(w.time.now())
	if o == done && random.IntN(2) == 0 {
		w.try(ctx, s, random)
	}
	return o
}

// replay sends a message again that was acknowledged some time ago, under its key.
func (w *clients) replay(ctx context.Context, c *citizen, random *rand.Rand) outcome {
	c.mu.Lock()
	var list []*submission
	for _, s := range c.list {
		if s.known == done && s.key != "" {
			list = append(list, s)
		}
	}
	c.mu.Unlock()
	if len(list) == 0 {
		return refused
	}
	return w.try(ctx, choose(random, list), random)
}

// try makes one try of a submission.
func (w *clients) try(ctx context.Context, s *submission, random *rand.Rand) outcome {
	var header []string
	if s.key != "" {
		header = []string{"Idempotency-Key", s.key}
	}
	a := w.institution(ctx, http.MethodPost, w.gateway(random)+"/api/v1/messages",
		w.keys[s.service], s.body(), header...)
	w.book.count(opSubmit, a.outcome)
	return w.answer(s, a)
}

// answer notes the answer to a try.
func (w *clients) answer(s *submission, a *answer) outcome {
	var t told
	if a.outcome == done && (a.decode(&t) != nil || t.ID == "") {
		w.book.findings.add("message %s: the answer cannot be read", s.title)
		a.outcome = unknown
	}
	if a.outcome == refused && a.status >= 400 && a.status < 500 &&
		a.status != http.StatusTooManyRequests {
		w.book.findings.add("message %s is refused: %d %s", s.title, a.status, a.problem)
	}
	s.answered(a.outcome, t, w.time.now())
	return a.outcome
}

// judged takes the submission's verdict into the log: it was decided between the first try and
// now. One that is throttled is taken when a later reading tells the verdict.
func (s *submission) judged(now time.Duration) {
	c := s.to
	c.mu.Lock()
	known, status, reason, service, began := s.known, s.status, s.reason, s.service, s.began
	c.mu.Unlock()
	if known != done || status != processed && status != rejected {
		return
	}
	verdict := status
	if status == rejected {
		verdict = reason
	}
	c.note(operation{kind: opSubmit, service: service}, saw{outcome: done, verdict: verdict},
		began, now)
}

// read reads what became of a message, as its sender.
func (w *clients) read(ctx context.Context, c *citizen, random *rand.Rand) outcome {
	c.mu.Lock()
	var list []*submission
	for _, s := range c.list {
		if s.known == done {
			list = append(list, s)
		}
	}
	c.mu.Unlock()
	if len(list) == 0 {
		return refused
	}
	o, _ := w.readOne(ctx, list[random.IntN(len(list))], random)
	return o
}

func (w *clients) readOne(ctx context.Context, s *submission, random *rand.Rand) (outcome, int) {
	c := s.to
	c.mu.Lock()
	id, before := s.ids[random.IntN(len(s.ids))], s.status
	had := slices.Contains(s.finals, id)
	c.mu.Unlock()
	a := w.institution(ctx, http.MethodGet, w.gateway(random)+"/api/v1/messages/"+c.code+"/"+id,
		w.keys[s.service], nil)
	w.book.count("read", a.outcome)
	var t told
	switch {
	case a.outcome == done && a.decode(&t) != nil:
		w.book.findings.add("message %s cannot be read", s.title)
	case a.outcome == done:
		if before == throttled || !final(t.Status) {
			w.readThrottled(s, had, t)
		} else {
			s.read(t, w.time.now())
		}
	case a.status == http.StatusNotFound:
		w.book.findings.add("message %s was acknowledged and is not found", s.title)
	}
	return a.outcome, a.status
}

// readThrottled notes a reading of a message that was spooled when the reading began, or is; had
// says that its id had a verdict before.
func (w *clients) readThrottled(s *submission, had bool, t told) {
	if !final(t.Status) && had {
		w.book.findings.add("message %s had a verdict and is %s", s.title, t.Status)
		return
	}
	if !final(t.Status) {
		return // still in the spool; another reader may know more meanwhile
	}
	now := w.time.now()
	s.to.mu.Lock()
	first := s.final == 0
	s.to.mu.Unlock()
	s.read(t, now)
	if first {
		s.judged(now)
	}
}

// pageView is a page of an inbox.
type pageView struct {
	Items []pageItem `json:"items"`
	Next  string     `json:"next"`
}

type pageItem struct {
	ID    string `json:"id"`
	Title string `json:"message_title"`
	status
}

// inbox reads the newest page of the citizen's inbox and holds it against what must be there.
func (w *clients) inbox(ctx context.Context, c *citizen, random *rand.Rand) (outcome, int) {
	h := c.held()
	if h.token == "" {
		return refused, 0
	}
	must := c.required()
	a := w.citizen(ctx, http.MethodGet, w.gateway(random)+
		"/api/communication/v1/messages?enrich_result_data=true&page_size=100", h.token, nil)
	w.book.count("inbox", a.outcome)
	if a.outcome != done {
		if a.status == statusSession {
			return refused, a.status
		}
		return a.outcome, 0
	}
	var page pageView
	if a.decode(&page) != nil {
		w.book.findings.add("citizen %d: the inbox cannot be read", c.index)
		return unknown, 0
	}
	c.checkPage(&page, must)
	return done, 0
}

// required are the titles that every list of the inbox that begins now has, with their ids: of
// delivered messages, and those that a list has shown.
func (c *citizen) required() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	must := maps.Clone(c.seen)
	for _, s := range c.list {
		if s.known == done && s.status == processed && must[s.title] == "" {
			must[s.title] = s.ids[0]
		}
	}
	return must
}

// checkPage holds the newest page against what must be on it: nothing that was there before is
// missing but what may be in the archive, nothing is there twice, and nothing that is another's or
// was refused.
func (c *citizen) checkPage(page *pageView, must map[string]string) {
	titles := map[string]bool{}
	oldest := ""
	for _, item := range page.Items {
		if titles[item.Title] {
			c.book.findings.add("message %s is in the inbox twice", item.Title)
		}
		titles[item.Title] = true
		oldest = item.ID
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for title, id := range must {
		if s := c.byTitle[title]; !titles[title] && (page.Next == "" || id > oldest) &&
			(s == nil || !s.filed) {
			c.book.findings.add("message %s was delivered and is missing in a list", title)
		}
	}
	for _, item := range page.Items {
		s := c.byTitle[item.Title]
		switch {
		case s == nil:
			c.book.findings.add("citizen %d: the inbox has %q, which nobody sent there", c.index,
				item.Title)
		case s.known == done && s.status == rejected:
			c.book.findings.add("message %s was rejected and is in the inbox", s.title)
		}
		if id := c.seen[item.Title]; id != "" && id != item.ID {
			c.book.findings.add("message %s was listed as %s and is listed as %s", item.Title, id,
				item.ID)
		}
		c.seen[item.Title] = item.ID
	}
}
