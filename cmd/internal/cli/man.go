package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write a manual page for each command",
		Long: `Write a manual page (section 1) for each command into a directory, which is made when
missing. They say what --help says.`,
		Example: `  staffetta man /usr/local/share/man/man1`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := writeManual(cmd.Root(), args[0])
			if err != nil {
				return fmt.Errorf("write manual pages: %w", err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d pages in %s\n", n, args[0])
			return err
		},
	}
}

// writeManual writes the pages of a command and of those below it, and returns how many.
func writeManual(cmd *cobra.Command, dir string) (n int, err error) {
	if cmd.Hidden {
		return 0, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	cmd.InitDefaultHelpFlag()
	path := filepath.Join(dir, manName(cmd)+".1")
	if err := os.WriteFile(path, []byte(manPage(cmd)), 0o644); err != nil {
		return 0, err
	}
	n = 1
	for _, c := range cmd.Commands() {
		below, err := writeManual(c, dir)
		if n += below; err != nil {
			return n, err
		}
	}
	return n, nil
}

func manName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manPage is a page in the language of man(7). It has no date: the same program writes the same
// pages.
func manPage(cmd *cobra.Command) string {
	var b strings.Builder
	name := manName(cmd)
	short := strings.Join(strings.Fields(cmd.Short), " ")
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"%s\" \"Staffetta\"\n.SH NAME\n%s \\- %s\n",
		manText(strings.ToUpper(name)), manText("staffetta "+Version()), manText(name), manText(short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.nf\n%s\n.fi\n", manText(cmd.UseLine()))
	long := cmd.Long
	if long == "" {
		long = cmd.Short
	}
	manBlock(&b, "DESCRIPTION", long)
	manFlags(&b, "OPTIONS", cmd, cmd.NonInheritedFlags())
	manFlags(&b, "OPTIONS OF ALL COMMANDS", cmd, cmd.InheritedFlags())
	manBlock(&b, "EXAMPLES", cmd.Example)
	var also []string
	if cmd.HasParent() {
		also = append(also, manName(cmd.Parent()))
	}
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			also = append(also, manName(c))
		}
	}
	if len(also) > 0 {
		b.WriteString(".SH SEE ALSO\n")
		for i, page := range also {
			comma := ","
			if i == len(also)-1 {
				comma = ""
			}
			fmt.Fprintf(&b, ".BR %s (1)%s\n", manText(page), comma)
		}
	}
	return b.String()
}

// manBlock writes a section of text whose lines and columns stay as they are.
func manBlock(b *strings.Builder, title, text string) {
	if text == "" {
		return
	}
	fmt.Fprintf(b, ".SH %s\n.nf\n", title)
	for line := range strings.Lines(text) {
		b.WriteString(manText(strings.TrimRight(line, "\n")) + "\n")
	}
	b.WriteString(".fi\n")
}

func manFlags(b *strings.Builder, title string, cmd *cobra.Command, flags *pflag.FlagSet) {
	begun := false
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		if !begun {
			fmt.Fprintf(b, ".SH %s\n", title)
			begun = true
		}
		names := "--" + f.Name
		if f.Shorthand != "" {
			names = "-" + f.Shorthand + ", " + names
		}
		kind, usage := pflag.UnquoteUsage(f)
		if kind != "" {
			names += " " + kind
		}
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", manText(names),
			manText(strings.Join(strings.Fields(usage), " ")))
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" {
			fmt.Fprintf(b, "Default: %s.\n", manText(f.DefValue))
		}
		if !typedOnly(f) {
			fmt.Fprintf(b, "Variable: %s.\n", manText(VariableOf(cmd, f)))
		}
	})
}

// manText escapes a line: no character of it is a command or a dash of typography.
func manText(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~",
		`\(ti`, `"`, `\(dq`).Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}
