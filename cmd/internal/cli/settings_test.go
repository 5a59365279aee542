package cli_test

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/cmd/internal/clitest"
)

// probe is a command with a flag of each kind, which shows what it was given.
type probe struct {
	name, key string
	count     int
	list      []string
	lines     []string
	weights   map[string]int
	force     bool
	low       text
}

// text is the value of a flag that takes commas as they are.
type text string

func (x *text) String() string         { return string(*x) }
func (x *text) Set(value string) error { *x = text(value); return nil }
func (x *text) Type() string           { return "text" }

func (p *probe) command() *cobra.Command {
	*p = probe{}
	cmd := &cobra.Command{Use: "probe", RunE: func(*cobra.Command, []string) error { return nil }}
	f := cmd.Flags()
	f.StringVar(&p.name, "the-name", "default", "")
	f.StringVar(&p.key, "key", "", "")
	f.IntVar(&p.count, "count", 1, "")
	f.StringSliceVar(&p.list, "list", []string{"x"}, "")
	f.StringArrayVar(&p.lines, "lines", nil, "")
	f.StringToIntVar(&p.weights, "weight", nil, "")
	f.BoolVar(&p.force, "force", false, "")
	f.Var(&p.low, "low", "")
	cli.HideValue(cmd, "key")
	cmd.MarkFlagsMutuallyExclusive("key", "the-name")
	return cmd
}

// TestPrecedence: command line, environment, file, default, each stronger than those behind it.
func TestPrecedence(t *testing.T) {
	config := clitest.File(t, "config", "[probe]\nthe-name = file\ncount = 2\n")
	var p probe
	for _, c := range []struct {
		args     []string
		env      string
		withFile bool
		want     string
	}{
		{nil, "", false, "default"},
		{nil, "", true, "file"},
		{nil, "environment", true, "environment"},
		{nil, "environment", false, "environment"},
		{[]string{"--the-name", "flag"}, "environment", true, "flag"},
		{[]string{"--the-name", "flag"}, "", true, "flag"},
		{[]string{"--the-name", "default"}, "environment", true, "default"}, // said is said
	} {
		t.Setenv("STAFFETTA_PROBE_THE_NAME", c.env)
		args := c.args
		if c.withFile {
			args = append([]string{"--config", config}, args...)
		}
		if _, _, err := clitest.Execute(t, nil, p.command(), "", args...); err != nil || p.name != c.want {
			t.Errorf("%+v: got %q, %v", c, p.name, err)
		}
		if wantCount := map[bool]int{true: 2, false: 1}[c.withFile]; p.count != wantCount {
			t.Errorf("%+v: count %d, want %d: one flag's source is not another's", c, p.count, wantCount)
		}
	}
	t.Setenv("STAFFETTA_PROBE_THE_NAME", "")
	t.Setenv("STAFFETTA_CONFIG", config)
	if _, _, err := clitest.Execute(t, nil, p.command(), ""); err != nil || p.name != "file" {
		t.Errorf("STAFFETTA_CONFIG: got %q, %v", p.name, err)
	}
}

func TestValuesOfEachKind(t *testing.T) {
	config := clitest.File(t, "config", "# comment\n\n[probe]\nlist = a,b\nlist = c\nlines = a,b\nlines = c\n"+
		"weight = i=1\nweight = j=2\nlow = 1GiB,15%\nthe-name = \" with # and \\t \"\n")
	check := func(p probe) {
		t.Helper()
		if strings.Join(p.list, " ") != "a b c" || strings.Join(p.lines, " ") != "a,b c" ||
			p.weights["i"] != 1 || p.weights["j"] != 2 || p.low.String() != "1GiB,15%" ||
			p.name != " with # and \t " {
			t.Errorf("got %+v", p)
		}
	}
	var p probe
	if _, _, err := clitest.Execute(t, nil, p.command(), "", "--config", config); err != nil {
		t.Fatal(err)
	}
	check(p)
	for name, text := range map[string]string{"LIST": "a,b,c", "LINES": "a,b\nc", "WEIGHT": "i=1,j=2",
		"LOW": "1GiB,15%", "THE_NAME": " with # and \t "} {
		t.Setenv("STAFFETTA_PROBE_"+name, text)
	}
	if _, _, err := clitest.Execute(t, nil, p.command(), ""); err != nil {
		t.Fatal(err)
	}
	check(p)
}

// TestSettingsAreRefused: a name that is nobody's, a value that is none, and a force that nobody
// typed; no message shows a secret.
func TestSettingsAreRefused(t *testing.T) {
	for _, c := range []struct{ config, want string }{
		{"[probe]\n\nthe-nmae = x\n", "line 3: staffetta probe has no flag --the-nmae"},
		{"count = 1\n", "line 1: count stands in no section"},
		{"[prob]\ncount = 1\n", "line 1: [prob] is no command"},
		{"[probe]\ncount = many\n", "line 2"},
		{"[probe]\ncount = 1\ncount = 2\n", "line 3: count stands in line 2 already"},
		{"[probe]\n[probe]\n", "line 2: [probe] begins in line 1 already"},
		{"[probe]\nforce = true\n", "line 2: --force is to be typed"},
		{"[probe]\nconfig = x\n", "line 2"},
		{"[probe\n", "line 1: not [section]"},
		{"[probe]\ns3cret\n", "line 2: neither"},
		{"[probe]\nkey = \"s3cret\n", "line 2: the quotes of key"},
		{"[probe]\nkey = a\nkey = s3cret\n", "line 3"},
	} {
		var p probe
		_, _, err := clitest.Execute(t, nil, p.command(), "", "--config", clitest.File(t, "config", c.config))
		if err == nil || !strings.Contains(err.Error(), c.want) ||
			strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: got %v, want %q", c.config, err, c.want)
		}
	}
	for name, want := range map[string]string{
		"STAFFETTA_PROBE_NMAE":           "STAFFETTA_PROBE_NMAE in the environment belongs to no flag",
		"STAFFETTA_PROBE_COUNT":          "STAFFETTA_PROBE_COUNT",
		"STAFFETTA_PROBE_FORCE":          "typed each time",
		"STAFFETTA_OTHER_NMAE":           "", // perhaps somebody's else
		"STAFFETTA_PROBE_SERVICE_HOST":   "", // Kubernetes
		"STAFFETTA_PROBE_PORT_7400_UDP":  "",
		"STAFFETTA_PROBE_PORT":           "",
		"STAFFETTA_PROBE_SERVICE_PORT_A": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "s3cret")
			var p probe
			_, _, err := clitest.Execute(t, nil, p.command(), "")
			if want == "" && err == nil {
				return
			}
			if err == nil || want == "" || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
	var p probe
	if _, _, err := clitest.Execute(t, nil, p.command(), "", "--config", "/nowhere"); err == nil {
		t.Error("a missing file passes")
	}
}

// TestSecretsAreNotShown: neither where a value is refused nor where it lies open.
func TestSecretsAreNotShown(t *testing.T) {
	command := func() *cobra.Command {
		cmd := &cobra.Command{Use: "probe", RunE: func(*cobra.Command, []string) error { return nil }}
		cmd.Flags().Int("pin", 0, "")
		cli.HideValue(cmd, "pin")
		return cmd
	}
	open := clitest.File(t, "config", "[probe]\npin = 1\n")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := clitest.Execute(t, nil, command(), "", "--config", open); err == nil ||
		!strings.Contains(err.Error(), "others may read the file") {
		t.Errorf("a secret in a file for all: %v", err)
	}
	closed := clitest.File(t, "config", "[probe]\npin = s3cret\n")
	_, _, err := clitest.Execute(t, nil, command(), "", "--config", closed)
	t.Setenv("STAFFETTA_PROBE_PIN", "s3cret")
	_, _, fromEnv := clitest.Execute(t, nil, command(), "")
	for _, err := range []error{err, fromEnv} {
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("got %v, want a refusal without the secret", err)
		}
	}
}

// TestStrongerExcludesWeaker: what is typed is not refused for what lies in the environment, and
// two that exclude each other in one place still are.
func TestStrongerExcludesWeaker(t *testing.T) {
	t.Setenv("STAFFETTA_PROBE_KEY", "k")
	var p probe
	if _, _, err := clitest.Execute(t, nil, p.command(), "", "--the-name", "flag"); err != nil || p.key != "" {
		t.Errorf("got key %q, %v", p.key, err)
	}
	t.Setenv("STAFFETTA_PROBE_THE_NAME", "n")
	if _, _, err := clitest.Execute(t, nil, p.command(), ""); err == nil {
		t.Error("two variables that exclude each other pass")
	}
}
