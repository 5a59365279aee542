package cli

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A flag has its value from the command line; else from the environment; else from the file that
// --config names; else, if it says who an operator is, from a context; else it has its default.
//
// The scope of a flag is the path of the command that has it. The variable of the flag --disk-low
// of `staffetta node` is STAFFETTA_NODE_DISK_LOW, and its place in the file the line disk-low in
// the section [node]. Scopes keep apart what only has the same name: --key is a service's here and
// a certificate's there, and a --force that was meant for one command is none of another.
// A few flags are one and the same fact for many commands, and have a scope of their own.

const (
	// VariablePrefix begins every variable that gives a flag its value.
	VariablePrefix = "STAFFETTA_"
	// ScopeKey is the annotation of a flag whose scope is not its command.
	ScopeKey = "flag-scope"

	secretKey = "flag-secret" // annotation of a flag whose value nobody may see
	yieldsKey = "flag-yields" // annotation of a flag that others make superfluous
	// exclusiveKey is cobra's annotation of MarkFlagsMutuallyExclusive.
	exclusiveKey = "cobra_annotation_mutually_exclusive"
)

// ShareFlag gives a flag that several commands have in common the scope of all of them.
func ShareFlag(cmd *cobra.Command, name, scope string) {
	cmd.Flags().SetAnnotation(name, ScopeKey, []string{scope})
}

// HideValue keeps a flag's value out of every message.
func HideValue(cmd *cobra.Command, name string) {
	cmd.Flags().SetAnnotation(name, secretKey, []string{"true"})
}

// YieldTo has a flag keep its default where one of others was given in a stronger place.
func YieldTo(cmd *cobra.Command, name string, others ...string) {
	cmd.Flags().SetAnnotation(name, yieldsKey, others)
}

// ScopeOf is the scope of a command's flag.
func ScopeOf(cmd *cobra.Command, f *pflag.Flag) string {
	if scope, ok := f.Annotations[ScopeKey]; ok {
		return scope[0]
	}
	_, scope, _ := strings.Cut(cmd.CommandPath(), " ")
	return scope
}

// VariableOf is the environment variable of a command's flag.
func VariableOf(cmd *cobra.Command, f *pflag.Flag) string {
	name := strings.TrimSpace(ScopeOf(cmd, f) + " " + f.Name)
	return VariablePrefix + strings.ToUpper(strings.NewReplacer(" ", "_", "-", "_").Replace(name))
}

// typedOnly reports whether a flag is to be typed each time. A force that lies in a file since the
// last emergency is one that nobody meant.
func typedOnly(f *pflag.Flag) bool {
	return f.Name == "help" || f.Name == "version" || f.Name == "config" ||
		strings.HasPrefix(f.Name, "force")
}

// Value is what a Source says of a flag: several values when it was said several times.
type Value struct {
	Where  string // the variable, or the file and its line
	Values []string
}

// Source gives the values of a command's flags.
type Source func(f *pflag.Flag) (Value, bool)

// ContextSource is what a program remembers of where a command's flags usually lead.
type ContextSource interface {
	// Named is the context that a flag names, once it does, and once only; nil: none is named.
	Named() (Source, error)
	// Current is what is meant when none is named; nil: nothing.
	Current() (Source, error)
}

type noContext struct{}

func (noContext) Named() (Source, error)   { return nil, nil }
func (noContext) Current() (Source, error) { return nil, nil }

// resolver gives a command's flags the values that they have elsewhere.
type resolver struct {
	cmd   *cobra.Command
	given map[string]bool // flags that a stronger Source gave a value
}

// resolveSettings is run before every command, after its command line was parsed.
func resolveSettings(cmd *cobra.Command, contexts func(*cobra.Command) ContextSource) error {
	r := &resolver{cmd: cmd, given: map[string]bool{}}
	environment, err := fromEnvironment(cmd)
	if err != nil {
		return err
	}
	file, err := fromFile(cmd)
	if err != nil {
		return err
	}
	context := ContextSource(noContext{})
	if contexts != nil {
		context = contexts(cmd)
	}
	for _, s := range []Source{nil, environment, file} {
		if s != nil {
			if err := r.apply(s); err != nil {
				return err
			}
		}
		// A context has the strength of the place that names it.
		if s, err := context.Named(); err != nil {
			return err
		} else if s != nil {
			if err := r.apply(s); err != nil {
				return err
			}
		}
	}
	if s, err := context.Current(); err != nil || s == nil {
		return err
	} else {
		return r.apply(s)
	}
}

// apply sets the flags that s knows and nothing stronger said anything about.
func (r *resolver) apply(s Source) (err error) {
	flags := r.cmd.Flags()
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			r.given[f.Name] = true
		}
	})
	flags.VisitAll(func(f *pflag.Flag) {
		if err != nil || r.given[f.Name] || r.excluded(f) {
			return
		}
		v, ok := s(f)
		if !ok {
			return
		}
		for _, text := range v.Values {
			if e := flags.Set(f.Name, text); e != nil {
				err = fmt.Errorf("%s: %w", v.Where, e)
				if f.Annotations[secretKey] != nil {
					err = fmt.Errorf("%s: not a value of --%s", v.Where, f.Name)
				}
				return
			}
		}
	})
	return err
}

// excluded reports whether a stronger Source gave a flag that cannot stand beside f, or that f
// yields to.
func (r *resolver) excluded(f *pflag.Flag) bool {
	for _, group := range slices.Concat(f.Annotations[exclusiveKey], f.Annotations[yieldsKey]) {
		for _, name := range strings.Fields(group) {
			if name != f.Name && r.given[name] {
				return true
			}
		}
	}
	return false
}

// serviceLink is a variable that Kubernetes gives every container for a service of this name.
var serviceLink = regexp.MustCompile(
	`_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$`)

// fromEnvironment is the environment as a Source. A variable that begins as those of the command
// do, and belongs to no flag, is refused: the value it holds would be missing without a word. An
// empty variable is one that is not set.
func fromEnvironment(cmd *cobra.Command) (Source, error) {
	values := map[string]string{}
	known := map[string]*pflag.Flag{}
	WalkFlags(cmd.Root(), func(c *cobra.Command, f *pflag.Flag) { known[VariableOf(c, f)] = f })
	_, path, _ := strings.Cut(cmd.CommandPath(), " ")
	first, _, _ := strings.Cut(path, " ")
	own := VariablePrefix + strings.ToUpper(strings.ReplaceAll(first, "-", "_")) + "_"
	for _, v := range os.Environ() {
		name, text, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, VariablePrefix) || text == "" {
			continue
		}
		f, ok := known[name]
		if strings.HasPrefix(name, own) && !serviceLink.MatchString(name) {
			if !ok {
				return nil, fmt.Errorf("%s in the environment belongs to no flag of %s %s",
					name, cmd.Root().Name(), first)
			}
			if typedOnly(f) {
				return nil, fmt.Errorf("%s in the environment: --%s is to be typed each time",
					name, f.Name)
			}
		}
		values[name] = text
	}
	return func(f *pflag.Flag) (Value, bool) {
		name := VariableOf(cmd, f)
		text, ok := values[name]
		if !ok || typedOnly(f) {
			return Value{}, false
		}
		if f.Value.Type() == "stringArray" { // which splits nothing by itself
			return Value{name, strings.Split(text, "\n")}, true
		}
		return Value{name, []string{text}}, true
	}, nil
}

// fromFile is the file of --config, or of its variable, as a Source. All of the file is checked,
// other commands' parts too.
func fromFile(cmd *cobra.Command) (Source, error) {
	config := cmd.Flags().Lookup("config")
	if config == nil {
		return nil, nil
	}
	path := config.Value.String()
	if path == "" {
		path = os.Getenv(VariablePrefix + "CONFIG")
	}
	if path == "" {
		return nil, nil
	}
	file, err := ReadSettings(path)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	if err := checkFile(cmd.Root(), file); err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	return func(f *pflag.Flag) (v Value, ok bool) {
		for _, s := range file.All {
			if s.Section == ScopeOf(cmd, f) && s.Name == f.Name {
				v.Where = fmt.Sprintf("%s, line %d", file.Path, s.Line)
				v.Values = append(v.Values, s.Value)
			}
		}
		return v, len(v.Values) > 0
	}, nil
}

// checkFile refuses what belongs to no flag, what is said twice of a flag that has one value, and
// a secret that others may read.
func checkFile(root *cobra.Command, file *SettingsFile) error {
	known := map[string]map[string]*pflag.Flag{"": {}}
	WalkFlags(root, func(c *cobra.Command, f *pflag.Flag) {
		scope := ScopeOf(c, f)
		if known[scope] == nil {
			known[scope] = map[string]*pflag.Flag{}
		}
		known[scope][f.Name] = f
	})
	for section, line := range file.Sections {
		if known[section] == nil {
			return file.Fail(line, "[%s] is no command with flags", section)
		}
	}
	said := map[[2]string]int{}
	for _, s := range file.All {
		f, ok := known[s.Section][s.Name]
		switch {
		case !ok && s.Section == "":
			return file.Fail(s.Line, "%s stands in no section, and belongs to no flag there", s.Name)
		case !ok:
			return file.Fail(s.Line, "%s %s has no flag --%s", root.Name(), s.Section, s.Name)
		case typedOnly(f):
			return file.Fail(s.Line, "--%s is to be typed each time", s.Name)
		}
		if first := said[[2]string{s.Section, s.Name}]; first > 0 && !repeatable(f) {
			return file.Fail(s.Line, "%s stands in line %d already", s.Name, first)
		}
		said[[2]string{s.Section, s.Name}] = s.Line
		if f.Annotations[secretKey] != nil {
			info, err := os.Stat(file.Path)
			if err == nil && info.Mode().Perm()&0o077 != 0 {
				return file.Fail(s.Line, "%s is a secret, and others may read the file: chmod 600",
					s.Name)
			}
		}
	}
	return nil
}

// repeatable reports whether a flag takes in every value that it is given.
func repeatable(f *pflag.Flag) bool {
	_, slice := f.Value.(pflag.SliceValue)
	return slice || slices.Contains([]string{"stringToInt", "stringToString"}, f.Value.Type())
}

// WalkFlags calls do with every flag of every command, persistent flags with the command that
// declares them.
func WalkFlags(cmd *cobra.Command, do func(*cobra.Command, *pflag.Flag)) {
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { do(cmd, f) })
	for _, c := range cmd.Commands() {
		WalkFlags(c, do)
	}
}

// settingsHint ends a command's help: how its flags are given elsewhere, by the example of one.
func settingsHint(cmd *cobra.Command) string {
	var example *pflag.Flag
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if example == nil && !f.Hidden && !typedOnly(f) {
			example = f
		}
	})
	if example == nil || !cmd.Runnable() {
		return ""
	}
	section := ScopeOf(cmd, example)
	if section != "" {
		section = " in [" + section + "]"
	}
	return fmt.Sprintf("\nEvery flag may be given elsewhere too, see staffetta help settings: --%s "+
		"is the variable\n%s, or the line %s = …%s of the file of --config.\n", example.Name,
		VariableOf(cmd, example), example.Name, section)
}

// newSettingsTopic is a page of the help and no command.
func newSettingsTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "settings",
		Short: "Where flags take their values from: command line, environment, file, context",
		Long: `A flag has its value from the first of these that says something of it:

  1. the command line;
  2. the environment. The variable's name is STAFFETTA_, the command and the flag: --disk-low of
     staffetta node is STAFFETTA_NODE_DISK_LOW. An empty variable says nothing. Lists are
     separated by commas. A variable that begins as those of the command do and belongs to no flag
     is refused;
  3. the file that --config or STAFFETTA_CONFIG names. Without one no file is read;
  4. for the flags that say where a federation is and who you are there (--dir, --cert, --key,
     --ca, --node): a context, see 'staffetta admin context'. --context names one with the strength
     of the place where it stands; the current one comes last;
  5. its default.

The file has a section for each command, and a flag in each line; one file may serve several
commands. What belongs to no flag is refused, with its line:

  # a comment
  [node]
  listen = 10.12.0.1:7400
  disk-low = 1GiB,15%
  [gateway]
  node = 10.12.0.1:7400
  node = 10.12.0.2:7400

The operator's flags are the same for all commands of admin: STAFFETTA_ADMIN_CERT, _KEY, _CA, _NODE,
_DIR and _CONTEXT, and the section [admin]. So are --key and --key-file of send and bench:
STAFFETTA_KEY and STAFFETTA_KEY_FILE, and lines before the first section. A file with a secret has
to be readable by its owner alone. Flags that begin with --force are typed each time, and taken from
nowhere else.`,
	}
}
