package admin

import (
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/clitest"
)

type greeting struct {
	Whom string `json:"whom"`
}

func (g greeting) text(p *page) { p.printf("good day, %s\n", g.Whom) }

// TestWhatFollowsFromADeclaration: what every command has in common, from what this one says.
func TestWhatFollowsFromADeclaration(t *testing.T) {
	broken := errors.New("no voice")
	for _, c := range []struct {
		args []string
		want string // on standard output
		err  string
	}{
		{[]string{"greet", "ada"}, "good day, ada\n", ""},
		{[]string{"greet", "ada", "--json"}, "{\n  \"whom\": \"ada\"\n}\n", ""},
		{[]string{"greet", "ada", "--dry-run"}, "", ""},
		{[]string{"greet", "nobody"}, "", "probe greet nobody: there is nobody"},
		{[]string{"greet", "mute"}, "", "probe greet mute: no voice"},
		{[]string{"greet"}, "", "accepts 1 arg(s), received 0"},
		// What cannot be meant is said before the operator is asked for.
		{[]string{"ask", "nobody"}, "", "probe ask nobody: there is nobody"},
		{[]string{"ask", "ada"}, "", "probe ask ada: " + errNoFederation.Error()},
		{[]string{"ask", "ada", "--dry-run"}, "", "unknown flag: --dry-run"},
	} {
		check := func(c *invocation) error {
			if c.args[0] == "nobody" {
				return errors.New("there is nobody")
			}
			return nil
		}
		do := func(c *invocation) (report, error) {
			switch {
			case c.args[0] == "mute":
				return greeting{"not printed"}, broken
			case c.dry:
				return nil, nil
			}
			return greeting{c.args[0]}, nil
		}
		cmd := group("probe", "", command{use: "greet WHOM", args: cobra.ExactArgs(1), dry: dryDo,
			check: check, do: do}.build(),
			command{use: "ask WHOM", args: cobra.ExactArgs(1), check: check, ask: do}.build())
		out, _, err := clitest.Execute(t, Contexts, cmd, "", c.args...)
		if out != c.want || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%v: %q, %v, want %q, %q", c.args, out, err, c.want, c.err)
		}
		if err != nil && strings.HasSuffix(c.err, broken.Error()) && !errors.Is(err, broken) {
			t.Errorf("%v: the cause is lost: %v", c.args, err)
		}
	}
}

// TestPage: rows that follow one another are one table, and a line ends it.
func TestPage(t *testing.T) {
	var p page
	p.row("name", "n", "")
	p.row("lazio", 12, "closing")
	p.printf("a long line that is in no column\t|\n")
	p.row("x", "y")
	p.row("longer", "z")
	want := "name   n   \nlazio  12  closing\na long line that is in no column\t|\n" +
		"x       y\nlonger  z\n"
	if got := p.String(); got != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}
