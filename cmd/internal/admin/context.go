package admin

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/testcluster/process"
	"github.com/staffetta/staffetta/wire/link"
)

func newContextCommand() *cobra.Command {
	return command{
		use:   "context",
		short: "Manage contexts: named federations, so that commands need no connection flags",
		long: `Name the federations that you operate: where their nodes are, and the certificate, key and
authorities that you have there. The current one is meant by every command of admin that is told
nothing else; --context NAME means another.

Contexts lie in ~/.config/staffetta/contexts, or in $XDG_CONFIG_HOME/staffetta/contexts. They name
files and hold no secret.`,
		example: `  staffetta admin context add italia --node 10.12.0.1:7400 --node 10.3.0.1:7400 \
    --cert ada.crt --key ada.key --ca ca.crt
  staffetta admin context list
  staffetta admin status --context italia`,
		below: []*cobra.Command{newContextAddCommand(), newContextListCommand(),
			newContextUseCommand(), newContextRemoveCommand()},
	}.build()
}

func newContextAddCommand() *cobra.Command {
	var (
		f       namedContext
		replace bool
	)
	return command{
		use:   "add NAME --cert FILE --key FILE --ca FILE --node HOST:PORT | --dir DIR",
		short: "Add a context, which becomes the current one if it is the first",
		long: `Add a context. The files are read, so that what cannot work is refused here, and stay
where they are. The first context is the current one from then on.`,
		example: `  staffetta admin context add italia --node 10.12.0.1:7400 \
    --cert ada.crt --key ada.key --ca ca.crt
  staffetta admin context add here --dir /tmp/staffetta`,
		args: cobra.ExactArgs(1),
		flags: func(s *flagSet) {
			registerFederation(s.cmd, &f)
			s.BoolVar(&replace, "replace", false, "replace a context of this name")
			for _, name := range []string{"cert", "key", "ca", "node"} {
				s.cmd.MarkFlagsMutuallyExclusive("dir", name)
			}
			s.cmd.MarkFlagsOneRequired("dir", "cert")
			s.cmd.MarkFlagsRequiredTogether("cert", "key", "ca", "node")
		},
		do: func(c *invocation) (report, error) {
			f.name = c.args[0]
			return addContext(f, replace)
		},
	}.build()
}

// changedContext is what a command says that changed the file of contexts.
type changedContext struct {
	Did      string `json:"did"` // added, made current, forgotten
	Name     string `json:"name"`
	Identity string `json:"identity,omitempty"` // of one that was added
	Current  string `json:"current,omitempty"`  // the current one; empty: none
}

func (r changedContext) text(p *page) {
	switch {
	case r.Did == "made current":
		p.printf("the current context is %s\n", r.Name)
	case r.Did == "forgotten":
		p.printf("context %s is forgotten\n", r.Name)
	case r.Current == r.Name:
		p.printf("added context %s: %s, which is the current one\n", r.Name, r.Identity)
	case r.Current == "":
		p.printf("added context %s: %s; there is no current one\n", r.Name, r.Identity)
	default:
		p.printf("added context %s: %s; the current one is %s\n", r.Name, r.Identity, r.Current)
	}
}

// addContext checks a context and puts it on the list.
func addContext(f namedContext, replace bool) (r changedContext, err error) {
	if !contextName.MatchString(f.name) {
		return r, fmt.Errorf("%q is no name of a context: a-z, 0-9, and . _ - after the first", f.name)
	}
	for _, path := range []*string{&f.dir, &f.cert, &f.key, &f.ca} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return r, err
		}
	}
	for _, n := range f.nodes {
		if err := link.CheckAddr(n); err != nil {
			return r, fmt.Errorf("--node: %w", err)
		}
	}
	who, err := f.identity()
	if err != nil {
		return r, err
	}
	all, err := readContexts()
	if err != nil {
		return r, err
	}
	switch old := all.find(f.name); {
	case old == nil:
		all.all = append(all.all, f)
		all.sort()
	case replace:
		*old = f
	default:
		return r, fmt.Errorf("there is a context %s already: --replace replaces it", f.name)
	}
	if len(all.all) == 1 {
		all.current = f.name
	}
	return changedContext{"added", f.name, who, all.current}, all.write()
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
	return command{
		use:   "list",
		short: "List the contexts; * marks the current one",
		long: `List the contexts, with who you are in each and where its nodes are. * marks the current
one. Files that cannot be read any more are a context's problem, and named.`,
		example: `  staffetta admin context list --json`,
		do: func(c *invocation) (report, error) {
			all, err := readContexts()
			if err != nil {
				return nil, err
			}
			return viewsOf(all), nil
		},
	}.build()
}

// contextViews are what `context list` says.
type contextViews []contextView

func viewsOf(all *contexts) contextViews {
	list := contextViews{}
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
	return list
}

func (l contextViews) text(p *page) {
	if len(l) == 0 {
		p.printf("no context: make one with `staffetta admin context add`\n")
		return
	}
	p.row("", "NAME", "YOU ARE", "NODES")
	for _, v := range l {
		where, who := strings.Join(v.Nodes, ", "), v.Identity
		if v.Dir != "" {
			where = "those of " + v.Dir
		}
		if v.Problem != "" {
			who = "unusable: " + v.Problem
		}
		p.row(either(v.Current, "*", " "), v.Name, who, where)
	}
}

func newContextUseCommand() *cobra.Command {
	return command{
		use:   "use NAME",
		short: "Make a context the current one",
		long: `Make a context the current one: the one that every command of admin means when it is told
nothing else.`,
		example: `  staffetta admin context use italia`,
		args:    cobra.ExactArgs(1),
		flags:   func(f *flagSet) { f.cmd.ValidArgsFunction = completeContexts },
		do: func(c *invocation) (report, error) {
			return changeContext(c, "made current", func(all *contexts, name string) {
				all.current = name
			})
		},
	}.build()
}

func newContextRemoveCommand() *cobra.Command {
	return command{
		use:   "remove NAME",
		short: "Forget a context",
		long: `Forget a context. Its files stay. When it was the current one there is none any more, since
no other was meant.`,
		example: `  staffetta admin context remove italia`,
		args:    cobra.ExactArgs(1),
		flags:   func(f *flagSet) { f.cmd.ValidArgsFunction = completeContexts },
		do: func(c *invocation) (report, error) {
			return changeContext(c, "forgotten", func(all *contexts, name string) {
				all.all = slices.DeleteFunc(all.all,
					func(f namedContext) bool { return f.name == name })
				if all.current == name {
					all.current = ""
				}
			})
		},
	}.build()
}

// changeContext changes the file of contexts by do, which is given the name of one that is there.
func changeContext(c *invocation, did string, do func(all *contexts, name string)) (
	r changedContext, err error) {
	all, err := readContexts()
	if err != nil {
		return r, err
	}
	f, err := all.get(c.args[0])
	if err != nil {
		return r, err
	}
	name := f.name
	do(all, name)
	return changedContext{Did: did, Name: name, Current: all.current}, all.write()
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
