package wire

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/internal/codec"
)

// stored are the messages that lie in rows of the states, in copies of them and in nodes' files,
// beyond what blocks and commands hold and what is a region's row by itself.
var stored = []codec.Message{new(Profile), new(Ownership), new(Summary), new(Content),
	new(BackupHead), new(BackupFile), new(Sightings)}

// logged are the names of the messages that are logged or stored for ever: what commands and blocks
// hold, what rows hold, and all that those contain. The others merely travel: they are gone when
// all programs are of a newer version.
func logged(t *testing.T) map[string]bool {
	names, rows := map[string]bool{}, rowValues(t)
	for _, m := range messages() {
		if of := reflect.TypeOf(m); rows[of.Elem().Name()] {
			contained(of, names)
		}
	}
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

// rowValues are the names of the messages that are the value of a kind of row, by the table of kinds.
func rowValues(t *testing.T) map[string]bool {
	t.Helper()
	table, err := os.ReadFile("../node/region/rowkinds.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range regexp.MustCompile(`value: &wire\.(\w+)\{`).FindAllSubmatch(table, -1) {
		names[string(m[1])] = true
	}
	if len(names) < 5 {
		t.Fatalf("%d messages that are rows: the table was not read", len(names))
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
	all, forEver := map[string]bool{}, logged(t)
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
