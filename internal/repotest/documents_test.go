package repotest

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rows returns the cells of all table rows in text, header and rule left out.
func rows(text string) [][]string {
	var all [][]string
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") ||
			i+1 < len(lines) && strings.HasPrefix(lines[i+1], "|---") {
			continue
		}
		var cells []string
		for _, cell := range strings.Split(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		all = append(all, cells)
	}
	return all
}

// code is the text between the first pair of backquotes.
func code(cell string) string {
	_, rest, _ := strings.Cut(cell, "`")
	word, _, _ := strings.Cut(rest, "`")
	return word
}

// TestGlossary: every term is defined once, and names something that is there.
func TestGlossary(t *testing.T) {
	var sources strings.Builder
	for _, name := range filesWith(t, ".go") {
		if !strings.HasSuffix(name, "_test.go") {
			sources.WriteString(readFile(t, name))
		}
	}
	all := sources.String()
	glossary, _, _ := strings.Cut(readFile(t, "docs/glossary.md"), "\n## Reserved")
	seen := map[string]bool{}
	for _, r := range rows(glossary) {
		if len(r) != 3 {
			t.Errorf("the row of %q has %d cells, want 3", r[0], len(r))
			continue
		}
		term, where := r[0], code(r[1])
		if seen[term] {
			t.Errorf("%q is defined twice", term)
		}
		seen[term] = true
		if where == "" {
			t.Errorf("%q does not say where it stands in the code", term)
			continue
		}
		if strings.Contains(where, "/") || !strings.Contains(where, ".") {
			if _, err := os.Stat(filepath.Join(root, where)); err != nil {
				t.Errorf("%q stands in %s, which is not there", term, where)
			}
			continue
		}
		owner, name, _ := strings.Cut(where, ".")
		declared := regexp.MustCompile(`(?m)^(type |func |func \(\w+ \*?` + owner + `\) |\t)` +
			regexp.QuoteMeta(name) + `\b`)
		if !declared.MatchString(all) {
			t.Errorf("%q stands in %s, which is declared nowhere", term, where)
		}
	}
	if len(seen) < 40 {
		t.Errorf("the glossary has %d terms", len(seen))
	}
}

// TestDependencies: docs/dependencies.md lists the modules that our packages and their tests
// import, and the tools, and no others.
func TestDependencies(t *testing.T) {
	mod := readFile(t, "go.mod")
	var required []string
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+`).FindAllStringSubmatch(mod, -1) {
		required = append(required, m[1])
	}
	moduleOf := func(path string) string {
		best := ""
		for _, m := range required {
			if (path == m || strings.HasPrefix(path, m+"/")) && len(m) > len(best) {
				best = m
			}
		}
		return best
	}
	want := map[string]bool{}
	for _, p := range packages(t) {
		for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if m := moduleOf(path); m != "" {
				want[m] = true
			}
		}
	}
	_, tools, _ := strings.Cut(mod, "\ntool (")
	tools, _, _ = strings.Cut(tools, "\n)")
	for _, path := range strings.Fields(tools) {
		if m := moduleOf(path); m != "" {
			want[m] = true
		}
	}
	got := map[string]bool{}
	for _, r := range rows(readFile(t, "docs/dependencies.md")) {
		m := code(r[0])
		got[m] = true
		if !want[m] {
			t.Errorf("docs/dependencies.md lists %s, which nobody imports", m)
		}
		if slices.Contains(r, "") {
			t.Errorf("docs/dependencies.md says too little of %s", m)
		}
	}
	for m := range want {
		if !got[m] {
			t.Errorf("%s is a direct dependency and not in docs/dependencies.md", m)
		}
	}
}

// TestArchitectureNamesPackages: the table of docs/architecture.md has every package.
func TestArchitectureNamesPackages(t *testing.T) {
	table := section(t, readFile(t, "docs/architecture.md"), "## Packages")
	for _, p := range packages(t) {
		if !strings.Contains(table, "`"+p.name()+"`") {
			t.Errorf("docs/architecture.md does not say what %s is", p.name())
		}
	}
}

// TestPromises: the tests that README.md names for its promises are there.
func TestPromises(t *testing.T) {
	span := regexp.MustCompile("`([^`]+)`")
	promises := rows(section(t, readFile(t, "README.md"), "## Promises"))
	for i, promise := range promises[:7] {
		if promise[0] != "P"+string(rune('1'+i)) {
			t.Fatalf("the promises are not P1 to P7: row %d is %s", i+1, promise[0])
		}
		names, dir := 0, ""
		for _, m := range span.FindAllStringSubmatch(promise[2], -1) {
			if !strings.HasPrefix(m[1], "Test") {
				dir = m[1]
				continue
			}
			names++
			tests, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(tests, func(file string) bool {
				b, err := os.ReadFile(file)
				return err == nil && strings.Contains(string(b), "\nfunc "+m[1]+"(")
			}) {
				t.Errorf("%s is shown by %s in %s, which is not there", promise[0], m[1], dir)
			}
		}
		if names == 0 {
			t.Errorf("nothing shows %s", promise[0])
		}
	}
}

var linked = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinks: links between documents lead somewhere.
// TestPromisesPage: every test that docs/promises.md names is there.
func TestPromisesPage(t *testing.T) {
	declared := map[string]bool{}
	declaration := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		b, err := os.ReadFile(file)
		for _, m := range declaration.FindAllSubmatch(b, -1) {
			declared[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(
		readFile(t, "docs/promises.md"), -1)
	if len(named) < 7 {
		t.Fatalf("docs/promises.md names %d tests", len(named))
	}
	for _, m := range named {
		if !declared[m[1]] {
			t.Errorf("docs/promises.md names %s, which is not there", m[1])
		}
	}
}

func TestLinks(t *testing.T) {
	for _, doc := range documents(t) {
		for _, m := range linked.FindAllStringSubmatch(readFile(t, doc), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := doc
			if target != "" {
				file = path.Join(path.Dir(doc), target)
			}
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				t.Errorf("%s links to %s, which is not there", doc, m[1])
				continue
			}
			if anchor != "" && !slices.Contains(anchors(readFile(t, file)), anchor) {
				t.Errorf("%s links to %s, and %s has no such heading", doc, m[1], file)
			}
		}
	}
}

// anchors are what the headings of a document can be linked by.
func anchors(text string) []string {
	var all []string
	drop := regexp.MustCompile(`[^a-z0-9 -]`)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			heading := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
			all = append(all, strings.ReplaceAll(drop.ReplaceAllString(heading, ""), " ", "-"))
		}
	}
	return all
}

// oneSystem matches files that stand in for another on one operating system.
var oneSystem = regexp.MustCompile(`_(linux|unix|other|windows|darwin)\.go$`)

// TestMapsOfFiles: where a package comment has a map of the files, it names those that are there.
func TestMapsOfFiles(t *testing.T) {
	entry := regexp.MustCompile(`(?m)^//[ \t]+([a-z0-9_]+\.go)\b`)
	for _, p := range packages(t) {
		for _, file := range p.GoFiles {
			if file != "doc.go" && file != p.Name+".go" {
				continue
			}
			text := readFile(t, p.name()+"/"+file)
			for _, m := range entry.FindAllStringSubmatch(text, -1) {
				if _, err := os.Stat(filepath.Join(p.Dir, m[1])); err != nil {
					t.Errorf("%s/%s maps %s, which is not there", p.name(), file, m[1])
				}
			}
			if !strings.Contains(text, "the files:") {
				continue
			}
			for _, f := range p.GoFiles {
				if !strings.Contains(text, f) && f != file && !oneSystem.MatchString(f) {
					t.Errorf("%s/%s does not map %s", p.name(), file, f)
				}
			}
		}
	}
}
