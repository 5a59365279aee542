package testcluster

import (
	"fmt"
	"sync"

	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/wire"
)

// Submission is one message that a client tried to send, and what it was told.
type Submission struct {
	ID        wire.MessageID
	Recipient wire.Recipient
	// Began and Ended are ranks in the order of all beginnings and ends; Ended is 0 while the
	// client waits.
	Began, Ended int
	// Acknowledged says that the client was told Verdict. Otherwise the outcome is unknown,
	// unless Refused: then the client was told that nothing happened.
	Acknowledged bool
	Verdict      wire.Verdict
	Refused      bool
	// Throttled says that the client was told THROTTLED, and Verdict is what Settle found later.
	Throttled bool
	// Alias is the message that came first under the idempotency key and is there instead; zero:
	// none.
	Alias wire.MessageID
}

// Settle notes what became of a message that was THROTTLED.
func (s *Submission) Settle(v wire.Verdict, alias wire.MessageID) { s.Verdict, s.Alias = v, alias }

// History collects submissions. It is safe for concurrent use.
type History struct {
	mu           sync.Mutex
	rank         int
	list         []*Submission
	acknowledged int
}

// Begin notes that a client begins to submit.
func (h *History) Begin(id wire.MessageID, to wire.Recipient) *Submission {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rank++
	s := &Submission{ID: id, Recipient: to, Began: h.rank}
	h.list = append(h.list, s)
	return s
}

// Acknowledge notes the verdict that the client was told.
func (h *History) Acknowledge(s *Submission, v wire.Verdict) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rank++
	h.acknowledged++
	s.Ended, s.Acknowledged, s.Verdict = h.rank, true, v
	s.Throttled = v.Status == wire.Throttled
}

// Submissions are copies of all so far.
func (h *History) Submissions() []*Submission {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*Submission, len(h.list))
	for i, s := range h.list {
		copied := *s
		list[i] = &copied
	}
	return list
}

// Acknowledged counts the submissions that were.
func (h *History) Acknowledged() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.acknowledged
}

// Check holds the history against what the regions' logs placed in each recipient's inbox, in
// log order, and returns every violation. inbox answers for the one region that owns the code;
// others must have nothing, which the caller sees to.
func Check(list []*Submission, inbox func(wire.Recipient) ([]region.Placed, error)) []error {
	c := checker{byID: map[wire.MessageID]*Submission{}, at: map[wire.MessageID]int{}}
	recipients := map[wire.Recipient][]*Submission{}
	for _, s := range list {
		c.byID[s.ID] = s
		recipients[s.Recipient] = append(recipients[s.Recipient], s)
	}
	for to, sent := range recipients {
		placed, err := inbox(to)
		if err != nil {
			c.fail("an inbox cannot be read: %v", err)
			continue
		}
		c.place(to, placed)
		c.verdicts(sent)
		c.order(sent)
	}
	return c.errs
}

type checker struct {
	byID map[wire.MessageID]*Submission
	at   map[wire.MessageID]int // rank in its recipient's inbox, from 1
	errs []error
}

func (c *checker) fail(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

// place notes where each message stands, and finds what is there twice or was never sent.
func (c *checker) place(to wire.Recipient, placed []region.Placed) {
	for i, p := range placed {
		s := c.byID[p.ID]
		switch {
		case c.at[p.ID] != 0:
			c.fail("message %s is there twice", p.ID)
		case s == nil:
			c.fail("message %s was never submitted", p.ID)
		case s.Recipient != to:
			c.fail("message %s is in another citizen's inbox", p.ID)
		}
		if i > 0 && (placed[i-1].Block > p.Block ||
			placed[i-1].Block == p.Block && placed[i-1].Position >= p.Position) {
			c.fail("message %s stands out of log order", p.ID)
		}
		c.at[p.ID] = i + 1
	}
}

// verdicts holds what clients were told against what is there.
func (c *checker) verdicts(sent []*Submission) {
	for _, s := range sent {
		there := c.at[s.ID] != 0
		if !s.Alias.IsZero() {
			if there {
				c.fail("message %s is there besides %s, which has its idempotency key", s.ID, s.Alias)
			}
			there = c.at[s.Alias] != 0
		}
		switch {
		case s.Acknowledged && s.Verdict.Status == wire.Throttled:
			c.fail("message %s was acknowledged and is still on its way", s.ID)
		case s.Acknowledged && s.Verdict.Status == wire.Processed && !there:
			c.fail("message %s was acknowledged and is lost", s.ID)
		case s.Acknowledged && s.Verdict.Status != wire.Processed && there:
			c.fail("message %s was refused (%s) and is there", s.ID, s.Verdict.Status)
		case s.Refused && there:
			c.fail("message %s surely did not happen, and is there", s.ID)
		}
	}
}

// order sees to it that what was acknowledged before another submission began stands before it.
// What was THROTTLED stands where it was relayed.
func (c *checker) order(sent []*Submission) {
	for _, a := range sent {
		if a.Throttled {
			continue
		}
		for _, b := range sent {
			if a.Ended != 0 && a.Ended < b.Began && c.at[a.ID] != 0 && c.at[b.ID] != 0 &&
				c.at[a.ID] > c.at[b.ID] {
				c.fail("message %s was acknowledged before %s began, and stands after it",
					a.ID, b.ID)
			}
		}
	}
}
