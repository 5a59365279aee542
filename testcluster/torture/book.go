package torture

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// markerPrefix begins the marker of every message, found nowhere else: markerPrefix, the number of
// its recipient, and its own.
const markerPrefix = "segnaposto-"

// markerForm is a marker's, of fixed length.
const markerForm = markerPrefix + "%06d-%06d"

// violationsMax bounds what is kept of what the judges find; all are counted.
const violationsMax = 200

// findings are what the judges found.
type findings struct {
	mu    sync.Mutex
	count int
	list  []string
}

func (f *findings) add(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count++; len(f.list) < violationsMax {
		f.list = append(f.list, fmt.Sprintf(format, args...))
	}
}

func (f *findings) all() (count int, list []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count, slices.Clone(f.list)
}

// book is what clients did and were told.
type book struct {
	findings *findings

	mu         sync.Mutex
	citizens   []*citizen
	operations map[string]map[outcome]int // by kind
}

func newBook(f *findings) *book {
	return &book{findings: f, operations: map[string]map[outcome]int{}}
}

// meet takes a citizen into the book.
func (b *book) meet(code, region string) *citizen {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &citizen{book: b, index: len(b.citizens), code: code, region: region,
		regions: []string{region}, byTitle: map[string]*submission{}, seen: map[string]string{}}
	b.citizens = append(b.citizens, c)
	return c
}

func (b *book) everybody() []*citizen {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.citizens)
}

// count counts an operation.
func (b *book) count(kind string, o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.operations[kind] == nil {
		b.operations[kind] = map[outcome]int{}
	}
	b.operations[kind][o]++
}

func (b *book) counts() map[string]map[outcome]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	sum := map[string]map[outcome]int{}
	for kind, by := range b.operations {
		sum[kind] = map[outcome]int{}
		for o, n := range by {
			sum[kind][o] = n
		}
	}
	return sum
}

// citizen is one citizen and everything that was done to and by the citizen.
type citizen struct {
	// Set when met.
	book   *book
	index  int
	code   string
	region string // the first home

	// Guarded by mu.
	mu      sync.Mutex
	regions []string // every home, or one that was to be
	token   string   // of the present session; empty: none
	session int      // its number
	logins  int      // numbers given out
	version uint64   // of the profile, as last seen
	mode    string
	setting int64 // of the preferences, as last seen
	list    []*submission
	byTitle map[string]*submission
	seen    map[string]string // titles that some list of the inbox showed, and their ids
	log     []porcupine.Operation
	inbox   *pageView // the whole inbox, as it is in the end
}

// submission is one message that clients try to send, once or again and again under a key.
type submission struct {
	// Set at the beginning.
	to         *citizen
	title, key string
	filler     uint64 // seed of a text that is to take room; 0: none
	service    int
	began      time.Duration

	// Guarded by to.mu.
	tries   int
	known   outcome  // refused until something else is known; "" before the first answer
	ids     []string // as told: more than one only where two spools took the message
	finals  []string // of ids, those that were told with a verdict; another spool may not know yet
	spooled bool     // some answer was THROTTLED
	filed   bool     // somebody asked to archive it: a list may lack it
	status  string   // as told, THROTTLED until there is a verdict
	reason  string
	acked   time.Duration
	final   time.Duration // when the verdict was first told; 0: not yet
}

// begin begins a message to the citizen. key is empty for one that is sent once.
func (c *citizen) begin(service int, key bool, now time.Duration) *submission {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &submission{to: c, service: service, began: now,
		title: fmt.Sprintf(markerForm, c.index, len(c.list))}
	if key {
		s.key = "chiave-" + s.title
	}
	c.list = append(c.list, s)
	c.byTitle[s.title] = s
	return s
}

// body is the message as an institution sends it.
func (s *submission) body() map[string]any {
	text := s.title + " " + strings.Repeat("una frase come tante altre, "+s.title+". ", 4)
	if s.filler != 0 {
		text += filler(s.filler)
	}
	return map[string]any{"fiscal_code": s.to.code, "content": map[string]any{"subject": s.title,
		"markdown": text}}
}

// told is what a submission's answer, or a later reading, says of a message.
type told struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Reason string `json:"rejection_reason"`
}

const (
	processed = "PROCESSED"
	rejected  = "REJECTED"
	throttled = "THROTTLED"
	failed    = "FAILED"
)

// final reports whether a status is a verdict.
func final(status string) bool {
	return status == processed || status == rejected || status == failed
}

// answered notes how one try ended. What was told before holds: another id or verdict, or less
// than what was known, is a violation.
func (s *submission) answered(o outcome, t told, now time.Duration) {
	c := s.to
	c.mu.Lock()
	defer c.mu.Unlock()
	s.tries++
	switch {
	case o == done:
		s.spooled = s.spooled || t.Status == throttled
		if s.known != done {
			s.known, s.acked = done, now
		}
		if !slices.Contains(s.ids, t.ID) {
			if len(s.ids) > 0 && !s.spooled {
				c.book.findings.add("message %s: one key, first id %s, then %s", s.title,
					s.ids[0], t.ID)
			}
			s.ids = append(s.ids, t.ID)
		}
		if t.Status != throttled || !final(s.status) {
			s.tell(t, now)
		}
	case s.known == "" || o == unknown && s.known == refused:
		s.known = o
	}
}

// read notes what a sender read of an acknowledged message later.
func (s *submission) read(t told, now time.Duration) {
	s.to.mu.Lock()
	defer s.to.mu.Unlock()
	s.tell(t, now)
}

// tell notes a status. Called with the citizen's mu.
func (s *submission) tell(t told, now time.Duration) {
	if final(t.Status) && !slices.Contains(s.finals, t.ID) {
		s.finals = append(s.finals, t.ID)
	}
	switch {
	case t.Status != throttled && !final(t.Status):
		s.to.book.findings.add("message %s has the status %q", s.title, t.Status)
	case final(s.status) && (t.Status != s.status || t.Reason != s.reason):
		s.to.book.findings.add("message %s was %s%s, and is %s%s", s.title, s.status, s.reason,
			t.Status, t.Reason)
	default:
		s.status, s.reason = t.Status, t.Reason
		if final(t.Status) && s.final == 0 {
			s.final = now
		}
	}
}

// note takes an operation on the registry into the citizen's log. One of unknown outcome has no
// end.
func (c *citizen) note(op operation, a saw, began, ended time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.outcome == unknown {
		ended = forever
	}
	c.log = append(c.log, porcupine.Operation{ClientId: len(c.log), Input: op, Output: a,
		Call: int64(began), Return: int64(ended)})
}

// forever ends operations whose end nobody saw.
const forever = time.Duration(1<<63 - 1)
