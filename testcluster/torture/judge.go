package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
	"golang.org/x/sync/errgroup"
)

const (
	// readersAtOnce is how many citizens are read at a time at the end.
	readersAtOnce = 16
	// pagesMax bounds the pages of one inbox.
	pagesMax = 1000
	// thinkMax bounds the judge's thinking about one citizen's history.
	thinkMax = 20 * time.Second
)

// rest waits until every process is well and the replicas of each group stand at one index with
// one digest.
func (t *trial) rest(ctx context.Context) error {
	if err := t.watch.allWell(ctx); err != nil {
		return err
	}
	for {
		why := t.disagreement(ctx)
		if why == "" {
			return nil
		}
		if !sleep(ctx, watchPeriod/2) {
			return errors.New(why)
		}
	}
}

// disagreement says which replicas do not stand at one index; empty: all do.
func (t *trial) disagreement(ctx context.Context) string {
	index := map[string]uint64{}
	for _, n := range t.watch.members() {
		list, err := t.watch.status(ctx, n.Admin)
		if err != nil || len(list) == 0 {
			return n.ID + " tells nothing of its replicas"
		}
		t.watch.note(n.ID, list)
		for _, s := range list {
			if at, seen := index[s.Group]; seen && at != s.DigestIndex {
				return fmt.Sprintf("%s: replicas stand at %d and %d", s.Group, at, s.DigestIndex)
			}
			index[s.Group] = s.DigestIndex
		}
	}
	return ""
}

// readEverything reads every citizen's profile and whole inbox, and what became of each message,
// once everything is mended.
func (t *trial) readEverything(ctx context.Context) error {
	t.rested = t.time.now()
	g, reading := errgroup.WithContext(ctx)
	g.SetLimit(readersAtOnce)
	for i, c := range t.clients.book.everybody() {
		random := rand.New(rand.NewPCG(t.cfg.Seed, uint64(2_000_000+i)))
		g.Go(func() error { return t.readCitizen(reading, c, random) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	t.revoker.judgeNow(ctx, t.probed[0].code)
	return nil
}

// patience bounds how long all readings at the end are tried again, when all should be well. After
// that each is tried once.
const patience = 30 * time.Second

func (t *trial) readCitizen(ctx context.Context, c *citizen, random *rand.Rand) error {
	w := t.clients
	again := func(what string, f func() bool) error {
		for !f() {
			if t.time.now() > t.rested+patience {
				t.findings.add("citizen %d: %s fails at the end, when everything is mended",
					c.index, what)
				return nil
			}
			if !pause(ctx, random, setback/2) {
				return ctx.Err()
			}
		}
		return nil
	}
	if c.held().session == 0 { // a life that ended before its first login
		return nil
	}
	err := again("a login", func() bool { return w.login(ctx, c, random) })
	if err == nil {
		err = again("reading the profile", func() bool {
			o, _ := w.profile(ctx, c, random)
			return o == done
		})
	}
	if err == nil {
		err = again("coming to the end of a move", func() bool { return w.settle(ctx, c, random) })
	}
	if err == nil {
		err = again("reading the inbox", func() bool { return t.readInbox(ctx, c, random) })
	}
	for i := range marked {
		if err == nil && c.markable(i, false) != "" {
			err = again("reading a status", func() bool {
				o, _ := w.look(ctx, c, random, i)
				return o == done
			})
		}
	}
	for _, s := range c.acknowledged() {
		if err != nil {
			return err
		}
		err = again("reading message "+s.title, func() bool {
			o, status := w.readOne(ctx, s, random)
			c.mu.Lock()
			defer c.mu.Unlock()
			return status == statusMissing || // which is a finding already
				o == done && final(s.status)
		})
	}
	return err
}

func (c *citizen) acknowledged() (list []*submission) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.list {
		if s.known == done {
			list = append(list, s)
		}
	}
	return list
}

// readInbox reads every page, of the archive too, and keeps what the inbox is in the end.
func (t *trial) readInbox(ctx context.Context, c *citizen, random *rand.Rand) bool {
	w, archived, query := t.clients, false, ""
	var all pageView
	for range pagesMax {
		a := w.citizen(ctx, http.MethodGet, w.gateway(random)+
			"/api/communication/v1/messages?enrich_result_data=true&page_size=100&archived="+
			strconv.FormatBool(archived)+query, c.held().token, nil)
		var page pageView
		if a.outcome != done || a.decode(&page) != nil {
			return false
		}
		for _, item := range page.Items {
			if item.Archived != archived {
				c.book.findings.add("message %s is in the wrong list, archived: %t", item.Title,
					archived)
			}
		}
		all.Items = append(all.Items, page.Items...)
		query = "&maximum_id=" + page.Next
		if page.Next == "" && archived {
			break
		}
		if page.Next == "" {
			archived, query = true, ""
		}
	}
	c.checkPage(&all, c.required())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inbox = &all
	return true
}

// judgeClients judges what clients saw: the messages, the registry, revocations and availability.
func (t *trial) judgeClients() {
	t.time.tell("judging what clients saw")
	j := &t.report.Judged
	for _, c := range t.clients.book.everybody() {
		j.Citizens++
		c.judgeMessages(j)
	}
	t.judgeRegistry()
	t.judgeRevocations()
	t.judgeAvailability()
	t.report.Operations = t.clients.book.counts()
	t.report.Datagrams = t.net.carried()
	t.report.Endings, j.Digests = t.watch.endings()
	if j.Messages == 0 {
		t.findings.add("no message was acknowledged: the run proves nothing")
	}
}

// judgeMessages holds what was told of each message against the inbox as it is in the end.
func (c *citizen) judgeMessages(j *Judged) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inbox == nil {
		return
	}
	times := map[string]int{}
	for _, item := range c.inbox.Items {
		times[item.Title]++
	}
	for _, s := range c.list {
		n := times[s.title]
		switch {
		case n > 1:
			c.book.findings.add("message %s is in the inbox %d times", s.title, n)
		case s.known == done && s.status == processed && n == 0:
			c.book.findings.add("message %s was acknowledged at %.2fs and is lost", s.title,
				s.acked.Seconds())
		case s.known == done && s.status != processed && n > 0:
			c.book.findings.add("message %s is %s and is in the inbox", s.title, s.status)
		case s.known == refused && n > 0:
			c.book.findings.add("message %s was refused for sure and is in the inbox", s.title)
		}
		if s.spooled {
			j.Throttled++
		}
		if s.known == done {
			j.Messages++
		} else if s.known == unknown {
			j.Unknown++
		}
	}
}

// judgeRegistry judges every citizen's history, some at a time.
func (t *trial) judgeRegistry() {
	all := t.clients.book.everybody()
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(2)
	for _, c := range all {
		c.mu.Lock()
		log := c.log
		c.mu.Unlock()
		g.Go(func() error {
			result, why := linearizable(log, thinkMax)
			mu.Lock()
			defer mu.Unlock()
			t.report.Judged.Histories++
			t.report.Judged.Operations += len(log)
			switch result {
			case porcupine.Illegal:
				t.findings.add("the history of citizen %d (%d operations) is not linearizable: %s",
					c.index, len(log), why)
			case porcupine.Unknown:
				t.report.NotJudged = append(t.report.NotJudged, fmt.Sprintf("the history of "+
					"citizen %d (%d operations): more than %s to think of", c.index, len(log),
					thinkMax))
			}
			return nil
		})
	}
	g.Wait()
}

// judgeRevocations judges keys that were revoked while nothing was wrong.
func (t *trial) judgeRevocations() {
	for _, r := range t.revoker.list {
		t.report.Judged.Revocations++
		quiet := true
		for _, f := range t.report.Faults {
			quiet = quiet && (r.acked+revokeWatch < seconds(f.At) ||
				r.began > seconds(f.Healed)+resumeMax)
		}
		if !quiet {
			continue // the federation's leader may have been out of reach
		}
		t.report.Revoked = max(t.report.Revoked, r.accepted.Seconds())
		if r.accepted > revokeMax+r.stalled {
			t.findings.add("a key was accepted %.2f s after its acknowledged revocation at %.1fs",
				r.accepted.Seconds(), r.acked.Seconds())
		}
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// judgeAvailability holds the time until writes resumed against the promise, for each fault and
// each region that had a majority meanwhile.
func (t *trial) judgeAvailability() {
	t.report.Gaps, t.report.Resumed = map[string]float64{}, map[string]float64{}
	for _, p := range t.probes {
		t.report.Gaps[p.region] = p.longest(t.from, t.to).Seconds()
	}
	for i := range t.report.Faults {
		f := &t.report.Faults[i]
		if f.Failed == "" {
			t.judgeResumed(f, t.to)
		}
	}
}

func (t *trial) judgeResumed(f *FaultReport, end time.Duration) {
	f.Gaps = map[string]float64{}
	silent := map[string]bool{}
	for _, r := range f.Silent {
		silent[r] = true
	}
	for _, p := range t.probes {
		if silent[p.region] {
			continue
		}
		limit := resumeMax + f.stalled
		until := min(seconds(f.Healed)+limit, end, t.silencedAfter(f, p.region))
		gap := p.longest(seconds(f.At), until)
		f.Gaps[p.region] = gap.Seconds()
		t.report.Resumed[p.region] = max(t.report.Resumed[p.region], gap.Seconds())
		if gap > limit {
			t.findings.add("%s: %.1f s without a write at %s, %.1fs to %.1fs (%s), which left a "+
				"majority", p.region, gap.Seconds(), f.Name, f.At, f.Healed, f.What)
		}
	}
}

// silencedAfter is when the first fault after f began that silences a region.
func (t *trial) silencedAfter(f *FaultReport, region string) time.Duration {
	for _, next := range t.report.Faults {
		if next.At > f.At && slices.Contains(next.Silent, region) {
			return seconds(next.At)
		}
	}
	return forever
}

// writeHistory writes what clients did and were told, one citizen a line.
func (t *trial) writeHistory() error {
	if t.clients == nil {
		return nil
	}
	f, err := os.OpenFile(t.cfg.path("history.ndjson"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	e := json.NewEncoder(f)
	for _, c := range t.clients.book.everybody() {
		err = errors.Join(err, e.Encode(c.history()))
	}
	return errors.Join(err, f.Close())
}

// history is the citizen as JSON shows it.
func (c *citizen) history() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	type message struct {
		Title  string   `json:"title"`
		Key    bool     `json:"key"`
		Began  float64  `json:"began"`
		Tries  int      `json:"tries"`
		Known  outcome  `json:"known"`
		IDs    []string `json:"ids,omitempty"`
		Status string   `json:"status,omitempty"`
		Reason string   `json:"reason,omitempty"`
		Acked  float64  `json:"acked,omitempty"`
	}
	type step struct {
		Began     float64 `json:"began"`
		Ended     float64 `json:"ended"` // 0: nobody knows
		Operation string  `json:"operation"`
		Saw       string  `json:"saw"`
	}
	all := struct {
		Citizen  int       `json:"citizen"`
		Region   string    `json:"region"`
		Messages []message `json:"messages"`
		Registry []step    `json:"registry"`
	}{Citizen: c.index, Region: c.region}
	for _, s := range c.list {
		all.Messages = append(all.Messages, message{s.title, s.key != "", s.began.Seconds(), s.tries,
			s.known, s.ids, s.status, s.reason, s.acked.Seconds()})
	}
	for _, o := range c.log {
		ended := time.Duration(o.Return).Seconds()
		if time.Duration(o.Return) == forever {
			ended = 0
		}
		all.Registry = append(all.Registry, step{time.Duration(o.Call).Seconds(), ended,
			fmt.Sprintf("%+v", o.Input), fmt.Sprintf("%+v", o.Output)})
	}
	return all
}
