package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

func clockFaults() []fault {
	return []fault{
		{name: "clock-jump", about: "a node's clock jumps, by a second or by minutes, and back",
			strike: func(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
				return t.jump(random, t.nodes())
			}},
		{name: "clock-gateway", about: "a gateway's clock jumps, and back",
			strike: func(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
				return t.jump(random, t.gatewayIDs())
			}},
	}
}

// jump puts the clock of one of ids wrong. A gateway whose clock is minutes off has its
// submissions refused; a leader hands over or ends.
func (t *trial) jump(random *rand.Rand, ids []string) (*strike, error) {
	id := choose(random, ids)
	by := choose(random, []time.Duration{time.Second, 3 * time.Second, time.Minute, 10 * time.Minute})
	if random.IntN(2) == 0 {
		by = -by
	}
	set := func(offset time.Duration) error {
		tmp := t.clockFile(id) + ".tmp"
		if err := os.WriteFile(tmp, []byte(offset.String()), 0o600); err != nil {
			return err
		}
		return os.Rename(tmp, t.clockFile(id))
	}
	if err := set(by); err != nil {
		return nil, err
	}
	return &strike{what: fmt.Sprintf("the clock of %s jumps by %s", id, by),
		silences: []string{t.homeOf(id)}, ends: []string{id},
		heal: func(context.Context) error { return set(0) }}, nil
}

func (t *trial) clockFile(id string) string { return t.cfg.path(clockDir, id) }

func operatorFaults() []fault {
	return []fault{
		{name: "kill-during-command",
			about:  "SIGKILL the federation's leader during an operator's command, which is repeated",
			strike: killDuringCommand},
	}
}

// killDuringCommand changes an institution while the leader that has to log it is killed. The
// command is repeated until it succeeds, and what it said holds.
func killDuringCommand(ctx context.Context, t *trial, random *rand.Rand) (*strike, error) {
	leader := t.watch.leader("federation")
	if leader == "" {
		return nil, fmt.Errorf("the federation has no leader")
	}
	name := fmt.Sprintf("Comune di Prova, %d volte", random.IntN(1000))
	change := func() error {
		wait, cancel := context.WithTimeout(ctx, commandWait)
		defer cancel()
		return t.operate(func(op *operator.Client) error {
			return op.PutInstitution(wait, wire.Institution{ID: wire.InstitutionID(
				t.file.Services[0].OrganizationFiscalCode), Name: name,
				Scopes: t.file.Services[0].Scopes})
		})
	}
	begun := make(chan error, 1)
	go func() { begun <- change() }()
	time.Sleep(time.Duration(random.Int64N(int64(20 * time.Millisecond))))
	s, err := t.kill(fmt.Sprintf("%s killed during an operator's command, the leader of the "+
		"federation", leader), leader)
	if err != nil {
		return nil, err
	}
	err = <-begun
	for try := 0; err != nil && try < 5 && ctx.Err() == nil; try++ {
		err = change()
	}
	if err != nil && ctx.Err() == nil {
		t.findings.add("an operator's command fails while one node is dead: %v", err)
	}
	return s, nil
}

// commandWait bounds an operator's command.
const commandWait = 20 * time.Second

// operate runs calls of an operator.
func (t *trial) operate(f func(*operator.Client) error) error {
	cfg := t.operator
	op, err := operator.New(cfg)
	if err != nil {
		return err
	}
	defer op.Close()
	return f(op)
}

// homeOf is the region of a process.
func (t *trial) homeOf(id string) string {
	for _, e := range t.ends {
		if e.ID == id {
			return e.Region
		}
	}
	return ""
}

// nodes are the names of all nodes, gatewayIDs those of all gateways, in those of a region.
func (t *trial) nodes() []string { return t.named("", false) }

func (t *trial) gatewayIDs() []string { return t.named("", true) }

func (t *trial) nodesOf(region string) []string { return t.named(region, false) }

func (t *trial) in(region string) []string {
	return append(t.named(region, false), t.named(region, true)...)
}

func (t *trial) named(region string, gateway bool) (ids []string) {
	for _, e := range t.ends {
		if e.Gateway == gateway && (region == "" || e.Region == region) {
			ids = append(ids, e.ID)
		}
	}
	return ids
}
