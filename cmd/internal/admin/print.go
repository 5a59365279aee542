package admin

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
	"golang.org/x/sys/unix"
)

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
