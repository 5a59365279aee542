// Command compare measures Staffetta against NATS JetStream, etcd and PostgreSQL on this
// machine: the same messages, as three replicas of which a majority has each message on disk
// before it is acknowledged. README.md of the module says how, and how to read the result.
//
// The files:
//
//	settings.go   flags
//	run.go        rounds and turns
//	turn.go       one system's turn: start, checks, steps, stop
//	report.go     the result, for machines; medians
//	table.go      the result, for people; ratios
//	host.go       the machine, and the binary of the product
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/staffetta/staffetta/bench/system"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// run runs one command line.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 3 && args[0] == system.ServeCommand {
		return system.Serve(ctx, args[1], args[2])
	}
	s, err := parseSettings(args, stderr)
	if err != nil {
		return err
	}
	report, err := compare(ctx, s, stderr)
	if err != nil {
		return err
	}
	if err := report.writeTables(stdout); err != nil {
		return err
	}
	if len(report.Failures) > 0 {
		return fmt.Errorf("%d failures: what they touch is not in the tables",
			len(report.Failures))
	}
	return nil
}
