package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
)

func processFaults() []fault {
	return []fault{
		{name: "kill-leader", about: "SIGKILL the leader of a region or of the federation",
			strike: killLeader},
		{name: "kill-node", about: "SIGKILL a node, which stays dead for a while", strike: killNode},
		{name: "kill-gateway", about: "SIGKILL a gateway", strike: killGateway},
		{name: "kill-region", about: "SIGKILL all nodes of a region at once", strike: killRegion},
		{name: "kill-everything", about: "SIGKILL all nodes and gateways at once",
			strike: killEverything},
		{name: "freeze-leader", about: "SIGSTOP a leader, SIGCONT it later", strike: freezeLeader},
		{name: "freeze-node", about: "SIGSTOP a node, SIGCONT it later", strike: freezeNode},
		{name: "freeze-region", about: "SIGSTOP all nodes of a region", strike: freezeRegion},
		{name: "spool-overflow", about: "a region is away until the others' spools overflow",
			needs: func(t *trial) string {
				if len(t.cfg.Regions) < 2 {
					return "a second region"
				}
				return ""
			}, strike: overflow},
		{name: "rolling-restart", about: "SIGTERM one node after the other, each when the last is well",
			strike: rollingRestart},
	}
}

// kill kills processes and keeps them dead; the heal lets them start.
func (t *trial) kill(what string, ids ...string) (*strike, error) {
	for _, id := range ids {
		if err := t.fed.Hold(id); err != nil {
			return nil, err
		}
	}
	for _, id := range ids {
		t.watch.excuse(id)
		t.fed.Signal(id, syscall.SIGKILL) // one that does not run is dead already
	}
	return &strike{what: what, silences: t.silenced(ids...), heal: func(context.Context) error {
		var errs []error
		for _, id := range ids {
			errs = append(errs, t.fed.Release(id))
		}
		return errors.Join(errs...)
	}}, nil
}

// freeze stops processes; the heal lets them go on.
func (t *trial) freeze(what string, ids ...string) (*strike, error) {
	for _, id := range ids {
		if err := t.fed.Signal(id, syscall.SIGSTOP); err != nil {
			return nil, err
		}
	}
	return &strike{what: what, silences: t.silenced(ids...), ends: ids,
		heal: func(context.Context) error {
			for _, id := range ids {
				t.fed.Signal(id, syscall.SIGCONT) // one that ended meanwhile needs none
			}
			return nil
		}}, nil
}

// silenced are the regions that lose their majority, or their gateway, without ids.
func (t *trial) silenced(ids ...string) (regions []string) {
	gone := map[string]bool{}
	for _, id := range ids {
		gone[id] = true
	}
	for _, r := range t.cfg.Regions {
		left, all, gateway := 0, 0, true
		for _, e := range t.ends {
			switch {
			case e.Region != r:
			case e.Gateway:
				gateway = gateway && !gone[e.ID]
			default:
				if all++; !gone[e.ID] {
					left++
				}
			}
		}
		if left <= all/2 || !gateway {
			regions = append(regions, r)
		}
	}
	return regions
}

// groups are the names of all Raft groups.
func (t *trial) groups() (names []string) {
	for _, r := range t.cfg.Regions {
		names = append(names, "region/"+r)
	}
	return append(names, "federation")
}

// leader is the leader of a random group, as last seen.
func (t *trial) leader(random *rand.Rand) (id, group string, err error) {
	group = choose(random, t.groups())
	if id = t.watch.leader(group); id == "" {
		return "", "", fmt.Errorf("%s has no leader", group)
	}
	return id, group, nil
}

func killLeader(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	id, group, err := t.leader(random)
	if err != nil {
		return nil, err
	}
	return t.kill(fmt.Sprintf("%s killed, the leader of %s", id, group), id)
}

func killNode(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	id := choose(random, t.nodes())
	return t.kill(id+" killed", id)
}

func killGateway(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	id := choose(random, t.gatewayIDs())
	return t.kill(id+" killed", id)
}

func killRegion(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	r := choose(random, t.cfg.Regions)
	return t.kill("all nodes of "+r+" killed", t.nodesOf(r)...)
}

func killEverything(_ context.Context, t *trial, _ *rand.Rand) (*strike, error) {
	return t.kill("everything killed", append(t.nodes(), t.gatewayIDs()...)...)
}

func freezeLeader(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	id, group, err := t.leader(random)
	if err != nil {
		return nil, err
	}
	return t.freeze(fmt.Sprintf("%s frozen, the leader of %s", id, group), id)
}

func freezeNode(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	id := choose(random, t.nodes())
	return t.freeze(id+" frozen", id)
}

func freezeRegion(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	r := choose(random, t.cfg.Regions)
	return t.freeze("all nodes of "+r+" frozen", t.nodesOf(r)...)
}

// rollingRestart restarts the nodes of one region, as an upgrade does.
func rollingRestart(ctx context.Context, t *trial, random *rand.Rand) (*strike, error) {
	nodes := t.nodesOf(choose(random, t.cfg.Regions))
	random.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	for _, id := range nodes {
		t.watch.excuse(id)
		starts := t.watch.starts(id)
		if err := t.fed.Signal(id, syscall.SIGTERM); err != nil {
			return nil, err
		}
		if err := t.watch.await(ctx, id, starts); err != nil {
			return nil, err
		}
	}
	return &strike{what: strings.Join(nodes, ", ") + " restarted in turn", brief: true}, nil
}

// fillerBytes is how much a message has that is to take room in a spool.
const fillerBytes = 6000

// overflow kills a region and sends to its citizens, through the other regions' gateways, what no
// compression makes smaller.
func overflow(ctx context.Context, t *trial, random *rand.Rand) (*strike, error) {
	r := choose(random, t.cfg.Regions)
	var to []*citizen
	for _, c := range t.alive() {
		if c.region == r && c.held().version > 0 {
			to = append(to, c)
		}
	}
	if len(to) == 0 {
		return nil, errors.New("nobody lives in " + r)
	}
	s, err := t.kill("all nodes of "+r+" killed, and much is sent to it", t.nodesOf(r)...)
	if err != nil {
		return nil, err
	}
	sending, stop := context.WithCancel(ctx)
	var sent sync.WaitGroup
	sent.Go(func() {
		for pause(sending, random, 2*pace) {
			t.fillSpool(sending, to, random)
		}
	})
	alive := s.heal
	s.heal = func(ctx context.Context) error {
		stop()
		sent.Wait()
		return alive(ctx)
	}
	return s, nil
}

// filler is text that no compression makes much smaller, the same for the same seed.
func filler(seed uint64) string {
	random, text := rand.New(rand.NewPCG(seed, 0)), make([]byte, fillerBytes)
	for i := range text {
		text[i] = byte('a' + random.IntN(26))
	}
	return string(text)
}

// fillSpool sends one bulk request. What is refused is not sent again.
func (t *trial) fillSpool(ctx context.Context, to []*citizen, random *rand.Rand) {
	var lines []*submission
	for range bulkLinesMax {
		s := choose(random, to).begin(0, true, t.time.now())
		s.filler = random.Uint64() | 1
		lines = append(lines, s)
	}
	t.clients.bulk(ctx, lines, random)
}
