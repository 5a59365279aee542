package trail

import (
	"errors"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

func moved(region wire.RegionID, epoch wire.Epoch) error {
	return &wire.Error{Code: wire.Moved, Region: region, Epoch: epoch}
}

func TestHeard(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		step   Step
		region wire.RegionID
		epoch  wire.Epoch
	}{
		"an answer":         {nil, Answered, "lazio", 4},
		"another error":     {wire.Unavailable, Answered, "lazio", 4},
		"no error of wire":  {errors.New("x"), Answered, "lazio", 4},
		"a newer epoch":     {moved("sicilia", 5), Named, "sicilia", 5},
		"its own":           {moved("sicilia", 4), Lost, "lazio", 4},
		"an older one":      {moved("sicilia", 3), Lost, "lazio", 4},
		"none":              {moved("sicilia", 0), Lost, "lazio", 4},
		"nobody":            {moved("", 0), Unsettled, "lazio", 4},
		"nobody, but newer": {moved("", 9), Unsettled, "lazio", 4},
	} {
		way := New("lazio", 4)
		if got := way.Heard(c.err); got != c.step || way.Region != c.region || way.Epoch != c.epoch {
			t.Errorf("%s: step %d to %s at %d, want %d to %s at %d", name, got, way.Region,
				way.Epoch, c.step, c.region, c.epoch)
		}
	}
}

// A search ends, however far it is sent on, also when somebody sets it right in between.
func TestHopsMax(t *testing.T) {
	way, asked := New("lazio", 0), 1
	for epoch := wire.Epoch(1); way.Heard(moved("sicilia", epoch)) == Named; epoch++ {
		asked++
		way.Aim("lazio", way.Epoch)
	}
	if asked != 1+HopsMax {
		t.Errorf("%d regions asked, want %d", asked, 1+HopsMax)
	}
	if way.Heard(moved("", 0)) != Unsettled || way.Heard(nil) != Answered {
		t.Error("what is not sent on goes on")
	}
}
