package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/wire"
)

const (
	// ExitAwaits is the exit code of a command that was logged, and waits for a second operator.
	ExitAwaits = 4
	// ExitInterrupted is what shells expect of a process that a Ctrl-C ended.
	ExitInterrupted = 130
)

// Main runs the process's command line under a new root command, and ends the process with an exit
// code that says what came of it. SIGINT and SIGTERM end the command's context.
func Main(root func() *cobra.Command) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := Run(ctx, root, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", root().Name(), err)
		os.Exit(ExitCode(err))
	}
}

// Run runs one command line. Tests call it as Main does.
func Run(ctx context.Context, root func() *cobra.Command, args []string, stdin io.Reader,
	stdout, stderr io.Writer) error {
	if err := CheckCommand(root(), args); err != nil {
		return err
	}
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	return cmd.ExecuteContext(ctx)
}

// CheckCommand refuses a word after a group of commands that names none of them. The library takes
// it for a wish for help, with or without the word help, and a script would go on. It parses by a
// root of its own: flags that may be repeated would have twice what is given.
func CheckCommand(root *cobra.Command, args []string) error {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	help := len(args) > 0 && args[0] == "help"
	if help {
		args = args[1:]
	}
	cmd, rest, err := root.Find(args)
	if err != nil && help {
		return err
	}
	if err != nil || !cmd.HasAvailableSubCommands() {
		return nil // said when the command runs
	}
	cmd.InitDefaultHelpFlag() // else it is an unknown one
	if err := cmd.ParseFlags(rest); err != nil || cmd.Flags().NArg() == 0 {
		return nil
	}
	if cmd.Runnable() {
		return cmd.ValidateArgs(cmd.Flags().Args())
	}
	word := cmd.Flags().Arg(0)
	message := fmt.Sprintf("unknown command %q for %q", word, cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2 // the library's default, which it sets where it uses it
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		message += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return errors.New(message)
}

// NewRoot completes a program's root command, which has a name and its help, with what every
// program has: the settings of flags, and the commands version, man and the topic settings.
// Contexts says what a context gives a command's flags; nil: the program has no contexts.
func NewRoot(root *cobra.Command, contexts func(*cobra.Command) ContextSource) *cobra.Command {
	root.Version = Version()
	root.SilenceErrors, root.SilenceUsage = true, true
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		return resolveSettings(cmd, contexts)
	}
	root.PersistentFlags().String("config", "", "file with values of flags, see "+root.Name()+
		" help settings")
	root.PersistentFlags().SetAnnotation("config", ScopeKey, []string{""})
	usage := root.UsageFunc()
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		if err := usage(cmd); err != nil {
			return err
		}
		_, err := io.WriteString(cmd.OutOrStderr(), settingsHint(cmd))
		return err
	})
	root.AddCommand(newVersionCommand(), newManCommand(), newSettingsTopic())
	return root
}

// Version is the module's version, or the commit that the binary was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = s.Value
		}
	}
	return v
}

// ExitError carries an exit code of its own.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string { return e.Err.Error() }
func (e *ExitError) Unwrap() error { return e.Err }

// ExitCode is the exit code that says what came of a command.
func ExitCode(err error) int {
	var e *ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.Code
	case node.Final(err):
		return node.ExitFinal
	case errors.Is(err, wire.AwaitsApproval):
		return ExitAwaits
	}
	return 1
}
