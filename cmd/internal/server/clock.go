package server

import (
	"time"

	"github.com/spf13/cobra"
)

// Clock gives a process another wall clock than the machine's, by a flag. The product has none:
// it is for a build that tests what a wrong clock does.
type Clock interface {
	Register(cmd *cobra.Command)
	// Now is the clock; nil: the machine's.
	Now() func() time.Time
}

// clockFlags are a Clock's, if there is one.
type clockFlags struct{ Clock }

func (f clockFlags) register(cmd *cobra.Command) {
	if f.Clock != nil {
		f.Clock.Register(cmd)
	}
}

func (f clockFlags) now() func() time.Time {
	if f.Clock == nil {
		return nil
	}
	return f.Clock.Now()
}
