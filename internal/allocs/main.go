// Command allocs runs the benchmarks of the way of a message and holds their garbage, allocations
// and bytes, against baseline.txt: these counts are the same on every machine, busy or idle, while
// times are not. Each benchmark runs a fixed number of times, on one processor.
//
//	go run ./internal/allocs          compares, and fails when something makes more than it did
//	go run ./internal/allocs -update  makes what is measured now the baseline
//
// It is run at the module's root.
//
// Map of the files:
//
//	main.go      the command
//	baseline.go  baseline.txt, read and written
//	measure.go   running benchmarks
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
)

const (
	baselineFile = "internal/allocs/baseline.txt"
	// bytesSlack is the part by which bytes may grow: they follow the sizes of maps and buffers,
	// which double, and what pools lost to the collector.
	bytesSlack = 0.10
	// runMax bounds the whole run, building included.
	runMax = 5 * time.Minute
)

func main() {
	update := flag.Bool("update", false, "make what is measured now the baseline")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "allocs: unknown argument", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(os.Stdout, *update); err != nil {
		fmt.Fprintln(os.Stderr, "allocs:", err)
		os.Exit(1)
	}
}

// run measures what the baseline names, and compares with it or replaces its figures.
func run(out io.Writer, update bool) error {
	text, err := os.ReadFile(baselineFile)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("no %s here: run at the module's root", baselineFile)
	}
	if err != nil {
		return err
	}
	base, err := parse(string(text))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), runMax)
	defer cancel()
	now, err := measureAll(ctx, base.rows())
	if err != nil {
		return err
	}
	if update {
		return os.WriteFile(baselineFile, []byte(base.with(now)), 0o644)
	}
	return compare(out, base.rows(), now)
}

// compare prints a table and returns an error when a benchmark makes more garbage than it did.
func compare(out io.Writer, base []row, now map[string]counts) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "benchmark\tallocs/op\twas\tB/op\twas\t")
	worse := 0
	for _, r := range base {
		got := now[r.name()]
		word := r.judge(got)
		if word == more {
			worse++
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%s\n", r.name(), got.allocs, r.allocs, got.bytes,
			r.bytes, word)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if worse > 0 {
		return fmt.Errorf("%d of %d benchmarks make more garbage than %s says", worse, len(base),
			baselineFile)
	}
	return nil
}
