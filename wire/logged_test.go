package wire

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/internal/codec"
)

// stored are the messages that lie in rows of the states, in copies of them and in nodes' files,
// beyond what blocks and commands hold.
var stored = []codec.Message{new(Session), new(Profile), new(Preference), new(Ownership), new(Move),
	new(Summary), new(Content), new(AuditLine), new(BackupHead), new(BackupFile), new(Sightings)}

// logged are the names of the messages that are logged or stored for ever: what commands and blocks
// hold, what rows hold, and all that those contain. The others merely travel: they are gone when
// all programs are of a newer version.
func logged() map[string]bool {
	names := map[string]bool{}
	for _, m := range stored {
		contained(reflect.TypeOf(m), names)
	}
	for _, kind := range known[EntryKind](entryKinds[:]) {
		contained(formType(kind.Request), names)
	}
	for _, kind := range CommandKinds() {
		contained(formType(kind.Request), names)
	}
	return names
}

func formType(v any) reflect.Type {
	if f, ok := v.(Frame); ok {
		v = f.Of
	}
	return reflect.TypeOf(v)
}

// contained adds the names of the messages in a type, itself included.
func contained(t reflect.Type, names map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		contained(t.Elem(), names)
	case reflect.Struct:
		if reflect.PointerTo(t).Implements(reflect.TypeFor[codec.Message]()) {
			if names[t.Name()] {
				return
			}
			names[t.Name()] = true
		}
		for i := range t.NumField() {
			contained(t.Field(i).Type, names)
		}
	}
}

// TestRowsAreLogged: the messages that rows of the two states, and lists of copies, embed are among
// the logged ones.
func TestRowsAreLogged(t *testing.T) {
	all, forEver := map[string]bool{}, logged()
	for _, m := range messages() {
		all[reflect.TypeOf(m).Elem().Name()] = true
	}
	rows := 0
	for _, dir := range []string{"../node/region", "../node/federation",
		"../internal/backup"} {
		types, messages := declared(t, dir)
		for name := range messages {
			rows++
			ast.Inspect(types[name], func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok || !all[s.Sel.Name] {
					return true
				}
				if from, ok := s.X.(*ast.Ident); ok && from.Name == "wire" && !forEver[s.Sel.Name] {
					t.Errorf("%s: %s is stored and holds %s, which is not in stored", dir, name,
						s.Sel.Name)
				}
				return true
			})
		}
	}
	if rows < 10 {
		t.Errorf("%d rows found, the sources were not read", rows)
	}
}

// declared are the types of a package, and the names of those that have fields on the wire.
func declared(t *testing.T, dir string) (map[string]ast.Node, map[string]bool) {
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	types, messages := map[string]ast.Node{}, map[string]bool{}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), dir+"/"+f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch d := n.(type) {
			case *ast.TypeSpec:
				types[d.Name.Name] = d.Type
			case *ast.FuncDecl:
				if d.Recv == nil || d.Name.Name != "Fields" {
					break
				}
				if of, ok := d.Recv.List[0].Type.(*ast.StarExpr); ok {
					messages[of.X.(*ast.Ident).Name] = true
				}
			}
			return true
		})
	}
	return types, messages
}
