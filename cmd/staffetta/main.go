// Command staffetta is everything there is of Staffetta in one binary: the relay node, the
// gateway, a local federation, and the tools of institutions, operators and testers.
//
// Flags and signals are handled here and nowhere else.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/wire"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "staffetta:", err)
		os.Exit(exitCode(err))
	}
}

// run runs one command line. Tests call it as main does.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := checkCommand(args); err != nil {
		return err
	}
	return root.ExecuteContext(ctx)
}

// checkCommand refuses a word after a group of commands that names none of them. The library takes
// it for a wish for help, with or without the word help, and a script would go on. It parses by
// commands of its own: flags that may be repeated would have twice what is given.
func checkCommand(args []string) error {
	root := newRootCommand()
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

func newRootCommand() *cobra.Command {
	root := newRoot()
	root.AddCommand(newLocalCommand(), newNodeCommand(), newGatewayCommand(), newSendCommand(),
		newBenchCommand(), newTortureCommand(), newAdminCommand(),
		newVersionCommand(), newManCommand(), newSettingsTopic())
	explainCommands(root)
	return root
}

// newRoot is the command without those below it.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "staffetta",
		Short: "A federated relay that carries public institutions' messages to citizens",
		Long: `Staffetta carries messages of public institutions to citizens by fiscal code,
through regional relay nodes that replicate them with Raft.

Start here:

  staffetta local     a whole federation on this machine, with a first message sent`,
		Version:           version(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return resolveSettings(cmd) },
	}
	root.PersistentFlags().String("config", "", "file with values of flags, see staffetta help "+
		"settings")
	root.PersistentFlags().SetAnnotation("config", scopeKey, []string{""})
	usage := root.UsageFunc()
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		if err := usage(cmd); err != nil {
			return err
		}
		_, err := io.WriteString(cmd.OutOrStderr(), settingsHint(cmd))
		return err
	})
	return root
}

// version is the module's version, or the commit that the binary was built from.
func version() string {
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

// exitError carries an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func exitCode(err error) int {
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	if node.Final(err) {
		return node.ExitFinal
	}
	if errors.Is(err, wire.AwaitsApproval) {
		return exitAwaits
	}
	return 1
}

// logFlags are the flags of every long-running command.
type logFlags struct{ level string }

func (f *logFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.level, "log-level", "info", "debug, info, warn or error")
}

// logger writes JSON lines to the command's standard error.
func (f *logFlags) logger(cmd *cobra.Command) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, fmt.Errorf("--log-level %q is not debug, info, warn or error", f.level)
	}
	return slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(),
		&slog.HandlerOptions{Level: level})), nil
}
