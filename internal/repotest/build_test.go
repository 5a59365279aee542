package repotest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestNoCLibrary: a C compiler on the machine changes neither what the product is made of nor how
// long its first build takes: no package of another module brings C sources along.
func TestNoCLibrary(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "-f",
		"{{if not .Standard}}{{.ImportPath}} {{len .CFiles}}{{end}}", "./cmd/...")
	list.Dir, list.Env = root, append(os.Environ(), "CGO_ENABLED=1")
	out, err := list.Output()
	if err != nil {
		t.Fatal("go list:", err)
	}
	packages := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(packages) < 50 {
		t.Fatalf("%d packages", len(packages))
	}
	for _, line := range packages {
		if name, n, _ := strings.Cut(line, " "); n != "0" {
			t.Errorf("%s has %s C files, which the first build compiles", name, n)
		}
	}
}
