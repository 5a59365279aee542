package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/testcluster/process"
	"github.com/staffetta/staffetta/wire/link"
)

func newContextCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "context",
		Short: "Name the federations that you operate, so that no command needs to be told",
		Long: `Name the federations that you operate: where their nodes are, and the certificate, key and
authorities that you have there. The current one is meant by every command of admin that is told
nothing else; --context NAME means another.

Contexts lie in ~/.config/staffetta/contexts, or in $XDG_CONFIG_HOME/staffetta/contexts. They name
files and hold no secret.`,
		Example: `  staffetta admin context add italia --node 10.12.0.1:7400 --node 10.3.0.1:7400 \
    --cert ada.crt --key ada.key --ca ca.crt
  staffetta admin context list
  staffetta admin status --context italia`,
	}
	cmd.AddCommand(newContextAddCommand(), newContextListCommand(), newContextUseCommand(),
		newContextRemoveCommand())
	return cmd
}

func newContextAddCommand() *cobra.Command {
	var (
		f       namedContext
		replace bool
	)
	cmd := &cobra.Command{
		Use:   "add NAME --cert FILE --key FILE --ca FILE --node HOST:PORT | --dir DIR",
		Short: "Add a context, which becomes the current one if it is the first",
		Long: `Add a context. The files are read, so that what cannot work is refused here, and stay
where they are. The first context is the current one from then on.`,
		Example: `  staffetta admin context add italia --node 10.12.0.1:7400 \
    --cert ada.crt --key ada.key --ca ca.crt
  staffetta admin context add here --dir /tmp/staffetta`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.name = args[0]
			return addContext(cmd.OutOrStdout(), f, replace)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "dir", "", "directory of a local federation, instead of the four "+
		"flags below")
	flags.StringVar(&f.cert, "cert", "", "file with the operator's certificate (PEM)")
	flags.StringVar(&f.key, "key", "", "file with the certificate's key (PEM)")
	flags.StringVar(&f.ca, "ca", "", "file with the federation's authorities (PEM)")
	flags.StringSliceVar(&f.nodes, "node", nil, "address of a relay node, host:port; may be repeated")
	flags.BoolVar(&replace, "replace", false, "replace a context of this name")
	for _, name := range []string{"cert", "key", "ca", "node"} {
		cmd.MarkFlagsMutuallyExclusive("dir", name)
	}
	cmd.MarkFlagsOneRequired("dir", "cert")
	cmd.MarkFlagsRequiredTogether("cert", "key", "ca", "node")
	return cmd
}

// addContext checks a context and puts it on the list.
func addContext(out io.Writer, f namedContext, replace bool) error {
	if !contextName.MatchString(f.name) {
		return fmt.Errorf("%q is no name of a context: a-z, 0-9, and . _ - after the first", f.name)
	}
	var err error
	for _, path := range []*string{&f.dir, &f.cert, &f.key, &f.ca} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	for _, n := range f.nodes {
		if err := link.CheckAddr(n); err != nil {
			return fmt.Errorf("--node: %w", err)
		}
	}
	who, err := f.identity()
	if err != nil {
		return err
	}
	all, err := readContexts()
	if err != nil {
		return err
	}
	switch old := all.find(f.name); {
	case old == nil:
		all.all = append(all.all, f)
		all.sort()
	case replace:
		*old = f
	default:
		return fmt.Errorf("there is a context %s already: --replace replaces it", f.name)
	}
	if len(all.all) == 1 {
		all.current = f.name
	}
	if err := all.write(); err != nil {
		return err
	}
	state := ", which is the current one"
	if all.current != f.name {
		state = "; the current one is " + all.current
		if all.current == "" {
			state = "; there is no current one"
		}
	}
	_, err = fmt.Fprintf(out, "added context %s: %s%s\n", f.name, who, state)
	return err
}

// identity is who one is in a context. It fails when its files are of no use.
func (f *namedContext) identity() (string, error) {
	if f.dir != "" {
		cfg, err := process.Operator(f.dir)
		if err != nil {
			return "", err
		}
		return cfg.Credentials.Identity.String(), nil
	}
	c, err := link.LoadCertificate(f.cert, f.key, f.ca, "")
	if err != nil {
		return "", err
	}
	if c.Identity.Role != link.RoleOperator {
		return "", fmt.Errorf("--cert: the certificate is for %s, not for an operator", c.Identity)
	}
	return c.Identity.String(), nil
}

// contextView is a context as it is shown.
type contextView struct {
	Name     string   `json:"name"`
	Current  bool     `json:"current"`
	Identity string   `json:"identity,omitempty"`
	Problem  string   `json:"problem,omitempty"`
	Dir      string   `json:"dir,omitempty"`
	Cert     string   `json:"cert,omitempty"`
	Key      string   `json:"key,omitempty"`
	CA       string   `json:"ca,omitempty"`
	Nodes    []string `json:"nodes,omitempty"`
}

func newContextListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the contexts; * marks the current one",
		Long: `List the contexts, with who you are in each and where its nodes are. * marks the current
one. Files that cannot be read any more are a context's problem, and named.`,
		Example: `  staffetta admin context list --json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := readContexts()
			if err != nil {
				return err
			}
			return printContexts(cmd.OutOrStdout(), all, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printContexts(out io.Writer, all *contexts, asJSON bool) error {
	list := []contextView{}
	for i := range all.all {
		f := &all.all[i]
		v := contextView{Name: f.name, Current: f.name == all.current, Dir: f.dir, Cert: f.cert,
			Key: f.key, CA: f.ca, Nodes: f.nodes}
		who, err := f.identity()
		if v.Identity = who; err != nil {
			v.Problem = err.Error()
		}
		list = append(list, v)
	}
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "no context: make one with `staffetta admin context add`")
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\tNAME\tYOU ARE\tNODES")
	for _, v := range list {
		mark, where, who := " ", strings.Join(v.Nodes, ", "), v.Identity
		if v.Current {
			mark = "*"
		}
		if v.Dir != "" {
			where = "those of " + v.Dir
		}
		if v.Problem != "" {
			who = "unusable: " + v.Problem
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", mark, v.Name, who, where)
	}
	return table.Flush()
}

func newContextUseCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "use NAME",
		Short: "Make a context the current one",
		Long: `Make a context the current one: the one that every command of admin means when it is told
nothing else.`,
		Example:           `  staffetta admin context use italia`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeContexts,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := readContexts()
			if err != nil {
				return err
			}
			f, err := all.get(args[0])
			if err != nil {
				return err
			}
			all.current = f.name
			if err := all.write(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "the current context is %s\n", f.name)
			return err
		},
	}
}

func newContextRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Forget a context",
		Long: `Forget a context. Its files stay. When it was the current one there is none any more, since
no other was meant.`,
		Example:           `  staffetta admin context remove italia`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeContexts,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := readContexts()
			if err != nil {
				return err
			}
			f, err := all.get(args[0])
			if err != nil {
				return err
			}
			name := f.name
			all.all = slices.DeleteFunc(all.all, func(f namedContext) bool { return f.name == name })
			if all.current == name {
				all.current = ""
			}
			if err := all.write(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "context %s is forgotten\n", name)
			return err
		},
	}
}

// completeContexts completes the name of a context.
func completeContexts(_ *cobra.Command, args []string, _ string) ([]string,
	cobra.ShellCompDirective) {
	all, err := readContexts()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, f := range all.all {
		names = append(names, f.name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// errNoFederation is what a command says that does not know where to go.
var errNoFederation = errors.New("which federation? Give --dir, or --cert, --key, --ca and " +
	"--node, or name them once with admin context add")
