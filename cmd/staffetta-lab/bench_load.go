package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/load"
	"github.com/staffetta/staffetta/internal/localfile"
)

// writer is a report.
type writer interface{ Write(io.Writer) error }

// measure makes a command's RunE of a measurement.
func (f *benchFlags) measure(run func(context.Context) (writer, error)) func(*cobra.Command,
	[]string) error {
	return func(cmd *cobra.Command, _ []string) error {
		if err := f.complete(); err != nil {
			return err
		}
		report, err := run(cmd.Context())
		if err != nil {
			return interrupted(err)
		}
		return f.target.print(cmd, report)
	}
}

func newBenchLatencyCommand() *cobra.Command {
	var flags benchFlags
	cmd := &cobra.Command{
		Use:   "latency --dir DIR",
		Short: "Measure latency at half of the highest throughput",
		Long: `Measure the latency of one message at a time, find the highest throughput over
--concurrency connections (default 512), and then offer half of it: how much slower are messages
there, and when did they wait longest? --duration is that of each of the three.`,
		Example: `  staffetta-lab bench latency --dir /tmp/federation`,
		Args:    cobra.NoArgs,
		RunE: flags.measure(func(ctx context.Context) (writer, error) {
			return load.Half(ctx, flags.load)
		}),
	}
	flags.register(cmd)
	return cmd
}

func newBenchFairnessCommand() *cobra.Command {
	var flags benchFlags
	cmd := &cobra.Command{
		Use:   "fairness --dir DIR",
		Short: "Measure what one institution's load does to another one",
		Long: `Measure the latency of an institution that sends one message at a time: alone, while
another one offers 70 percent of the highest throughput one message a request, and while that other
one streams bulk as fast as it is let. The two are the first and the last institution of the local
federation that may send without limits. --duration is that of each of the four runs.`,
		Example: `  staffetta-lab bench fairness --dir /tmp/federation`,
		Args:    cobra.NoArgs,
		RunE: flags.measure(func(ctx context.Context) (writer, error) {
			quiet := flags.load
			var err error
			if quiet.Key, err = flags.target.otherKey(flags.load.Key); err != nil {
				return nil, err
			}
			return load.Fairness(ctx, quiet, flags.load)
		}),
	}
	flags.register(cmd)
	return cmd
}

// otherKey is the key of a service that is not of key's institution, and whose sending nothing
// limits.
func (f *targetFlags) otherKey(key string) (string, error) {
	if f.path() == "" {
		return "", errors.New("give --dir of a local federation")
	}
	file, err := localfile.Read(f.path())
	if err != nil {
		return "", err
	}
	var institution string
	for _, s := range file.Services {
		if s.PrimaryKey == key || s.SecondaryKey == key {
			institution = s.OrganizationFiscalCode
		}
	}
	for _, s := range slices.Backward(file.Services) {
		if s.OrganizationFiscalCode != institution && slices.Contains(s.Scopes, "ApiMessageWrite") &&
			slices.Contains(s.Scopes, "ApiNoRateLimit") {
			return s.PrimaryKey, nil
		}
	}
	return "", errors.New("the federation has no second institution that may send without limits; " +
		"a new one has")
}

func newBenchOverloadCommand() *cobra.Command {
	var flags benchFlags
	var capacity float64
	cmd := &cobra.Command{
		Use:   "overload --dir DIR --capacity N | --bulk",
		Short: "Offer a federation three times what it can do",
		Long: `Offer three times the capacity that the gateway is configured with, one message a request,
at that rate whatever the answers do (default: 1024 connections). How much of the capacity is used,
and how fast, and how politely, is the rest refused?

With --bulk, find what --concurrency streams get, and then have three times as many.`,
		Example: `  staffetta local --dir /tmp/federation --gateway-flag capacity=5000
  staffetta-lab bench overload --dir /tmp/federation --capacity 5000
  staffetta-lab bench overload --dir /tmp/federation --bulk`,
		Args: cobra.NoArgs,
		RunE: flags.measure(func(ctx context.Context) (writer, error) {
			return load.Overload(ctx, flags.load, capacity)
		}),
	}
	flags.register(cmd)
	cmd.Flags().Float64Var(&capacity, "capacity", 0, "messages a second that the gateway is "+
		"configured to take")
	cmd.Flags().BoolVar(&flags.load.Bulk, "bulk", false, "overload with bulk streams")
	cmd.MarkFlagsMutuallyExclusive("capacity", "bulk")
	cmd.MarkFlagsOneRequired("capacity", "bulk")
	return cmd
}

func newBenchReadsCommand() *cobra.Command {
	var flags benchFlags
	var config load.ReadsConfig
	cmd := &cobra.Command{
		Use:   "reads --dir DIR",
		Short: "Measure how long citizens wait for their inboxes",
		Long: `Send messages to some citizens, log them in with the test login, and have them ask for the
first page of their inbox and for messages, one list to nine messages, at a rate, whatever the
answers do; beside that, messages are written to all citizens.

The readers' other sessions end, and every run adds to their inboxes.`,
		Example: `  staffetta-lab bench reads --dir /tmp/federation`,
		Args:    cobra.NoArgs,
		RunE: flags.measure(func(ctx context.Context) (writer, error) {
			config.Config = flags.load
			return load.Reads(ctx, config)
		}),
	}
	flags.register(cmd)
	f := cmd.Flags()
	f.Float64Var(&config.Reads, "reads", 2000, "lists and messages to ask for in a second")
	f.Float64Var(&flags.load.Rate, "write-rate", 0, "messages to write in a second beside "+
		"(default: none)")
	f.IntVar(&config.Readers, "readers", load.ReadersDefault, "citizens who read")
	f.IntVar(&config.Messages, "messages", load.ReaderMessagesDefault, fmt.Sprintf("messages to "+
		"send to each reader before, up to %d", load.ReaderMessagesMax))
	f.BoolVar(&flags.load.Bulk, "bulk", false, "send these, and what is written beside, as bulk")
	return cmd
}
