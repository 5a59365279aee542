package repotest

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// commandLine is a `staffetta …` or a `staffetta-lab …` found in a document.
type commandLine struct {
	where   string
	program string
	args    []string
}

var (
	invocation = regexp.MustCompile(`(?:^|[\s/=(])(staffetta|staffetta-lab)[ ]+([a-z][^\n]*)`)
	inline     = regexp.MustCompile("`([^`\n]+)`")
	argument   = regexp.MustCompile(`"[^"]*"|'[^']*'|\S+`)
)

// commandLines finds the command lines in the code of a document.
func commandLines(document, text string) []commandLine {
	var all []commandLine
	add := func(code string) {
		code = strings.ReplaceAll(code, "\\\n", " ")
		for line := range strings.Lines(code) {
			m := invocation.FindStringSubmatch(strings.TrimRight(line, "\n"))
			if m == nil {
				continue
			}
			args := []string{}
			for _, a := range argument.FindAllString(m[2], -1) {
				if strings.HasPrefix(a, "#") || strings.ContainsAny(a[:1], "|>&") {
					break
				}
				if a != "…" && a != "..." {
					args = append(args, strings.Trim(a, `"'`))
				}
			}
			all = append(all, commandLine{document + ": " + strings.TrimSpace(line),
				m[1], args})
		}
	}
	for _, b := range blocks(document, text) {
		if b.language == "sh" || b.language == "" {
			add(b.text)
		}
	}
	for _, m := range inline.FindAllStringSubmatch(text, -1) {
		add(m[1])
	}
	return all
}

// TestDocumentedCommands: every command line of the documents, and of the commands' own help, is
// one that the binary takes.
func TestDocumentedCommands(t *testing.T) {
	var all []commandLine
	for _, doc := range documents(t) {
		all = append(all, commandLines(doc, readFile(t, doc))...)
	}
	if len(all) < 10 {
		t.Fatalf("%d command lines found", len(all))
	}
	for _, c := range all {
		if message := refused(program(t, c.program), c.args); message != "" {
			t.Errorf("%s: %s", c.where, message)
		}
	}
	for _, wrong := range [][]string{{"nosuch"}, {"node", "--nosuch"}, {"admin", "nosuch"},
		{"local", "--nodes", "many"}} {
		if refused(program(t, "staffetta"), wrong) == "" {
			t.Errorf("%q passes, and is no command line of staffetta", wrong)
		}
	}
}

// refused parses a command line without running it, and says what is wrong with it.
func refused(bin string, args []string) string {
	out, err := exec.Command(bin, append(slices.Clone(args), "--help")...).CombinedOutput()
	if err != nil {
		return strings.TrimSpace(string(out))
	}
	// An unknown command below a known one shows the known one's help.
	command := []string{filepath.Base(bin)}
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			break
		}
		if strings.HasPrefix(a, "$") { // a variable, which stands for flags
			continue
		}
		command = append(command, a)
	}
	_, usage, _ := strings.Cut(string(out), "Usage:\n")
	for line := range strings.Lines(usage) {
		if takes(strings.Fields(line), command) {
			return ""
		}
		if strings.TrimSpace(line) == "" {
			break
		}
	}
	return "no such command"
}

// takes reports whether a line of usage, such as "staffetta admin revoke node|gateway NAME [flags]",
// is that of a command with its arguments.
func takes(usage, command []string) bool {
	argument := func(word string) bool { return word[0] >= 'A' && word[0] <= 'Z' }
	for i, word := range command {
		switch {
		case len(usage) > i && slices.Contains(strings.Split(usage[i], "|"), word):
		case len(usage) > i && argument(usage[i]):
		case alternative(usage, word):
		case i > 0 && len(usage) >= i && strings.HasSuffix(usage[i-1], "…"):
			return true
		default:
			return false
		}
	}
	return true
}

// alternative reports whether a usage has, as in "NAME | spiffe://…", what a word begins with.
func alternative(usage []string, word string) bool {
	for i := 1; i < len(usage); i++ {
		start, open := strings.CutSuffix(usage[i], "…")
		if usage[i-1] == "|" && open && start != "" && strings.HasPrefix(word, start) {
			return true
		}
	}
	return false
}

// TestFlagTables: the tables of docs/operating.md have every flag of their command, and no other.
func TestFlagTables(t *testing.T) {
	flag := regexp.MustCompile(`--[a-z][a-z-]*`)
	operating := readFile(t, "docs/operating.md")
	for heading, command := range map[string]string{"## A node": "node", "## A gateway": "gateway"} {
		help, err := exec.Command(program(t, "staffetta"), command, "--help").Output()
		if err != nil {
			t.Fatal(err)
		}
		_, flags, _ := strings.Cut(string(help), "\nFlags:\n")
		flags, _, _ = strings.Cut(flags, "\n\n") // those of all commands follow
		want := map[string]bool{}
		for line := range strings.Lines(flags) {
			if f := flag.FindString(line); f != "" && f != "--help" {
				want[f] = true
			}
		}
		if len(want) < 5 {
			t.Fatalf("the help of %s shows %d flags", command, len(want))
		}
		got := map[string]bool{}
		for _, r := range rows(section(t, operating, heading)) {
			for _, f := range flag.FindAllString(r[0], -1) {
				got[f] = true
				if !want[f] {
					t.Errorf("docs/operating.md has %s, which staffetta %s does not", f, command)
				}
			}
		}
		for f := range want {
			if !got[f] {
				t.Errorf("staffetta %s has %s, which docs/operating.md does not", command, f)
			}
		}
	}
}
