package torture

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// fault is one way to hurt a federation.
type fault struct {
	name, about string
	// needs says what is missing for the fault here; empty: nothing. nil asks for nothing.
	needs func(*trial) string
	// strike brings it about. It returns once it is there; heal ends it.
	strike func(context.Context, *trial, *rand.Rand) (*strike, error)
}

// strike is a fault that was brought about.
type strike struct {
	what string
	// heal mends it; nil: it mends itself. It returns when it is mended, which a process that has
	// to start is not yet.
	heal func(context.Context) error
	// silences are the regions that may take no writes from their gateway while it lasts.
	silences []string
	// ends are the processes that may end by themselves while it lasts, or soon after.
	ends []string
	// brief is a fault that was over when strike returned.
	brief bool
}

// Fault describes a fault.
type Fault struct{ Name, About string }

// Faults are all there are, in their order of the table.
func Faults() (list []Fault) {
	for _, f := range faultTable() {
		list = append(list, Fault{f.name, f.about})
	}
	return list
}

func faultTable() []fault {
	return slices.Concat(processFaults(), networkFaults(), diskFaults(), forgetFaults(),
		clockFaults(), operatorFaults())
}

func faultNamed(name string) *fault {
	for _, f := range faultTable() {
		if f.name == name {
			return &f
		}
	}
	return nil
}

// Bounds of a fault's duration and of the rest after it.
const (
	holdMin = 3 * time.Second
	holdMax = 9 * time.Second
	restMin = 1500 * time.Millisecond
	restMax = 4 * time.Second
)

// planned is one fault of a schedule.
type planned struct {
	fault      *fault
	hold, rest time.Duration
	random     *rand.Rand // what the fault chooses by
}

// schedule deals out faults from a seed: a shuffled deck of all, again and again, so that each
// comes up before any comes a second time.
type schedule struct {
	random *rand.Rand
	faults []*fault
	deck   []*fault
}

func newSchedule(seed uint64, faults []*fault) *schedule {
	return &schedule{random: rand.New(rand.NewPCG(seed, 0)), faults: faults}
}

func (s *schedule) next() planned {
	if len(s.deck) == 0 {
		s.deck = slices.Clone(s.faults)
		s.random.Shuffle(len(s.deck), func(i, j int) {
			s.deck[i], s.deck[j] = s.deck[j], s.deck[i]
		})
	}
	p := planned{fault: s.deck[0], hold: between(s.random, holdMin, holdMax),
		rest:   between(s.random, restMin, restMax),
		random: rand.New(rand.NewPCG(s.random.Uint64(), s.random.Uint64()))}
	s.deck = s.deck[1:]
	return p
}

func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(most-least)))
}

// choose is one of a list.
func choose[T any](random *rand.Rand, list []T) T { return list[random.IntN(len(list))] }
