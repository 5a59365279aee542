package torture

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	// probePeriod is how often a write to each region is tried; probesMax of them wait at a time.
	probePeriod = 250 * time.Millisecond
	probesMax   = 32
	// resumeMax is how long after a fault that leaves a majority writes may stand still.
	resumeMax = 10 * time.Second
)

// probe tries writes to one region through its own gateway, all the time.
type probe struct {
	region, gateway string

	// Guarded by mu.
	mu     sync.Mutex
	writes []time.Duration // when acknowledged, ascending
}

// run writes to the citizen until ctx ends.
func (p *probe) run(ctx context.Context, w *clients, c *citizen) {
	var all sync.WaitGroup
	defer all.Wait()
	tick := time.NewTicker(probePeriod)
	defer tick.Stop()
	slots := make(chan struct{}, probesMax)
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		select {
		case slots <- struct{}{}:
		default:
			continue // all wait
		}
		all.Go(func() {
			defer func() { <-slots }()
			s := c.begin(0, false, w.time.now())
			w.book.count("probe", w.answer(s, w.institution(ctx, http.MethodPost,
				p.gateway+"/api/v1/messages", w.keys[0], s.body())))
			s.judged(w.time.now())
			c.mu.Lock()
			status := s.status
			c.mu.Unlock()
			if status == processed || status == rejected {
				p.wrote(w.time.now())
			}
		})
	}
}

func (p *probe) wrote(at time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.writes); n > 0 && p.writes[n-1] > at {
		at = p.writes[n-1] // two answers at once
	}
	p.writes = append(p.writes, at)
}

// longest is the longest time without an acknowledged write between two moments.
func (p *probe) longest(from, to time.Duration) (gap time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := from
	for _, at := range p.writes {
		if at > from && at <= to {
			gap, last = max(gap, at-last), at
		}
	}
	return max(gap, to-last)
}

// stall tells how much of the time somebody on this machine waited for a processor, as the kernel
// counts it. A limit in seconds means nothing on a machine that has none to give.
func stall() time.Duration {
	b, err := os.ReadFile("/proc/pressure/cpu")
	if err != nil {
		return 0
	}
	_, after, ok := bytes.Cut(b, []byte("total="))
	var total int64
	if _, err := fmt.Fscan(bytes.NewReader(after), &total); !ok || err != nil {
		return 0
	}
	return time.Duration(total) * time.Microsecond
}

// newProbes makes a probe for each region with a citizen of its own, who is activated first.
func (t *trial) newProbes(ctx context.Context, random *rand.Rand) error {
	for _, r := range t.cfg.Regions {
		c := t.newcomer(r)
		if c == nil {
			return fmt.Errorf("no citizen is left for %s", r)
		}
		for !t.clients.login(ctx, c, random) || !t.clients.accept(ctx, c, random) {
			if !pause(ctx, random, setback) {
				return fmt.Errorf("the citizen of the probe of %s cannot be activated", r)
			}
		}
		p := &probe{region: r}
		for i, g := range t.file.Gateways {
			if t.homeOf(g.ID) == r {
				p.gateway = t.file.Gateways[i].URL
			}
		}
		t.probes = append(t.probes, p)
		t.probed = append(t.probed, c)
	}
	return nil
}
