package torture

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/localfile"
)

// newSubject is one citizen in an empty book.
func newSubject() (*citizen, *findings) {
	f := new(findings)
	return newBook(f).meet("RSSMRA71A64M955N", "lazio"), f
}

// page is an inbox that shows messages, newest first; each is a message's number, and its id that
// of the number.
func page(c *citizen, numbers ...int) *pageView {
	p := new(pageView)
	for _, n := range numbers {
		p.Items = append(p.Items, pageItem{ID: idOf(n),
			Title: fmt.Sprintf(markerForm, c.index, n)})
	}
	return p
}

func idOf(n int) string { return fmt.Sprintf("01K%023d", n) }

func delivered(n int) told { return told{ID: idOf(n), Status: processed} }

// wantFindings holds what was found against what should be.
func wantFindings(t *testing.T, name string, f *findings, want ...string) {
	t.Helper()
	_, got := f.all()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !strings.Contains(got[i], want[i]) {
			t.Errorf("%s: found %q, want %q", name, got, want)
			return
		}
	}
}

// TestJudgeMessages: each kind of violation is found, and nothing else.
func TestJudgeMessages(t *testing.T) {
	for name, tt := range map[string]struct {
		outcome outcome
		told    told
		inbox   []int // message 0 is the one told of
		want    []string
	}{
		"delivered":             {done, delivered(0), []int{0}, nil},
		"lost":                  {done, delivered(0), nil, []string{"is lost"}},
		"twice":                 {done, delivered(0), []int{0, 0}, []string{"2 times"}},
		"rejected":              {done, told{ID: idOf(0), Status: rejected, Reason: notAllowed}, nil, nil},
		"rejected and there":    {done, told{ID: idOf(0), Status: rejected, Reason: notAllowed}, []int{0}, []string{"is in the inbox"}},
		"failed and there":      {done, told{ID: idOf(0), Status: failed}, []int{0}, []string{"is in the inbox"}},
		"unknown":               {unknown, told{}, nil, nil},
		"unknown and there":     {unknown, told{}, []int{0}, nil},
		"unknown and twice":     {unknown, told{}, []int{0, 0}, []string{"2 times"}},
		"refused":               {refused, told{}, nil, nil},
		"refused and there":     {refused, told{}, []int{0}, []string{"refused for sure"}},
		"no such status":        {done, told{ID: idOf(0), Status: "LOST"}, nil, []string{"has the status"}},
		"still in the spool":    {done, told{ID: idOf(0), Status: throttled}, nil, nil},
		"throttled and arrived": {done, told{ID: idOf(0), Status: throttled}, []int{0}, []string{"is THROTTLED and is in"}},
	} {
		c, f := newSubject()
		c.begin(0, false, 1).answered(tt.outcome, tt.told, 2)
		c.inbox = page(c, tt.inbox...)
		c.judgeMessages(new(Judged))
		wantFindings(t, name, f, tt.want...)
	}
}

// TestAnswers: what was told first holds, whatever is told later.
func TestAnswers(t *testing.T) {
	type answer struct {
		outcome outcome
		told    told
	}
	spooled := func(n int) told { return told{ID: idOf(n), Status: throttled} }
	for name, tt := range map[string]struct {
		answers []answer
		want    []string
		known   outcome
	}{
		"again":               {[]answer{{done, delivered(0)}, {done, delivered(0)}}, nil, done},
		"lost, then told":     {[]answer{{unknown, told{}}, {done, delivered(0)}}, nil, done},
		"told, then lost":     {[]answer{{done, delivered(0)}, {unknown, told{}}}, nil, done},
		"refused, then lost":  {[]answer{{refused, told{}}, {unknown, told{}}}, nil, unknown},
		"lost, then refused":  {[]answer{{unknown, told{}}, {refused, told{}}}, nil, unknown},
		"refused twice":       {[]answer{{refused, told{}}, {refused, told{}}}, nil, refused},
		"another id":          {[]answer{{done, delivered(0)}, {done, delivered(1)}}, []string{"one key"}, done},
		"another verdict":     {[]answer{{done, delivered(0)}, {done, told{ID: idOf(0), Status: rejected}}}, []string{"was PROCESSED"}, done},
		"another reason":      {[]answer{{done, told{idOf(0), rejected, notAllowed}}, {done, told{idOf(0), rejected, userNotFound}}}, []string{"was REJECTED"}, done},
		"spooled, then there": {[]answer{{done, spooled(0)}, {done, delivered(0)}}, nil, done},
		"in two spools":       {[]answer{{done, spooled(0)}, {done, spooled(1)}, {done, delivered(1)}}, nil, done},
	} {
		c, f := newSubject()
		s := c.begin(0, true, 0)
		for i, a := range tt.answers {
			s.answered(a.outcome, a.told, time.Duration(i))
		}
		wantFindings(t, name, f, tt.want...)
		if s.known != tt.known {
			t.Errorf("%s: %s is known, want %s", name, s.known, tt.known)
		}
	}
}

// TestCheckPage: a list lacks nothing, repeats nothing, and shows nothing that is another's.
func TestCheckPage(t *testing.T) {
	for name, tt := range map[string]struct {
		first, second []int // lists, one after the other; messages 0, 1 and 2 were acknowledged
		more          bool  // the second has a next page
		want          []string
	}{
		"complete":       {[]int{2, 1, 0}, []int{3, 2, 1, 0}, false, nil},
		"missing":        {[]int{2, 1, 0}, []int{2, 0}, false, []string{"is missing"}},
		"never listed":   {nil, []int{2, 0}, false, []string{"is missing"}},
		"unknown, gone":  {[]int{3, 2, 1, 0}, []int{2, 1, 0}, false, []string{"is missing"}},
		"on a next page": {[]int{2, 1, 0}, []int{3, 2, 1}, true, nil},
		"hole in a page": {[]int{2, 1, 0}, []int{3, 2, 0}, true, []string{"is missing"}},
		"twice":          {nil, []int{2, 1, 1, 0}, false, []string{"twice"}},
		"another's":      {nil, []int{9, 2, 1, 0}, false, []string{"nobody sent"}},
		"rejected":       {nil, []int{4, 2, 1, 0}, false, []string{"was rejected"}},
	} {
		c, f := newSubject()
		for n := range 3 {
			c.begin(0, false, 0).answered(done, delivered(n), 0)
		}
		c.begin(0, false, 0).answered(unknown, told{}, 0)
		c.begin(0, false, 0).answered(done, told{idOf(4), rejected, notAllowed}, 0)
		if tt.first != nil {
			c.checkPage(page(c, tt.first...), c.required())
		}
		p := page(c, tt.second...)
		if tt.more {
			p.Next = "more"
		}
		c.checkPage(p, c.required())
		wantFindings(t, name, f, tt.want...)
	}
}

// TestJudgeAvailability: writes resume in time in every region that kept its majority.
func TestJudgeAvailability(t *testing.T) {
	const s = time.Second
	for name, tt := range map[string]struct {
		writes  []time.Duration
		silent  []string
		stalled time.Duration // of the machine
		want    []string
	}{
		"in time":        {[]time.Duration{20 * s, 29 * s, 38 * s}, nil, 0, nil},
		"late":           {[]time.Duration{19 * s, 31 * s, 39 * s}, nil, 0, []string{"11.0 s without a write"}},
		"late at heal":   {[]time.Duration{21 * s, 29 * s, 41 * s}, nil, 0, []string{"11.0 s without a write"}},
		"slow machine":   {[]time.Duration{19 * s, 31 * s, 39 * s}, nil, 5 * s, nil},
		"had no chance":  {[]time.Duration{19 * s, 59 * s}, []string{"lazio"}, 0, nil},
		"never":          {[]time.Duration{19 * s}, nil, 0, []string{"without a write"}},
		"nothing at all": {nil, nil, 0, []string{"without a write"}},
	} {
		f := new(findings)
		trial := &trial{findings: f, to: 60 * s, report: &Report{Faults: []FaultReport{{At: 20,
			Healed: 30, Name: "kill-node", Silent: tt.silent, stalled: tt.stalled}}},
			probes: []*probe{{region: "lazio", writes: tt.writes}}}
		trial.judgeAvailability()
		wantFindings(t, name, f, tt.want...)
	}
	f := new(findings)
	trial := &trial{findings: f, to: 60 * s, report: &Report{Faults: []FaultReport{
		{At: 20, Healed: 25}, {At: 27, Healed: 50, Silent: []string{"lazio"}}}},
		probes: []*probe{{region: "lazio", writes: []time.Duration{21 * s, 26 * s, 55 * s}}}}
	trial.judgeAvailability()
	wantFindings(t, "the next fault", f)
	p := &probe{}
	for _, at := range []time.Duration{3 * s, 2 * s, 9 * s} { // two answers may cross
		p.wrote(at)
	}
	if got := p.longest(s, 12*s); got != 6*s {
		t.Errorf("longest gap %s, want 6s", got)
	}
	if got := p.longest(s, 20*s); got != 11*s {
		t.Errorf("longest gap %s, want the one at the end, 11s", got)
	}
}

// TestJudgeRevocations: a key is worthless a second after, where nothing was wrong.
func TestJudgeRevocations(t *testing.T) {
	const s = time.Second
	for name, tt := range map[string]struct {
		acked, accepted, stalled time.Duration
		want                     []string
	}{
		"at once":        {100 * s, 0, 0, nil},
		"in time":        {100 * s, s, 0, nil},
		"late":           {100 * s, 3 * s / 2, 0, []string{"1.50 s after"}},
		"slow machine":   {100 * s, 3 * s / 2, s, nil},
		"during a fault": {50 * s, 3 * s, 0, nil},
		"soon after it":  {60 * s, 3 * s, 0, nil},
		"soon before it": {37 * s, 3 * s, 0, nil},
		"long before it": {10 * s, 3 * s, 0, []string{"3.00 s after"}},
	} {
		f := new(findings)
		trial := &trial{findings: f, report: &Report{Faults: []FaultReport{{At: 40, Healed: 55}}},
			revoker: &revoker{list: []*revocation{{began: tt.acked - s/10, acked: tt.acked,
				accepted: tt.accepted, stalled: tt.stalled}}}}
		trial.judgeRevocations()
		wantFindings(t, name, f, tt.want...)
	}
}

// TestWatch: replicas that differ at one index are found, and processes that end for no reason.
func TestWatch(t *testing.T) {
	f := new(findings)
	w := newWatch(&timeline{out: io.Discard, began: time.Now()}, f, new(localfile.File))
	at := func(index uint64, digest string) []standing {
		return []standing{{Group: "federation", DigestIndex: index, Digest: digest}}
	}
	w.note("a", at(1, "x"))
	w.note("b", at(1, "x"))
	w.note("b", at(2, "y"))
	wantFindings(t, "equal", f)
	w.note("a", at(2, "z"))
	wantFindings(t, "different", f, "replicas differ at index 2")

	f = new(findings)
	w.findings = f
	w.excuse("a")
	w.ended("a", nil)
	w.allow([]string{"b"})
	w.ended("b", nil)
	w.forbid([]string{"b"})
	w.ended("b", nil) // soon after
	wantFindings(t, "excused", f)
	w.ended("a", nil) // once more
	wantFindings(t, "for no reason", f, "a ended by itself")
	if ends, compared := w.endings(); len(ends) != 3 || compared != 1 {
		t.Errorf("%d endings and %d digests, want 3 and 1", len(ends), compared)
	}
	if !panicked("panic: no") || panicked("nothing") {
		t.Error("a panic is not seen, or one that there is not")
	}
}

func TestOutcomes(t *testing.T) {
	for _, tt := range []struct {
		status  int
		problem string
		want    outcome
	}{
		{200, "", done}, {201, "", done}, {400, "malformed-json", refused}, {401, "", refused},
		{409, "", refused}, {429, "", refused}, {503, "unavailable", refused},
		{503, "overloaded", refused}, {503, "outcome-unknown", unknown},
		{503, "", unknown}, {500, "citizen-unavailable", unknown}, {500, "internal", unknown},
	} {
		if got := outcomeOf(tt.status, tt.problem); got != tt.want {
			t.Errorf("%d %s: got %s, want %s", tt.status, tt.problem, got, tt.want)
		}
	}
	dial := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	if unanswered(dial) != refused || unanswered(io.ErrUnexpectedEOF) != unknown ||
		unanswered(&net.OpError{Op: "read", Err: syscall.ECONNREFUSED}) != unknown {
		t.Error("a request that was never sent is not told from one that was lost")
	}
}

// TestClientReads: the client reads answers and problems of a server.
func TestClientReads(t *testing.T) {
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/problem" {
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, `{"type":"urn:staffetta:problem:overloaded"}`)
			return
		}
		io.WriteString(w, `{"id":"x","status":"PROCESSED"}`)
	})}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(ln)
	defer server.Close()
	url := "http://" + ln.Addr().String()
	c := newClient()
	a := c.institution(t.Context(), http.MethodPost, url+"/ok", "key", map[string]any{})
	var got told
	if a.outcome != done || a.decode(&got) != nil || got.ID != "x" {
		t.Errorf("got %+v, %+v", a, got)
	}
	a = c.citizen(t.Context(), http.MethodGet, url+"/problem", "token", nil)
	if a.outcome != refused || a.problem != "overloaded" {
		t.Errorf("got %+v, want a refusal", a)
	}
	c.http.CloseIdleConnections()
	server.Close()
	if a = c.citizen(t.Context(), http.MethodGet, url, "", nil); a.outcome != refused {
		t.Errorf("nobody listens: got %+v, want a refusal", a)
	}
}

// TestClientTriesOnce: a request under a key whose connection breaks is of unknown outcome, also
// when the server is gone before it could be sent again.
func TestClientTriesOnce(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	requests := 0
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests++; requests > 1 {
			ln.Close() // whoever dials again is refused
			panic(http.ErrAbortHandler)
		}
	})}
	go server.Serve(ln)
	defer server.Close()
	c := newClient()
	post := func() outcome {
		return c.call(t.Context(), http.MethodPost, "http://"+ln.Addr().String(), map[string]any{},
			"Idempotency-Key", "x").outcome
	}
	if first, second := post(), post(); first != done || second != unknown {
		t.Errorf("got %s, then %s, want done, then unknown", first, second)
	}
}

// TestVerdictsOfIDs: an id that had a verdict does not go back to THROTTLED; another id of the same
// message, which a second spool took, may.
func TestVerdictsOfIDs(t *testing.T) {
	c, f := newSubject()
	w := &clients{book: c.book}
	s := c.begin(0, true, 0)
	s.answered(done, told{ID: "A", Status: throttled}, 1)
	s.answered(done, told{ID: "B", Status: throttled}, 2)
	s.read(told{ID: "A", Status: processed}, 3)
	w.readThrottled(s, slices.Contains(s.finals, "B"), told{ID: "B", Status: throttled})
	if n, list := f.all(); n != 0 {
		t.Errorf("findings %q", list)
	}
	w.readThrottled(s, slices.Contains(s.finals, "A"), told{ID: "A", Status: throttled})
	if n, list := f.all(); n != 1 {
		t.Errorf("findings %q, want one", list)
	}
}
