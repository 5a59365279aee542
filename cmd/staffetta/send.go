package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/sender"
	"golang.org/x/term"
)

type sendFlags struct {
	gateway, file, results, ca string
	key                        cli.KeyFlags
	concurrency                int
	giveUp                     time.Duration
	oneByOne, quiet            bool
}

func newSendCommand() *cobra.Command {
	var flags sendFlags
	cmd := &cobra.Command{
		Use:   "send --gateway URL --key-file FILE --file messages.ndjson [--results out.ndjson]",
		Short: "Send a file of messages, each exactly once",
		Long: `Send a file of messages: one a line, each a NewMessage as POST /api/v1/messages takes it,
with its fiscal_code.

No message is sent twice, whatever is retried, interrupted or run again: each line is sent with an
idempotency key that follows from the text of its line, and from how many equal lines stand before
it (two equal lines are two messages). So the same file, sent again, gets the first answers; lines
may be added, changed and removed without sending the others again.

With --results, every line gets a result line with the same number, in the same order: line,
idempotency_key, http_status, id, status, rejection_reason, error. Running the command again
with the same file and results finishes what is left: lines without a result, and lines that
ended for lack of an answer ("retriable": true).

Lines go in bulk requests, many in each; to a gateway that takes none, and with --one-by-one, each
goes in a request of its own. They are tried again after network errors, 408, 425, 429 and 5xx, as
the gateway's Retry-After asks. Ctrl-C lets requests under way finish. The exit code is 0 when every
line has a verdict, REJECTED included, 1 when lines ended in an error or the run could not go on,
and 130 after Ctrl-C.`,
		Example: `  staffetta send --gateway http://127.0.0.1:8080 --key-file key.txt \
    --file messages.ndjson --results out.ndjson`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSend(cmd, &flags) },
	}
	f := cmd.Flags()
	f.StringVar(&flags.gateway, "gateway", "", "base URL of a gateway, as http://127.0.0.1:8080")
	flags.key.Register(cmd)
	f.StringVar(&flags.file, "file", "", "file of messages; - is standard input")
	f.StringVar(&flags.results, "results", "", "file of results; - is standard output, where "+
		"nothing is resumed")
	f.BoolVar(&flags.oneByOne, "one-by-one", false, "one request for each line")
	f.IntVar(&flags.concurrency, "concurrency", sender.ConcurrencyDefault, fmt.Sprintf(
		"requests at a time where each has one line, at most %d", sender.ConcurrencyMax))
	f.DurationVar(&flags.giveUp, "give-up", sender.GiveUpDefault,
		"how long one line is tried before it counts as failed")
	f.StringVar(&flags.ca, "ca", "", "file with the authorities (PEM) of a gateway's certificate")
	f.BoolVar(&flags.quiet, "quiet", false, "no progress and no summary")
	cmd.MarkFlagRequired("gateway")
	cmd.MarkFlagRequired("file")
	return cmd
}

func runSend(cmd *cobra.Command, flags *sendFlags) (err error) {
	key, err := flags.key.Read()
	if err != nil {
		return err
	}
	if key == "" {
		return errors.New("no key: give --key-file, --key or the variable " + cli.KeyEnv)
	}
	config := sender.Config{Gateway: flags.gateway, Key: key, OneByOne: flags.oneByOne,
		Concurrency: flags.concurrency, GiveUp: flags.giveUp}
	if flags.ca != "" {
		if config.Transport, err = sender.TransportWithRoots(flags.ca,
			flags.concurrency); err != nil {
			return fmt.Errorf("--ca: %w", err)
		}
	}
	in, size, err := openInput(flags.file, cmd.InOrStdin())
	if err != nil {
		return err
	}
	defer in.Close()
	config.In, config.Size = in, size

	summaryTo := cmd.OutOrStdout()
	switch flags.results {
	case "":
	case "-":
		config.Results, summaryTo = sender.NewResults(cmd.OutOrStdout()), cmd.ErrOrStderr()
	default:
		if config.Results, err = sender.OpenResults(flags.results); err != nil {
			return err
		}
	}
	if config.Results != nil {
		defer func() { err = errors.Join(err, config.Results.Close()) }()
	}
	meter := flags.meter(cmd.ErrOrStderr())
	if meter != nil {
		config.Progress = meter.Update
	}
	s, err := sender.New(config)
	if err != nil {
		return err
	}
	summary, err := s.Run(cmd.Context())
	if meter != nil {
		meter.Close()
	}
	if !flags.quiet {
		summary.Write(summaryTo)
	}
	return sendError(&summary, err)
}

// sendError is a run's end as an exit code and a reason.
func sendError(summary *sender.Summary, err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return &cli.ExitError{Code: cli.ExitInterrupted, Err: errors.New("interrupted; the same " +
			"command again finishes the rest")}
	case err != nil:
		return err
	case summary.Failed > 0:
		return fmt.Errorf("%d of %d lines ended in an error", summary.Failed, summary.Lines)
	}
	return nil
}

// meter draws on a terminal only; elsewhere a progress line is noise.
func (f *sendFlags) meter(w io.Writer) *sender.Meter {
	file, ok := w.(*os.File)
	if f.quiet || !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return sender.NewMeter(file)
}

// openInput opens the file of messages; its size is 0 when it has none.
func openInput(path string, stdin io.Reader) (io.ReadCloser, int64, error) {
	if path == "-" {
		return io.NopCloser(bufio.NewReader(stdin)), 0, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("--file: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory", path)
	}
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("--file: %w", err)
	}
	return f, info.Size(), nil
}
