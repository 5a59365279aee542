package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// measureAll runs the benchmarks, one after the other; each package is built once.
func measureAll(ctx context.Context, rows []row) (map[string]counts, error) {
	dir, err := os.MkdirTemp("", "allocs-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	built := map[string]string{}
	now := make(map[string]counts, len(rows))
	for _, r := range rows {
		binary := built[r.pkg]
		if binary == "" {
			binary = filepath.Join(dir, strings.ReplaceAll(r.pkg, "/", "-")+".test")
			_, err := command(ctx, ".", nil, "go", "test", "-c", "-o", binary, "./"+r.pkg)
			if err != nil {
				return nil, fmt.Errorf("build %s: %w", r.pkg, err)
			}
			built[r.pkg] = binary
		}
		if now[r.name()], err = measure(ctx, binary, r); err != nil {
			return nil, fmt.Errorf("run %s: %w", r.name(), err)
		}
	}
	return now, nil
}

// measure runs one benchmark in its package's folder, as go test would.
func measure(ctx context.Context, binary string, r row) (counts, error) {
	out, err := command(ctx, r.pkg, uncollected, binary, "-test.run", "^$", "-test.bench",
		pattern(r.benchmark), "-test.benchtime", strconv.Itoa(r.runs)+"x", "-test.benchmem",
		"-test.cpu", "1", "-test.timeout", runMax.String())
	if err != nil {
		return counts{}, err
	}
	return read(out)
}

// pattern matches one benchmark and no other.
func pattern(benchmark string) string {
	parts := strings.Split("Benchmark"+benchmark, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

var (
	allocsPerOp = regexp.MustCompile(`\s(\d+) allocs/op`)
	bytesPerOp  = regexp.MustCompile(`\s(\d+) B/op`)
)

// read finds the counts of the one benchmark that ran.
func read(out string) (c counts, err error) {
	a, b := allocsPerOp.FindAllStringSubmatch(out, -1), bytesPerOp.FindAllStringSubmatch(out, -1)
	if len(a) != 1 || len(b) != 1 {
		return c, fmt.Errorf("%d results, want one: is there such a benchmark?\n%s", len(a), out)
	}
	if c.allocs, err = strconv.ParseInt(a[0][1], 10, 64); err == nil {
		c.bytes, err = strconv.ParseInt(b[0][1], 10, 64)
	}
	return c, err
}

// uncollected keeps the collector away while there is memory, and with it the chance by which it
// empties pools, so that what is counted is what the code asks for.
var uncollected = []string{"GOGC=off", "GOMEMLIMIT=1GiB"}

// command runs a program in a folder and returns what it printed, which an error repeats.
func command(ctx context.Context, dir string, env []string, name string, args ...string) (
	string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return string(out), nil
}
