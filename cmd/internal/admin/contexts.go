package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/staffetta/staffetta/cmd/internal/cli"
)

// operatorScope is the scope of the flags that say who an operator is and where the federation is:
// one for all commands.
const operatorScope = "admin"

// namedContext is a context: a federation, and who one is to it. Its members are what the
// operator's flags of the same names say.
type namedContext struct {
	name          string
	dir           string // of a local federation, instead of the others
	cert, key, ca string
	nodes         []string
}

// contexts are the federations that an operator named, and the one that is meant by default.
type contexts struct {
	path    string
	current string // empty: none
	all     []namedContext
}

// contextName is the form of a context's name.
var contextName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// contextsPath is the file of contexts: $XDG_CONFIG_HOME/staffetta/contexts, where the variable is
// by default ~/.config.
func contextsPath() (string, error) {
	base := os.Getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(base) { // its specification: a relative one is to be ignored
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("the file of contexts has no place: %w", err)
		}
		base = filepath.Join(home, ".config")
	}
	return filepath.Join(base, "staffetta", "contexts"), nil
}

// readContexts reads the file; a missing one holds no context.
func readContexts() (*contexts, error) {
	path, err := contextsPath()
	if err != nil {
		return nil, err
	}
	c := &contexts{path: path}
	file, err := cli.ReadSettings(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("contexts: %w", err)
	}
	for name := range file.Sections {
		if !contextName.MatchString(name) {
			return nil, fmt.Errorf("contexts: %w", file.Fail(file.Sections[name],
				"[%s] is no name of a context", name))
		}
		c.all = append(c.all, namedContext{name: name})
	}
	c.sort()
	for _, s := range file.All {
		if !c.take(s) {
			return nil, fmt.Errorf("contexts: %w", file.Fail(s.Line, "unknown name %s", s.Name))
		}
	}
	if c.current != "" && c.find(c.current) == nil {
		return nil, fmt.Errorf("contexts: %s: the current context %s is not there", path, c.current)
	}
	return c, nil
}

// take takes in one line, and reports whether it knows its name.
func (c *contexts) take(s cli.Setting) bool {
	if s.Section == "" {
		c.current = s.Value
		return s.Name == "current"
	}
	f := c.find(s.Section)
	switch s.Name {
	case "dir":
		f.dir = s.Value
	case "cert":
		f.cert = s.Value
	case "key":
		f.key = s.Value
	case "ca":
		f.ca = s.Value
	case "node":
		f.nodes = append(f.nodes, s.Value)
	default:
		return false
	}
	return true
}

// write replaces the file by rename: who reads meanwhile sees the old one or the new one.
func (c *contexts) write() (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write contexts: %w", err)
		}
	}()
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(c.path), ".contexts-*") // 0600
	if err != nil {
		return err
	}
	_, err = tmp.WriteString(c.String())
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), c.path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

// String is the file's content.
func (c *contexts) String() string {
	var b strings.Builder
	b.WriteString("# Written by `staffetta admin context`.\n")
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s = %s\n", name, cli.QuoteSetting(value))
		}
	}
	line("current", c.current)
	for _, f := range c.all {
		fmt.Fprintf(&b, "\n[%s]\n", f.name)
		line("dir", f.dir)
		line("cert", f.cert)
		line("key", f.key)
		line("ca", f.ca)
		for _, n := range f.nodes {
			line("node", n)
		}
	}
	return b.String()
}

func (c *contexts) sort() {
	slices.SortFunc(c.all, func(a, b namedContext) int { return strings.Compare(a.name, b.name) })
}

// find is the context of a name; nil: there is none.
func (c *contexts) find(name string) *namedContext {
	if i := slices.IndexFunc(c.all, func(f namedContext) bool { return f.name == name }); i >= 0 {
		return &c.all[i]
	}
	return nil
}

// get is find for a name that somebody gave.
func (c *contexts) get(name string) (*namedContext, error) {
	if f := c.find(name); f != nil {
		return f, nil
	}
	if len(c.all) == 0 {
		return nil, fmt.Errorf("no context %q, nor any other: make one with admin context add", name)
	}
	names := make([]string, len(c.all))
	for i := range c.all {
		names[i] = c.all[i].name
	}
	return nil, fmt.Errorf("no context %q: there are %s", name, strings.Join(names, ", "))
}

// Contexts is what contexts say of a command's flags.
func Contexts(cmd *cobra.Command) cli.ContextSource { return &contextSource{cmd: cmd} }

// contextSource gives a command's operator flags what a context says of them.
type contextSource struct {
	cmd  *cobra.Command
	done bool // a context was named
}

// Named is the source once --context has a value, which may come from any place; once only.
func (s *contextSource) Named() (cli.Source, error) {
	flag := s.cmd.Flags().Lookup("context")
	if s.done || flag == nil || !flag.Changed {
		return nil, nil
	}
	s.done = true
	all, err := readContexts()
	if err != nil {
		return nil, err
	}
	f, err := all.get(flag.Value.String())
	if err != nil {
		return nil, fmt.Errorf("--context: %w", err)
	}
	return f.source(s.cmd.Flags()), nil
}

// Current is the current context as a source, for a command that was told of no other and that
// does not know all it needs already.
func (s *contextSource) Current() (cli.Source, error) {
	flags := s.cmd.Flags()
	said := func(name string) bool { return flags.Changed(name) }
	if s.done || flags.Lookup("context") == nil || said("dir") ||
		said("cert") && said("key") && said("ca") && said("node") {
		return nil, nil
	}
	all, err := readContexts()
	if err != nil || all.current == "" {
		return nil, err
	}
	return all.find(all.current).source(flags), nil
}

// source is the context as a source. A certificate and its key come from one place.
func (f *namedContext) source(given *pflag.FlagSet) cli.Source {
	values := map[string][]string{"dir": {f.dir}, "cert": {f.cert}, "key": {f.key}, "ca": {f.ca},
		"node": f.nodes}
	if given.Changed("cert") || given.Changed("key") {
		delete(values, "cert")
		delete(values, "key")
	}
	return func(flag *pflag.Flag) (cli.Value, bool) {
		scope := flag.Annotations[cli.ScopeKey]
		v := values[flag.Name]
		if len(scope) == 0 || scope[0] != operatorScope || len(v) == 0 || v[0] == "" {
			return cli.Value{}, false
		}
		return cli.Value{Where: "context " + f.name, Values: v}, true
	}
}

// registerFederation registers the flags that say where a federation is and who one is to it.
func registerFederation(cmd *cobra.Command, f *namedContext) {
	cmd.Flags().StringVar(&f.dir, "dir", "",
		"directory of a local federation, instead of the four flags below")
	cmd.Flags().StringVar(&f.cert, "cert", "", "file with the operator's certificate (PEM)")
	cmd.Flags().StringVar(&f.key, "key", "", "file with the certificate's key (PEM)")
	cmd.Flags().StringVar(&f.ca, "ca", "", "file with the federation's authorities (PEM)")
	cmd.Flags().StringSliceVar(&f.nodes, "node", nil, "address of a relay node, host:port; "+
		"may be repeated")
}
