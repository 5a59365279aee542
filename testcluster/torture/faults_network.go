package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

func networkFaults() []fault {
	apart := func(t *trial) string {
		if len(t.cfg.Regions) < 2 {
			return "a second region"
		}
		return ""
	}
	three := func(t *trial) string {
		if t.cfg.Nodes < 3 {
			return "three nodes in a region"
		}
		return ""
	}
	return []fault{
		{name: "bad-weather", about: "loss, delay, jitter, duplicates and reordering everywhere",
			strike: badWeather},
		{name: "far-region", about: "a region hundreds of milliseconds away", needs: apart,
			strike: farRegion},
		{name: "island", about: "a region with its gateway cut off from everything else",
			needs: apart, strike: island},
		{name: "no-way-out", about: "what a region sends to others is lost, what it is sent arrives",
			needs: apart, strike: noWayOut},
		{name: "cut-leader", about: "a leader cut off from the nodes, and reached by gateways",
			needs: three, strike: cutLeader},
		{name: "cut-node", about: "a node cut off from everything", strike: cutNode},
		{name: "one-way", about: "datagrams from one node to another are lost", strike: oneWay},
		{name: "bridge", about: "two nodes of a region reach each other only through the third",
			needs: three, strike: bridge},
		{name: "cut-gateway", about: "a gateway cut off from one region", strike: cutGateway},
		{name: "random-cuts", about: "every direction of every pair is cut with a chance of a fifth",
			strike: randomCuts},
	}
}

// over is a strike that is nothing but weather.
func (t *trial) over(what string, w weather, pairs func(from, to string) bool,
	silences ...string) *strike {
	end := t.net.bring(w, pairs)
	return &strike{what: what, silences: silences, heal: func(context.Context) error {
		end()
		return nil
	}}
}

func among(ids []string) func(string) bool {
	set := map[string]bool{}
	for _, id := range ids {
		set[id] = true
	}
	return func(id string) bool { return set[id] }
}

func badWeather(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	ms := func(most int64) time.Duration {
		return time.Duration(random.Int64N(most)) * time.Millisecond
	}
	w := weather{Delay: ms(30), Jitter: 1 + ms(40), Loss: random.Float64() * 0.15,
		Duplicates: random.Float64() * 0.1, Reorder: random.Float64() * 0.3}
	what := fmt.Sprintf("bad weather: delay %s and up to %s, loss %.0f%%, duplicates %.0f%%, "+
		"reordered %.0f%%", w.Delay, w.Jitter, 100*w.Loss, 100*w.Duplicates, 100*w.Reorder)
	// A connection that lives through a tenth of its datagrams lost may be slow beyond patience.
	return t.over(what, w, func(string, string) bool { return true }, t.cfg.Regions...), nil
}

func farRegion(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	r := choose(random, t.cfg.Regions)
	in := among(t.in(r))
	w := weather{Delay: between(random, 50*time.Millisecond, 300*time.Millisecond),
		Jitter: 50 * time.Millisecond}
	return t.over(fmt.Sprintf("%s is %s away", r, w.Delay), w,
		func(from, to string) bool { return in(from) != in(to) }), nil
}

func island(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	r := choose(random, t.cfg.Regions)
	in := among(t.in(r))
	return t.over(r+" is an island", weather{Cut: true},
		func(from, to string) bool { return in(from) != in(to) }), nil
}

func noWayOut(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	r := choose(random, t.cfg.Regions)
	in := among(t.in(r))
	return t.over("nothing leaves "+r, weather{Cut: true},
		func(from, to string) bool { return in(from) && !in(to) }), nil
}

func cutLeader(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	id, group, err := t.leader(random)
	if err != nil {
		return nil, err
	}
	node := among(t.nodes())
	return t.over(fmt.Sprintf("%s cut off from the nodes, the leader of %s", id, group),
		weather{Cut: true}, func(from, to string) bool {
			return (from == id || to == id) && node(from) && node(to)
		}), nil
}

func cutNode(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	id := choose(random, t.nodes())
	return t.over(id+" cut off", weather{Cut: true},
		func(from, to string) bool { return from == id || to == id }, t.silenced(id)...), nil
}

func oneWay(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	pair := t.nodesOf(choose(random, t.cfg.Regions))
	if len(pair) < 2 {
		pair = t.nodes()
	}
	random.Shuffle(len(pair), func(i, j int) { pair[i], pair[j] = pair[j], pair[i] })
	return t.over(fmt.Sprintf("nothing gets from %s to %s", pair[0], pair[1]), weather{Cut: true},
		func(from, to string) bool { return from == pair[0] && to == pair[1] }), nil
}

func bridge(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	nodes := t.nodesOf(choose(random, t.cfg.Regions))
	random.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	ends := among(nodes[:2])
	return t.over(fmt.Sprintf("%s and %s do not reach each other", nodes[0], nodes[1]),
		weather{Cut: true}, func(from, to string) bool { return ends(from) && ends(to) }), nil
}

func cutGateway(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	id, r := choose(random, t.gatewayIDs()), choose(random, t.cfg.Regions)
	in := among(t.nodesOf(r))
	return t.over(fmt.Sprintf("%s does not reach %s", id, r), weather{Cut: true},
		func(from, to string) bool {
			return from == id && in(to) || to == id && in(from)
		}, t.homeOf(id)), nil
}

func randomCuts(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
	cut := map[[2]string]bool{}
	var names []string
	for _, a := range t.ends {
		for _, b := range t.ends {
			if a.ID != b.ID && random.IntN(5) == 0 {
				cut[[2]string{a.ID, b.ID}] = true
				names = append(names, a.ID+">"+b.ID)
			}
		}
	}
	return t.over("cut: "+strings.Join(names, " "), weather{Cut: true},
		func(from, to string) bool { return cut[[2]string{from, to}] }, t.cfg.Regions...), nil
}
