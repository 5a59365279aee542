package server

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/node/operate"
)

// diskFlags say how a node keeps room on its disk.
type diskFlags struct {
	low, critical watermark
	ballast       size
}

func (f *diskFlags) register(cmd *cobra.Command) {
	f.low = watermark{bytes: 1 << 30, percent: 15}
	f.critical = watermark{bytes: 512 << 20, percent: 8}
	f.ballast = 256 << 20
	cmd.Flags().Var(&f.low, "disk-low",
		"free space below which submissions are refused: a size, a percentage, or both")
	cmd.Flags().Var(&f.critical, "disk-critical",
		"free space below which the node gives up leadership; below a quarter of it the node stops")
	cmd.Flags().Var(&f.ballast, "ballast",
		"size of a file that is deleted when the disk is full, so that the node can stop cleanly; "+
			"0: none")
}

func (f *diskFlags) limits() operate.DiskLimits {
	return operate.DiskLimits{LowBytes: uint64(f.low.bytes), LowPercent: f.low.percent,
		CriticalBytes: uint64(f.critical.bytes), CriticalPercent: f.critical.percent}
}

// size is a number of bytes: 0, 512MiB, 1GiB.
type size uint64

var sizeUnits = []struct {
	name  string
	shift uint
}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}}

// String writes the size in the largest unit that divides it.
func (s *size) String() string {
	for _, u := range sizeUnits {
		if *s > 0 && *s%(1<<u.shift) == 0 {
			return fmt.Sprintf("%d%s", *s>>u.shift, u.name)
		}
	}
	return strconv.FormatUint(uint64(*s), 10)
}

// Set reads a size; a number without a unit is of bytes.
func (s *size) Set(text string) error {
	number, shift := text, uint(0)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(text, u.name); ok {
			number, shift = rest, u.shift
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n > math.MaxInt64>>shift {
		return fmt.Errorf("%q is not a size such as 512MiB", text)
	}
	*s = size(n << shift)
	return nil
}

// Type is what the help says.
func (s *size) Type() string { return "size" }

// watermark is free space by size, by its share of the file system, or both: 1GiB,15%.
type watermark struct {
	bytes   size
	percent uint
}

func (w *watermark) String() string {
	switch {
	case w.percent == 0:
		return w.bytes.String()
	case w.bytes == 0:
		return fmt.Sprintf("%d%%", w.percent)
	}
	return fmt.Sprintf("%s,%d%%", w.bytes.String(), w.percent)
}

// Set reads a watermark. The part that is not given is 0, which is never reached.
func (w *watermark) Set(text string) error {
	var read watermark
	sized := false
	for _, part := range strings.Split(text, ",") {
		if share, ok := strings.CutSuffix(part, "%"); ok {
			n, err := strconv.ParseUint(share, 10, 8)
			if err != nil || n > 100 || read.percent > 0 {
				return fmt.Errorf("%q is not a size, a percentage, or both, such as 1GiB,15%%", text)
			}
			read.percent = uint(n)
			continue
		}
		if err := read.bytes.Set(part); err != nil || sized {
			return fmt.Errorf("%q is not a size, a percentage, or both, such as 1GiB,15%%", text)
		}
		sized = true
	}
	*w = read
	return nil
}

// Type is what the help says.
func (w *watermark) Type() string { return "watermark" }
