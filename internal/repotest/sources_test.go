package repotest

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	// fileLinesMax bounds a file, testLinesMax one of tests, which may be a table.
	fileLinesMax = 600
	testLinesMax = 900
	// lineColumnsMax bounds a line outside of tests. A tab counts as one.
	lineColumnsMax = 100
	// funcLinesMax bounds a function: a screen, and some for one that is a list.
	funcLinesMax = 70
)

func TestPackagesAreDocumented(t *testing.T) {
	for _, p := range packages(t) {
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = "Command "
		}
		if !strings.HasPrefix(p.Doc, want) && len(p.GoFiles) > 0 {
			t.Errorf("the comment of %s begins %q, want %q", p.name(), p.Doc, want)
		}
	}
}

// The words that stand for work left undone are put together here, so that this file passes.
var unfinished = regexp.MustCompile(`\b(` + "TO" + "DO|FIX" + "ME" + `)\b`)

func TestSources(t *testing.T) {
	for _, name := range filesWith(t, ".go") {
		text := readFile(t, name)
		isTest := strings.HasSuffix(name, "_test.go")
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		limit := fileLinesMax
		if isTest {
			limit = testLinesMax
		}
		if len(lines) > limit {
			t.Errorf("%s has %d lines, at most %d: split it by concepts", name, len(lines), limit)
		}
		for i, line := range lines {
			if n := utf8.RuneCountInString(line); n > lineColumnsMax && !isTest {
				t.Errorf("%s:%d has %d columns, at most %d", name, i+1, n, lineColumnsMax)
			}
			if word := unfinished.FindString(line); word != "" {
				t.Errorf("%s:%d says %s: finish it, or file an issue", name, i+1, word)
			}
		}
		formatted, err := format.Source([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !bytes.Equal(formatted, []byte(text)) {
			t.Errorf("%s is not formatted by gofmt", name)
		}
	}
}

// TestPureApply looks for what a pure function must not call in the packages whose results every
// replica has to share.
func TestPureApply(t *testing.T) {
	impure := map[string][]string{
		"time": {"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "NewTimer", "NewTicker",
			"Tick"},
		"rand": {"Int", "IntN", "Int64", "Uint64", "Float64", "Perm", "Shuffle"},
		"os":   {"Getenv", "LookupEnv", "Hostname", "Getpid"},
	}
	each(t, func(name string, file *ast.File, at func(ast.Node) int) {
		if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, "_planted.go") || !strings.HasPrefix(name, "node/region/") &&
			!strings.HasPrefix(name, "node/federation/") && (!strings.HasPrefix(name, "wire/") ||
			strings.HasPrefix(name, "wire/link/")) {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := s.X.(*ast.Ident)
			if !ok {
				return true
			}
			for _, f := range impure[pkg.Name] {
				if s.Sel.Name == f {
					t.Errorf("%s:%d calls %s.%s: what replicas share is a function of state and "+
						"entry alone", name, at(s), pkg.Name, f)
				}
			}
			return true
		})
	})
}

func TestFunctionsFitAScreen(t *testing.T) {
	each(t, func(name string, file *ast.File, at func(ast.Node) int) {
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil || strings.HasSuffix(name, "_test.go") {
				continue
			}
			begin, end := at(f), at(lastOf{f.Body})
			if lines := end - begin + 1; lines > funcLinesMax {
				t.Errorf("%s:%d: %s has %d lines, at most %d", name, begin, f.Name.Name, lines,
					funcLinesMax)
			}
		}
	})
}

// lastOf stands at its node's end.
type lastOf struct{ ast.Node }

func (l lastOf) Pos() token.Pos { return l.End() }

// each parses every source file; at gives a node's line.
func each(t *testing.T, visit func(name string, file *ast.File, at func(ast.Node) int)) {
	t.Helper()
	set := token.NewFileSet()
	at := func(n ast.Node) int { return set.Position(n.Pos()).Line }
	for _, name := range filesWith(t, ".go") {
		file, err := parser.ParseFile(set, name, readFile(t, name), parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			continue
		}
		visit(name, file, at)
	}
}

// TestRaftWALIsPinned: v0.4.0, which lacks two fixes, is what go mod tidy would choose.
func TestRaftWALIsPinned(t *testing.T) {
	const want = "github.com/hashicorp/raft-wal v0.4.1"
	if !strings.Contains(readFile(t, "go.mod"), "\t"+want+"\n") {
		t.Errorf("go.mod does not require %s", want)
	}
}
