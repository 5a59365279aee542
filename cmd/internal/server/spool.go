package server

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/node/spool"
)

// spoolFlags bound what a node's region keeps for regions that are away.
type spoolFlags struct {
	bytes       size
	age, keyAge time.Duration
}

func (f *spoolFlags) register(cmd *cobra.Command) {
	f.bytes = 1 << 30
	cmd.Flags().Var(&f.bytes, "spool-bytes",
		"how much may wait here for regions that are away; beyond it messages for them are refused")
	cmd.Flags().DurationVar(&f.age, "spool-age", 7*24*time.Hour,
		"how long a region may be away before messages for it are refused; what waits already stays")
	cmd.Flags().DurationVar(&f.keyAge, "region-key-age", 90*24*time.Hour,
		"age at which the region makes a new key pair")
}

func (f *spoolFlags) config() spool.Config {
	return spool.Config{Bytes: uint64(f.bytes), Age: f.age, KeyAge: f.keyAge}
}
