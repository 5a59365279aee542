package operator

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
)

// leading are the functions that may call a leader: what they send is withdrawn at a deadline, or,
// of Members, changes nothing.
var leading = []string{"callRegion", "callFederation", "Members"}

// TestEveryOrderHasADeadline: what goes to a leader goes through few functions, each of which
// has the request withdrawn, so that no call is carried out when nobody waits for it any more.
func TestEveryOrderHasADeadline(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				call, ok := n.(*ast.SelectorExpr)
				if !ok || call.Sel.Name != "Call" {
					return true
				}
				of, ok := call.X.(*ast.SelectorExpr)
				if ok && of.Sel.Name == "leaders" {
					if seen[fn.Name.Name] = true; !slices.Contains(leading, fn.Name.Name) {
						t.Errorf("%s: %s calls a leader without a deadline", f.Name(), fn.Name.Name)
					}
				}
				return true
			})
		}
	}
	if len(seen) != len(leading) {
		t.Errorf("leaders are called by %v, want %v", seen, leading)
	}
}
