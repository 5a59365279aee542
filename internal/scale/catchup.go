package scale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/load"
	"github.com/staffetta/staffetta/internal/localfile"
)

const (
	// OutageDefault is the outage at scale 1.
	OutageDefault = 10 * time.Minute
	// OutageMin gives the others time to miss the node.
	OutageMin = 3 * time.Second
	// catchUpMax is how many times the outage the node may take to catch up, catchUpMin the least
	// that it is given.
	catchUpMax = 3
	catchUpMin = time.Minute
	// halfRate of the full load goes on while a node catches up.
	halfRate = 0.5
	// catchUpPoll is how often the nodes are asked how far they are.
	catchUpPoll = 100 * time.Millisecond
	// lagEntries behind the leader is where a follower stands that keeps up; more only if another
	// follower's lag is larger.
	lagEntries = 16
	// statusBytesMax bounds a node's answer.
	statusBytesMax = 1 << 20
)

// CatchUpConfig sets up the run of a follower that comes back. Everything but Room,
// Concurrency and Progress is required.
type CatchUpConfig struct {
	// File describes the running federation: one region with three nodes at least.
	File *localfile.File
	// Group is the group watched, as the nodes' status names it.
	Group string
	// Kill ends a node at once and returns when it has ended. Start starts it again, and returns
	// before it is ready.
	Kill, Start func(node string) error
	Codes       []fiscalcode.Code
	Outage      time.Duration
	Room        int64 // disk space that the run needs at most, in bytes
	Concurrency int   // connections; 0 is load's default
	Progress    io.Writer
}

// CatchUpReport is the result of the run.
type CatchUpReport struct {
	Node          string  `json:"node"`
	OutageSeconds float64 `json:"outage_seconds"`
	// Throughputs in messages a second, without and then with a follower away.
	Full   float64 `json:"full_per_second"`
	Outage float64 `json:"outage_per_second"`
	// Offered while the follower catches up; what was answered without it, and then during it.
	Offered float64 `json:"offered_per_second"`
	Alone   float64 `json:"alone_per_second"`
	During  float64 `json:"during_per_second"`
	// P99 of an answer from the moment due, in milliseconds, alike.
	AloneP99  float64 `json:"alone_p99_ms"`
	DuringP99 float64 `json:"during_p99_ms"`
	Errors    int64   `json:"errors_during"`
	// Stalls are the worst seconds since its start, worst first.
	Stalls []load.Second `json:"stalls_during"`

	MissedEntries  uint64  `json:"missed_entries"`
	ReadySeconds   float64 `json:"ready_seconds"`    // from its start until /health said so
	CatchUpSeconds float64 `json:"catch_up_seconds"` // from its start until it kept up
	// Ratios of CatchUpSeconds to OutageSeconds and of During to Alone.
	CatchUpRatio    float64 `json:"catch_up_ratio"`
	ThroughputRatio float64 `json:"throughput_ratio"`
	// StateBytes is the follower's directory afterwards.
	StateBytes int64 `json:"state_bytes"`
}

// catchUp is the run. Owned by one goroutine.
type catchUp struct {
	cfg    *CatchUpConfig
	client *http.Client
	report *CatchUpReport
	node   localfile.Node   // the follower that goes away
	others []localfile.Node // the leader first, as of the last look
}

// CatchUp runs load with a follower away, brings it back under half the load, and measures how it
// catches up.
func CatchUp(ctx context.Context, cfg CatchUpConfig) (*CatchUpReport, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if err := room(cfg.File.Nodes[0].Dir, cfg.Room, 0); err != nil {
		return nil, err
	}
	c := &catchUp{cfg: &cfg, report: new(CatchUpReport),
		client: &http.Client{Timeout: 2 * time.Second}}
	defer c.client.CloseIdleConnections()
	if err := c.choose(ctx); err != nil {
		return nil, err
	}
	// A tenth of the outage, and not too short, is measured before it.
	before := max(cfg.Outage/10, OutageMin)
	c.say("full load for %v", before)
	full, err := c.load(ctx, before, 0)
	if err != nil {
		return nil, err
	}
	r := c.report
	r.Full, r.Offered = full.Throughput, halfRate*full.Throughput
	c.say("%.0f messages a second; %.0f offered for %v", r.Full, r.Offered, before)
	alone, err := c.load(ctx, before, r.Offered)
	if err != nil {
		return nil, err
	}
	r.Alone, r.AloneP99 = alone.Throughput, alone.Latency.P99
	if err := c.outage(ctx); err != nil {
		return nil, err
	}
	return r, c.comeBack(ctx)
}

func (c *CatchUpConfig) complete() error {
	if c.Progress == nil {
		c.Progress = io.Discard
	}
	switch {
	case c.File == nil || len(c.File.Nodes) < 3 || len(c.File.Gateways) == 0 ||
		len(c.File.Services) == 0:
		return errors.New("a federation of three nodes, a gateway and a service is needed")
	case c.Kill == nil || c.Start == nil || c.Group == "":
		return errors.New("no group, or no way to stop and start its nodes")
	case c.Outage < OutageMin:
		return fmt.Errorf("outage of %v, %v at least", c.Outage, OutageMin)
	}
	return nil
}

func (c *catchUp) say(format string, args ...any) {
	fmt.Fprintf(c.cfg.Progress, format+"\n", args...)
}

// load offers messages for a time, at a rate unless that is 0.
func (c *catchUp) load(ctx context.Context, d time.Duration, rate float64) (*load.Report, error) {
	cfg := load.Config{Codes: c.cfg.Codes, Key: c.cfg.File.Services[0].PrimaryKey, Seed: 1,
		Concurrency: c.cfg.Concurrency, Rate: rate, Duration: d}
	for _, g := range c.cfg.File.Gateways {
		cfg.Gateways = append(cfg.Gateways, g.URL)
	}
	return load.Run(ctx, cfg)
}

// progress is how far a replica is.
type progress struct {
	Role    string `json:"role"`
	Commit  uint64 `json:"commit_index"`
	Applied uint64 `json:"applied_index"`
}

func (c *catchUp) progress(ctx context.Context, n *localfile.Node) (p progress, err error) {
	body, err := c.get(ctx, n.Admin+"/status")
	if err != nil {
		return p, err
	}
	var status struct {
		Groups []struct {
			Group string `json:"group"`
			progress
		} `json:"groups"`
	}
	if err := json.Unmarshal(body, &status); err != nil {
		return p, fmt.Errorf("status of %s: %w", n.ID, err)
	}
	for _, g := range status.Groups {
		if g.Group == c.cfg.Group {
			return g.progress, nil
		}
	}
	return p, fmt.Errorf("%s has no group %s", n.ID, c.cfg.Group)
}

func (c *catchUp) get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, statusBytesMax))
}

// choose picks a follower to go away.
func (c *catchUp) choose(ctx context.Context) error {
	leaders := 0
	for _, n := range c.cfg.File.Nodes {
		p, err := c.progress(ctx, &n)
		if err != nil {
			return err
		}
		if p.Role == "leader" {
			leaders++
		} else if c.node.ID == "" {
			c.node = n
			continue
		}
		c.others = append(c.others, n)
	}
	if leaders != 1 || c.node.ID == "" {
		return fmt.Errorf("group %s has %d leaders among %d nodes", c.cfg.Group, leaders,
			len(c.cfg.File.Nodes))
	}
	c.report.Node = c.node.ID
	return nil
}

// outage kills the follower and loads the rest.
func (c *catchUp) outage(ctx context.Context) error {
	c.say("%s is killed; full load for %v", c.node.ID, c.cfg.Outage)
	before, err := c.progress(ctx, &c.node)
	if err != nil {
		return err
	}
	if err := c.cfg.Kill(c.node.ID); err != nil {
		return err
	}
	began := time.Now()
	report, err := c.load(ctx, c.cfg.Outage, 0)
	if err != nil {
		return err
	}
	c.report.Outage = report.Throughput
	c.report.OutageSeconds = time.Since(began).Seconds()
	lead, _, err := c.ahead(ctx)
	c.report.MissedEntries = lead - before.Applied
	return err
}

// ahead is the leader's commit index, and the lag behind it of the others that were there all
// the time.
func (c *catchUp) ahead(ctx context.Context) (commit, lag uint64, err error) {
	var list []progress
	for i := range c.others {
		p, err := c.progress(ctx, &c.others[i])
		if err != nil {
			return 0, 0, err
		}
		list, commit = append(list, p), max(commit, p.Commit)
	}
	for _, p := range list {
		lag = max(lag, commit-min(p.Applied, commit))
	}
	return commit, lag, nil
}

// comeBack starts the follower and offers half the load until it keeps up.
func (c *catchUp) comeBack(ctx context.Context) error {
	c.say("%s is started; %.0f messages a second offered", c.node.ID, c.report.Offered)
	began := time.Now()
	if err := c.cfg.Start(c.node.ID); err != nil {
		return err
	}
	loaded, stop := context.WithCancel(ctx)
	defer stop()
	type outcome struct {
		report *load.Report
		err    error
	}
	done := make(chan outcome, 1)
	limit := max(catchUpMax*c.cfg.Outage, catchUpMin)
	go func() {
		report, err := c.load(loaded, limit, c.report.Offered)
		done <- outcome{report, err}
	}()
	err := c.awaitKeepingUp(loaded, began, limit)
	stop()
	out := <-done
	if out.report == nil {
		return errors.Join(err, out.err)
	}
	r := c.report
	r.During, r.DuringP99 = out.report.Throughput, out.report.Latency.P99
	r.Stalls = out.report.Stalls()
	for _, n := range out.report.Errors {
		r.Errors += n
	}
	r.CatchUpRatio = r.CatchUpSeconds / r.OutageSeconds
	r.ThroughputRatio = r.During / max(r.Alone, 1e-9)
	var sizing error
	r.StateBytes, sizing = sizeOf(c.node.Dir)
	return errors.Join(err, ctx.Err(), sizing)
}

// awaitKeepingUp polls until the follower is no farther behind than the others.
func (c *catchUp) awaitKeepingUp(ctx context.Context, began time.Time, limit time.Duration) error {
	tick := time.NewTicker(catchUpPoll)
	defer tick.Stop()
	for said := began; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		passed := time.Since(began)
		if passed > limit {
			return fmt.Errorf("%s has not caught up after %v", c.node.ID, limit)
		}
		if c.report.ReadySeconds == 0 {
			if _, err := c.get(ctx, c.node.Admin+"/health"); err == nil {
				c.report.ReadySeconds = passed.Seconds()
			}
		}
		commit, lag, err := c.ahead(ctx)
		if err != nil {
			continue // an answer may be lost under load
		}
		p, err := c.progress(ctx, &c.node)
		if err != nil {
			continue // it is being started
		}
		if p.Applied+max(lag, lagEntries) >= commit && c.report.ReadySeconds > 0 {
			c.report.CatchUpSeconds = passed.Seconds()
			return nil
		}
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			c.say("%s is %d entries behind", c.node.ID, commit-min(p.Applied, commit))
		}
	}
}
