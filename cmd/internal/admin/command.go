package admin

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

// command is a command of an operator, as it is declared. What such commands have in common follows
// from it: --json, and with dry --dry-run; for one that asks the federation the operator's flags,
// and a client that ends with it; how its report is printed; and what its errors begin with.
type command struct {
	use, short, long, example string

	args  cobra.PositionalArgs // nil: none
	flags func(*flagSet)       // its own; nil: none
	// dry is the help of --dry-run; empty for a command that only shows something.
	dry string
	// check refuses what cannot be meant, before anybody is asked. Optional.
	check func(*invocation) error
	// One of do, ask and change carries it out: do on this machine, ask with a client. Nothing is
	// printed of a report when there is an error: what a report has to tell of a failure is its
	// Failure. A nil report is that of a command that has written what there is.
	do, ask func(*invocation) (report, error)
	// bound is how long ask may last; nil: adminWait.
	bound func() time.Duration

	// change says what a command changes in the map that does nothing else. Its follow waits until
	// that has its effect, for as long as --wait says, and next is what is then to be done. Both
	// are optional.
	change func(*invocation) (*wire.MemberChange, error)
	follow func(*invocation, *wire.MemberChange) error
	next   string

	below []*cobra.Command
}

// The help of --dry-run, as a rule.
const (
	dryDo     = "say what would be done, and do nothing"
	dryChange = "say what would change, and change nothing"
	dryWrite  = "check everything, and write nothing"
	dryPut    = "check it and say what would change"
)

// unbounded is the bound of a command that lasts until it is done or interrupted.
const unbounded = time.Duration(0)

func within(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

// invocation is one run of a command.
type invocation struct {
	// ctx ends with the command's bound. With --dry-run it is a rehearsal: calls that change
	// something only ask whether this operator might make them.
	ctx    context.Context
	op     *operator.Client // nil but in ask
	who    operatorFlags
	args   []string
	dry    bool // --dry-run
	asJSON bool // --json

	given     *pflag.FlagSet
	in        io.Reader
	out, errs io.Writer
}

// flagSet takes the flags of a command.
type flagSet struct {
	*pflag.FlagSet
	cmd *cobra.Command
	who *operatorFlags
}

// need takes a text that has to be given.
func (f *flagSet) need(to *string, name, help string) {
	f.StringVar(to, name, "", help)
	f.required(name)
}

func (f *flagSet) required(names ...string) {
	for _, name := range names {
		f.cmd.MarkFlagRequired(name)
	}
}

// build makes the library's command of a declaration.
func (d command) build() *cobra.Command {
	if d.change != nil {
		d = d.changingTheMap()
	}
	cmd := &cobra.Command{Use: d.use, Short: d.short, Long: d.long, Example: d.example, Args: d.args}
	cmd.AddCommand(d.below...)
	if d.do == nil && d.ask == nil {
		return cmd // it has only others below it
	}
	if d.args == nil {
		cmd.Args = cobra.NoArgs
	}
	c := &invocation{}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c.ctx, c.args, c.given = cmd.Context(), args, cmd.Flags()
		c.in, c.out, c.errs = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
		if err := d.run(c); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(append(nameOf(cmd), args...), " "), err)
		}
		return nil
	}
	cmd.Flags().BoolVar(&c.asJSON, "json", false, "print JSON")
	if d.dry != "" {
		cmd.Flags().BoolVar(&c.dry, "dry-run", false, d.dry)
	}
	if d.ask != nil {
		c.who.register(cmd)
	}
	if d.flags != nil {
		d.flags(&flagSet{cmd.Flags(), cmd, &c.who})
	}
	return cmd
}

// group is a command that only has others below it.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	return command{use: use, short: short, below: below}.build()
}

// nameOf is a command's name as an operator says it: without the program's, and without admin.
func nameOf(cmd *cobra.Command) []string {
	words := strings.Fields(cmd.CommandPath())[1:]
	if words[0] == "admin" {
		words = words[1:]
	}
	return words
}

func (d command) run(c *invocation) error {
	if d.check != nil {
		if err := d.check(c); err != nil {
			return err
		}
	}
	do := d.do
	if d.ask != nil {
		bound := adminWait
		if d.bound != nil {
			bound = d.bound()
		}
		do = func(c *invocation) (r report, err error) {
			err = c.asking(bound, func() error { r, err = d.ask(c); return err })
			return r, err
		}
	}
	r, err := do(c)
	if err != nil || r == nil {
		return err
	}
	return c.print(c.out, r)
}

// asking calls do while c has a client, for at most bound.
func (c *invocation) asking(bound time.Duration, do func() error) (err error) {
	if c.op, err = c.who.client(); err != nil {
		return err
	}
	defer c.op.Close()
	if c.dry {
		c.ctx = operator.Rehearse(c.ctx)
	}
	if bound != unbounded {
		var cancel context.CancelFunc
		c.ctx, cancel = context.WithTimeout(c.ctx, bound)
		defer cancel()
	}
	return do()
}

// print prints a report as the command's flags say.
func (c *invocation) print(out io.Writer, r report) error {
	return cli.PrintReport(out, c.asJSON, r, func(out io.Writer) error {
		_, err := io.WriteString(out, textOf(r))
		return err
	})
}

// tell tells of progress, or of what the operator should know besides.
func (c *invocation) tell(format string, args ...any) { fmt.Fprintf(c.errs, format, args...) }

// open opens a file that a flag names, - for standard input.
func (c *invocation) open(file string) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(c.in), nil
	}
	return os.Open(file)
}

// staleAfter is how old an answer from a replica may be before the operator is told.
const staleAfter = 10 * time.Second

// warnStale says that a node answered that has not heard from the federation's leader.
func (c *invocation) warnStale(f wire.Freshness) {
	if age := time.Duration(f.ContactMillis) * time.Millisecond; age > staleAfter {
		c.tell("%s has not heard from the federation's leader for %s: what it says may be as old; "+
			"ask another with --node\n", f.Node, age.Round(time.Second))
	}
}
