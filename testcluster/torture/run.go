package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/staffetta/staffetta/internal/localfile"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/testcluster/process"
	"golang.org/x/sync/errgroup"
)

const (
	// livesPerRegion citizens are acted on at a time, by two clients each; a life lasts lifeTime,
	// so that the judge of a citizen's history has not too much to think of.
	livesPerRegion = 4
	lifeTime       = 45 * time.Second
	// readyWait bounds the start.
	readyWait = 2 * time.Minute
	// restWait bounds the time in which everything comes to rest after the last fault.
	restWait = 90 * time.Second
	// clockDir holds the files with the clocks' offsets.
	clockDir = "clocks"
	// keyGrace is how long a gateway accepts known keys without the federation: longer than any
	// fault of a run.
	keyGrace = "10m"
	// spoolBytes bounds the regions' spools: what clients send while a region is away fits, what
	// the fault that is to overflow them sends does not.
	spoolBytes = "4MiB"
)

// trial is a run under way.
type trial struct {
	// Set at the beginning.
	cfg      Config
	time     *timeline
	findings *findings
	report   *Report
	faults   []*fault
	fed      *process.Federation
	net      *network
	ends     []process.Endpoint
	file     *localfile.File
	watch    *watch
	disks    map[string]*disk // of nodes that have one of their own

	// Set once the federation runs.
	clients  *clients
	operator operator.Config
	revoker  *revoker
	probes   []*probe
	probed   []*citizen      // whom the probes write to
	replaced int             // nodes that took another's place
	retired  map[string]bool // nodes whose place was taken
	from, to time.Duration   // when the torture began and ended
	rested   time.Duration   // when everything had come to rest

	mu     sync.Mutex
	fresh  []localfile.Citizen // guarded by mu; citizens who were not met yet
	living map[*citizen]bool   // guarded by mu
}

// Run tortures a federation, and answers what came of it. An error says that the run itself went
// wrong; what the federation did wrong is in the report. When ctx ends, the run ends early, and in
// order. Nothing that it started outlives it.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	t := &trial{cfg: cfg, findings: new(findings), living: map[*citizen]bool{},
		retired: map[string]bool{}, time: &timeline{out: cfg.Timeline, began: time.Now()}}
	t.report = &Report{Again: cfg.Again(), Dir: cfg.Dir, Seed: cfg.Seed, Regions: cfg.Regions,
		Nodes: cfg.Nodes}
	if err := t.prepare(); err != nil {
		if t.net != nil {
			t.net.close()
		}
		return nil, err
	}
	err := t.run(ctx)
	if ctx.Err() == nil && err == nil {
		t.report.Complete = true
		err = t.judgeDisks()
	}
	err = errors.Join(err, t.unmountDisks())
	t.report.Violations, t.report.ViolationsList = t.findings.all()
	if err == nil {
		err = t.keep()
	}
	return t.report, err
}

// keep writes the report beside the evidence, or removes everything when nothing was found.
func (t *trial) keep() error {
	if t.report.Violations == 0 && !t.cfg.Keep {
		t.report.Dir = ""
		return os.RemoveAll(t.cfg.Dir)
	}
	f, err := os.OpenFile(t.cfg.path("report.json"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(t.report.WriteJSON(f), t.writeHistory(), f.Close())
}

// prepare makes the federation, its network and its disks; nothing runs yet.
func (t *trial) prepare() (err error) {
	c := &t.cfg
	if entries, err := os.ReadDir(c.Dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty", c.Dir)
	}
	if err := os.MkdirAll(c.path(clockDir), 0o700); err != nil {
		return err
	}
	clock := "clock-offset-file=" + c.path(clockDir, "{id}")
	lives := int(c.Duration/lifeTime) + 2
	t.fed, err = process.New(process.Config{Binary: c.Binary, Dir: c.path(),
		Regions: c.Regions, Nodes: c.Nodes, Gateways: len(c.Regions), Restart: true, Citizens: 1,
		Newcomers: 1 + livesPerRegion*lives, Seed: c.Seed, Indirect: true, Env: c.Env,
		NodeFlags:    []string{clock, "spool-bytes=" + spoolBytes},
		GatewayFlags: []string{clock, "key-grace=" + keyGrace},
		Events:       t.time, Ended: func(id string, err error) { t.watch.ended(id, err) }})
	if err != nil {
		return err
	}
	t.file = t.fed.File()
	t.watch = newWatch(t.time, t.findings, t.file)
	t.ends, t.fresh = t.fed.Endpoints(), t.fed.Newcomers()
	if err := t.chooseFaults(); err != nil {
		return err
	}
	if t.net, err = newNetwork(t.ends); err != nil {
		return err
	}
	return t.mountDisks(t.faults, c.Regions[0])
}

// chooseFaults takes the faults that are asked for and can be brought about here.
func (t *trial) chooseFaults() error {
	all := faultTable()
	for i := range all {
		f := &all[i]
		if len(t.cfg.Faults) > 0 && !slices.Contains(t.cfg.Faults, f.name) {
			continue
		}
		if f.needs != nil {
			if missing := f.needs(t); missing != "" {
				t.report.Skipped = append(t.report.Skipped, Skipped{f.name, missing})
				t.time.tell("without %s, which needs %s", f.name, missing)
				continue
			}
		}
		t.faults = append(t.faults, f)
	}
	if len(t.faults) == 0 {
		return errors.New("no fault can be brought about here")
	}
	return nil
}

// run runs the federation until it has been tortured, has come to rest and was read for the last
// time. The federation has ended when it returns.
func (t *trial) run(ctx context.Context) error {
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, inner := errgroup.WithContext(inner)
	defer t.net.close()
	var halted atomic.Bool // a process cannot go on, which is a finding once all could
	g.Go(func() error {
		err := t.fed.Run(inner)
		select {
		case <-t.fed.Ready():
		default:
			return err
		}
		if err != nil {
			halted.Store(true)
			t.findings.add("the federation cannot go on: %v", err)
			stop()
		}
		return nil
	})
	g.Go(func() error {
		defer stop()
		work, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(inner, cancel)() // the federation may end by itself
		err := t.work(work)
		if ctx.Err() != nil || halted.Load() {
			return nil // interrupted
		}
		return err
	})
	return g.Wait()
}

// work is everything that is done to a running federation.
func (t *trial) work(ctx context.Context) error {
	if err := t.begin(ctx); err != nil {
		return err
	}
	watching, stopWatching := context.WithCancel(ctx)
	var watched sync.WaitGroup
	watched.Go(func() { t.watch.run(watching) })
	defer watched.Wait()
	defer stopWatching()

	if err := t.torture(ctx); err != nil {
		return err
	}
	t.time.tell("everything is mended; coming to rest")
	rest, cancel := context.WithTimeout(ctx, restWait)
	defer cancel()
	if err := t.rest(rest); err != nil && ctx.Err() == nil {
		t.findings.add("after the last fault the federation does not come to rest within %s: %v",
			restWait, err)
		return nil // nothing that is read now would say anything
	}
	if err := t.readEverything(ctx); err != nil {
		return err
	}
	t.judgeClients()
	return nil
}

// begin waits until the federation is ready, and prepares clients.
func (t *trial) begin(ctx context.Context) error {
	select {
	case <-t.fed.Ready():
	case <-ctx.Done():
		return errors.New("the federation did not become ready")
	}
	var err error
	if t.operator, err = process.Operator(t.cfg.Dir); err != nil {
		return err
	}
	w := &clients{client: newClient(), time: t.time, book: newBook(t.findings),
		regions: t.cfg.Regions}
	for _, g := range t.file.Gateways {
		w.gateways = append(w.gateways, g.URL)
	}
	for i, from := range []int{0, 2} { // the service between is limited
		w.keys[i], w.ids[i] = t.file.Services[from].PrimaryKey, t.file.Services[from].ServiceID
	}
	t.clients = w
	t.revoker = &revoker{clients: w, operate: t.operate}
	wait, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	if err := t.revoker.found(wait, t.file.Services[0].Scopes); err != nil {
		return fmt.Errorf("make the service whose key is revoked: %w", err)
	}
	return t.newProbes(wait, rand.New(rand.NewPCG(t.cfg.Seed, 1)))
}

// newcomer is a citizen whom nobody met; nil: none is left.
func (t *trial) newcomer(region string) *citizen {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, c := range t.fresh {
		if c.Region == region {
			t.fresh = slices.Delete(t.fresh, i, i+1)
			return t.clients.book.meet(c.FiscalCode, region)
		}
	}
	return nil
}

// torture lets clients and faults at the federation until the time is over.
func (t *trial) torture(ctx context.Context) error {
	working, stop := context.WithCancel(ctx)
	defer stop()
	t.from = t.time.now()
	// Clients finish what they began.
	var clients sync.WaitGroup
	random := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(t.cfg.Seed, 100+n)) }
	n := uint64(0)
	for i, p := range t.probes {
		clients.Go(func() { p.run(working, t.clients, t.probed[i]) })
	}
	for _, region := range t.cfg.Regions {
		for range livesPerRegion {
			n++
			r := random(n)
			clients.Go(func() { t.lives(working, region, r) })
		}
	}
	bulk, keys := random(1_000_000), random(1_000_001)
	clients.Go(func() { t.clients.stream(working, bulk, t.alive) })
	clients.Go(func() { t.revoker.run(working, t.probed[0].code, keys) })

	// The last fault may take longer than there is time; clients are at work until it is mended.
	err := t.strikeAll(working)
	if err == nil {
		sleep(working, t.from+t.cfg.Duration-t.time.now())
	}
	t.to = t.time.now()
	stop()
	t.report.Seconds = (t.to - t.from).Seconds()
	clients.Wait()
	return err
}

// alive are the citizens whose life goes on.
func (t *trial) alive() []*citizen {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []*citizen
	for c := range t.living {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *citizen) int { return a.index - b.index })
	return list
}

// lives lets one citizen of a region live after the other.
func (t *trial) lives(ctx context.Context, region string, random *rand.Rand) {
	for ctx.Err() == nil {
		c := t.newcomer(region)
		if c == nil {
			return
		}
		t.mu.Lock()
		t.living[c] = true
		t.mu.Unlock()
		life, end := context.WithTimeout(ctx, lifeTime)
		other := rand.New(rand.NewPCG(random.Uint64(), random.Uint64()))
		var both sync.WaitGroup
		both.Go(func() { t.clients.live(life, c, random) })
		both.Go(func() { t.clients.accompany(life, c, other) })
		both.Wait()
		end()
		t.mu.Lock()
		delete(t.living, c)
		t.mu.Unlock()
	}
}

// strikeAll brings one fault after the other about, until there is no time for another.
func (t *trial) strikeAll(ctx context.Context) error {
	s := newSchedule(t.cfg.Seed, t.faults)
	end := t.time.now() + t.cfg.Duration
	for {
		p := s.next()
		if !sleep(ctx, p.rest) || t.time.now()+p.hold > end {
			return nil
		}
		if err := t.strike(ctx, p); err != nil {
			return err
		}
	}
}

// strike brings one fault about and mends it.
func (t *trial) strike(ctx context.Context, p planned) error {
	r := FaultReport{At: t.time.now().Seconds(), Name: p.fault.name}
	before := stall()
	t.time.tell("%s …", p.fault.name)
	s, err := p.fault.strike(ctx, t, p.random)
	if err != nil {
		r.Failed = err.Error()
		t.time.tell("%s cannot be brought about: %v", p.fault.name, err)
		t.report.Faults = append(t.report.Faults, r)
		return nil
	}
	r.What, r.Silent = s.what, s.silences
	if s.brief {
		t.time.tell("%s", s.what)
	} else {
		t.time.tell("%s, for %.1f s", s.what, p.hold.Seconds())
		t.watch.allow(s.ends)
		sleep(ctx, p.hold)
	}
	if s.heal != nil {
		if err := s.heal(context.WithoutCancel(ctx)); err != nil {
			return fmt.Errorf("%s cannot be mended: %w", p.fault.name, err)
		}
		t.time.tell("mended: %s", s.what)
	}
	t.watch.forbid(s.ends)
	r.Healed = t.time.now().Seconds()
	r.stalled = stall() - before
	t.report.Faults = append(t.report.Faults, r)
	return nil
}

// sleep reports whether it slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
