package process_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// staffetta is the executable, built once for all tests.
var staffetta string

// federationsAtOnce is how many tests run at a time. Most of a test's time is waiting, for
// elections and restarts, so it is not bound to the number of cores.
const federationsAtOnce = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "staffetta-process-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// What this machine's user operates is not to be met.
	os.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	staffetta = filepath.Join(dir, "staffetta")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", staffetta,
		"github.com/staffetta/staffetta/cmd/staffetta")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build staffetta:", err)
		return 1
	}
	flag.Set("test.parallel", federationsAtOnce)
	return m.Run()
}
