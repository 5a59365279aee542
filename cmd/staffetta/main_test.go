package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// asProgram makes the tests' executable be the program, for it and all processes that it starts, so
// that no test has to link the program once more.
const asProgram = "TEST_AS_STAFFETTA"

// TestMain keeps what its user has set, for the federations that are operated from this machine,
// away from the tests: a command under test would go there.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(isolated(m))
}

func isolated(m *testing.M) int {
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, variablePrefix) {
			os.Unsetenv(name)
		}
	}
	dir, err := os.MkdirTemp("", "staffetta-config-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv("XDG_CONFIG_HOME", dir)
	return m.Run()
}
