package repotest

import (
	"go/ast"
	"path"
	"regexp"
	"strings"
	"testing"
)

// TestNamesDifferByMoreThanACapital: HandOver and Handover are one word to whoever reads or says
// them. It holds of the exported names of each package, and of the members of each type.
func TestNamesDifferByMoreThanACapital(t *testing.T) {
	first := map[string]string{} // of a package, its type and a name in lower case: the name as it is
	each(t, func(file string, parsed *ast.File, at func(ast.Node) int) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		exportedNames(parsed, func(of string, id *ast.Ident) {
			key := path.Dir(file) + " " + of + "." + strings.ToLower(id.Name)
			if other, ok := first[key]; ok && other != id.Name {
				t.Errorf("%s:%d: %s differs from %s by capitals only: give one of them another name",
					file, at(id), id.Name, other)
			}
			first[key] = id.Name
		})
	})
}

// exportedNames visits what a file declares, with the type that it belongs to.
func exportedNames(file *ast.File, visit func(of string, id *ast.Ident)) {
	exported := func(of string, ids ...*ast.Ident) {
		for _, id := range ids {
			if id.IsExported() {
				visit(of, id)
			}
		}
	}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			exported(receiver(d), d.Name)
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.ValueSpec:
					exported("", s.Names...)
				case *ast.TypeSpec:
					exported("", s.Name)
					for _, f := range members(s.Type) {
						exported(s.Name.Name, f.Names...)
					}
				}
			}
		}
	}
}

// members are the fields of a struct and the methods of an interface.
func members(t ast.Expr) []*ast.Field {
	switch t := t.(type) {
	case *ast.StructType:
		return t.Fields.List
	case *ast.InterfaceType:
		return t.Methods.List
	}
	return nil
}

// receiver names the type that a method belongs to; empty for a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	t := f.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// question matches names that are read as a question that is answered with yes or no.
var question = regexp.MustCompile(`^(?:[Ii]s|[Hh]as|[Cc]an|[Mm]ay|[Ss]hould|[Ww]as|[Ww]ere|[Aa]re|` +
	`[Dd]oes|[Ww]ill|[Aa]dmits|[Aa]grees|[Aa]llows|[Aa]ccepts|[Bb]elongs|[Cc]ontains|[Cc]overs|` +
	`[Dd]iffers|[Dd]isowns|[Ee]xists|[Hh]olds|[Ii]ncludes|[Kk]nows|[Ll]acks|[Ll]eads|[Mm]atches|` +
	`[Nn]eeds|[Oo]wns|[Rr]efuses|[Ss]erves|[Vv]erifies|[Ww]ants)(?:[A-Z]|$)`)

// TestQuestionsAreAnswered: a name that reads as a question returns a bool. What refuses is called
// check, what lists is called by what it lists.
func TestQuestionsAreAnswered(t *testing.T) {
	asked := 0
	each(t, func(file string, parsed *ast.File, at func(ast.Node) int) {
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || strings.HasSuffix(file, "_test.go") || !question.MatchString(f.Name.Name) {
				continue
			}
			if asked++; !answersBool(f.Type) {
				t.Errorf("%s:%d: %s reads as a question and returns no bool", file, at(f), f.Name.Name)
			}
		}
	})
	if asked < 50 {
		t.Errorf("%d names are questions: they are not found any more", asked)
	}
}

// answersBool reports whether one of the results is a bool, or a function that gives one.
func answersBool(f *ast.FuncType) bool {
	if f.Results == nil {
		return false
	}
	for _, r := range f.Results.List {
		switch x := r.Type.(type) {
		case *ast.Ident:
			if x.Name == "bool" {
				return true
			}
		case *ast.FuncType:
			if answersBool(x) {
				return true
			}
		}
	}
	return false
}
