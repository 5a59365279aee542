package torture

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/staffetta/staffetta/testcluster/process"
)

// TestSchedule: a seed gives the same faults in the same order with the same durations, another
// one others, and each fault comes up before any comes a second time.
func TestSchedule(t *testing.T) {
	table := faultTable()
	var all []*fault
	for i := range table {
		all = append(all, &table[i])
	}
	deal := func(seed uint64) (list []string) {
		s := newSchedule(seed, all)
		for range 3 * len(all) {
			p := s.next()
			if p.hold < holdMin || p.hold > holdMax || p.rest < restMin || p.rest > restMax {
				t.Errorf("%s for %s, then %s", p.fault.name, p.hold, p.rest)
			}
			list = append(list, fmt.Sprint(p.fault.name, p.hold, p.rest, p.random.Uint64()))
		}
		return list
	}
	one, same, other := deal(1), deal(1), deal(2)
	if fmt.Sprint(one) != fmt.Sprint(same) {
		t.Error("a seed gives another schedule the second time")
	}
	if fmt.Sprint(one) == fmt.Sprint(other) {
		t.Error("two seeds give the same schedule")
	}
	s := newSchedule(3, all)
	for range 3 {
		seen := map[string]bool{}
		for range all {
			seen[s.next().fault.name] = true
		}
		if len(seen) != len(all) {
			t.Errorf("%d of %d faults in a round", len(seen), len(all))
		}
	}
}

func TestFaultTable(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Faults() {
		if seen[f.Name] || !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(f.Name) {
			t.Errorf("%q is no name, or one of two", f.Name)
		}
		if seen[f.Name] = true; f.About == "" {
			t.Errorf("%s says nothing of itself", f.Name)
		}
		if faultNamed(f.Name) == nil {
			t.Errorf("%s is not found", f.Name)
		}
	}
	if faultNamed("nosuch") != nil {
		t.Error("a fault that there is not is found")
	}
	if err := (&Config{Binary: "x", Dir: "y", Faults: []string{"nosuch"}}).validate(); err == nil {
		t.Error("a fault that there is not is accepted")
	}
}

// TestSilenced: who loses its majority or its gateway can take no writes.
func TestSilenced(t *testing.T) {
	trial := &trial{cfg: Config{Regions: []string{"lazio", "sicilia"}}}
	for _, r := range trial.cfg.Regions {
		for i := range 3 {
			trial.ends = append(trial.ends, process.Endpoint{ID: fmt.Sprintf("%s-%d", r, i+1),
				Region: r})
		}
		trial.ends = append(trial.ends, process.Endpoint{ID: "gateway-" + r, Region: r,
			Gateway: true})
	}
	for _, tt := range []struct {
		gone []string
		want string
	}{
		{nil, "[]"}, {[]string{"lazio-1"}, "[]"}, {[]string{"lazio-1", "sicilia-2"}, "[]"},
		{[]string{"lazio-1", "lazio-3"}, "[lazio]"}, {[]string{"gateway-sicilia"}, "[sicilia]"},
		{trial.nodes(), "[lazio sicilia]"},
	} {
		if got := fmt.Sprint(trial.silenced(tt.gone...)); got != tt.want {
			t.Errorf("without %v: got %s, want %s", tt.gone, got, tt.want)
		}
	}
}
