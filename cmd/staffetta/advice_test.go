package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
)

// adviceNeeds are flags that a command asks for itself, since they may be left out when the command
// is repeated.
var adviceNeeds = map[string][]string{"staffetta admin node replace": {"addr", "out"}}

// TestAdviceParses: every command line that the program prints is one that it takes, with the flags
// that it needs. A command's mere name stands in quotes.
func TestAdviceParses(t *testing.T) {
	lines := 0
	for where, texts := range literals(t, "../..") {
		for _, text := range texts {
			for _, line := range advice(text) {
				lines++
				if problem := advised(line); problem != "" {
					t.Errorf("%s: %q: %s", where, line, problem)
				}
			}
		}
	}
	if lines < 20 {
		t.Errorf("%d command lines were found", lines)
	}
	for _, wrong := range []string{"staffetta admin node sign lazio-4", "staffetta admin nodde",
		"staffetta admin region recovery-key --region lazio", "staffetta admin node sign --ca-cert x " +
			"--ca-key x", "staffetta admin node replace a b --ca-cert x --ca-key x"} {
		if advised(wrong) == "" {
			t.Errorf("%q is taken for a good one", wrong)
		}
	}
}

var (
	adviceStart = regexp.MustCompile("([`']?)staffetta admin ")
	adviceEnd   = regexp.MustCompile("[`';\n…\"]|[,:.]( |$)| first$")
)

// advice finds the command lines in a text, without those that are a name only.
func advice(text string) (lines []string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for {
		at := adviceStart.FindStringSubmatchIndex(text)
		if at == nil {
			return lines
		}
		quoted := at[3] > at[2]
		line := text[at[3]:]
		if end := adviceEnd.FindStringIndex(line); end != nil {
			line = line[:end[0]]
		}
		text = text[at[1]:]
		line = strings.TrimSpace(line)
		cmd, rest, err := newRootCommand().Find(strings.Fields(line)[1:])
		if quoted && err == nil && len(rest) == 0 && cmd.CommandPath() == line {
			continue
		}
		lines = append(lines, line)
	}
}

// advised says what is wrong with a command line.
func advised(line string) string {
	args := strings.Fields(line)[1:]
	if err := cli.CheckCommand(newRootCommand(), args); err != nil {
		return err.Error()
	}
	cmd, rest, err := newRootCommand().Find(args)
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	for _, check := range []func() error{func() error { return cmd.ValidateArgs(cmd.Flags().Args()) },
		cmd.ValidateRequiredFlags, cmd.ValidateFlagGroups, func() error { return needed(cmd) }} {
		if err == nil {
			err = check()
		}
	}
	if err == nil && !cmd.Runnable() {
		return "a group of commands"
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func needed(cmd *cobra.Command) error {
	for _, name := range adviceNeeds[cmd.CommandPath()] {
		if !cmd.Flags().Changed(name) {
			return &cli.ExitError{Code: 1, Err: errNeeded(name)}
		}
	}
	return nil
}

type errNeeded string

func (e errNeeded) Error() string { return "--" + string(e) + " is needed" }

// literals are the program's texts by the file that they are in: constants that are joined are one,
// and what is filled in later is a word.
func literals(t *testing.T, root string) map[string][]string {
	texts := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") ||
			strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok || !slices.ContainsFunc(parts(e), func(p string) bool { return p != word }) {
				return true
			}
			texts[path] = append(texts[path], verbs.ReplaceAllString(strings.Join(parts(e), ""), word))
			return false
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

const word = "x"

var verbs = regexp.MustCompile(`%[a-z]`)

// parts are the strings that an expression joins.
func parts(e ast.Expr) []string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return []string{s}
		}
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			return append(parts(e.X), parts(e.Y)...)
		}
	}
	return []string{word}
}
