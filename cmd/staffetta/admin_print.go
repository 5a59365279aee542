package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
	"golang.org/x/sys/unix"
)

// unfinished is a report that can tell of work that was ordered and is not done. What is not done
// is no success, however much of it is.
type unfinished interface {
	// failure says what is not done; nil: nothing.
	failure() error
}

// printReport prints what a command has to say, report as indented JSON or what text writes, and
// returns what is not done by the report's own word.
func printReport(out io.Writer, asJSON bool, report any, text func(io.Writer) error) error {
	var failure error
	if r, ok := report.(unfinished); ok {
		failure = r.failure()
	}
	if !asJSON {
		return errors.Join(text(out), failure)
	}
	b, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("the report can not be written as JSON: %w", err)
	}
	_, err = fmt.Fprintf(out, "%s\n", b)
	return errors.Join(err, failure)
}

// viewFlags are those of a command that shows something.
type viewFlags struct {
	operatorFlags
	asJSON bool
}

func (f *viewFlags) register(cmd *cobra.Command) {
	f.operatorFlags.register(cmd)
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
}

// with calls f with a client that ends with it, for at most wait.
func (f *operatorFlags) with(cmd *cobra.Command, wait time.Duration,
	do func(context.Context, *operator.Client) error) error {
	op, err := f.client()
	if err != nil {
		return err
	}
	defer op.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), wait)
	defer cancel()
	return do(ctx, op)
}

// staleAfter is how old an answer from a replica may be before the operator is told.
const staleAfter = 10 * time.Second

// warnStale says that a node answered that has not heard from the federation's leader.
func warnStale(errs io.Writer, f wire.Freshness) {
	if age := time.Duration(f.ContactMillis) * time.Millisecond; age > staleAfter {
		fmt.Fprintf(errs, "%s has not heard from the federation's leader for %s: what it says may "+
			"be as old; ask another with --node\n", f.Node, age.Round(time.Second))
	}
}

// terminal is how wide the terminal is that out is; 0: it is none.
func terminal(out io.Writer) (columns int) {
	f, ok := out.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return max(int(size.Col), 1)
}
