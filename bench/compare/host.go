package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

const product = "github.com/staffetta/staffetta"

// host is where and with what a run was made.
type host struct {
	CPUs        int               `json:"cpus"`
	MemoryBytes uint64            `json:"memory_bytes"`
	Kernel      string            `json:"kernel"`
	FileSystem  string            `json:"file_system"` // its magic number, as statfs has it
	Go          string            `json:"go"`
	Product     string            `json:"product"` // as git describes its sources
	Modules     map[string]string `json:"modules"`
}

// thisHost describes the machine, for files in dir.
func thisHost(dir string) host {
	h := host{CPUs: runtime.NumCPU(), Go: runtime.Version(), Modules: make(map[string]string)}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		h.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		h.MemoryBytes = uint64(info.Totalram) * uint64(info.Unit)
	}
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) == nil {
		h.FileSystem = fmt.Sprintf("%#x", fs.Type)
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, m := range build.Deps {
			for _, peer := range []string{"nats", "etcd/server", "etcd/client", "pgx"} {
				if strings.Contains(m.Path, peer) {
					h.Modules[m.Path] = m.Version
				}
			}
		}
	}
	return h
}

// buildProduct builds the product's binary in dir, from the product's own module: its versions
// of everything, not those that this module asks for together with the peers. commit is empty
// where git does not know the sources.
func buildProduct(ctx context.Context, dir string) (binary, commit string, err error) {
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", product)
	list.Stderr = os.Stderr
	source, err := list.Output()
	if err != nil {
		return "", "", fmt.Errorf("find the sources of the product (run this below bench/): %w", err)
	}
	root := strings.TrimSpace(string(source))
	binary = filepath.Join(dir, "staffetta")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/staffetta")
	build.Dir, build.Stderr = root, os.Stderr
	if err := build.Run(); err != nil {
		return "", "", fmt.Errorf("build the product: %w", err)
	}
	describe := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty")
	describe.Dir = root
	said, _ := describe.Output() // sources need not come from git
	return binary, strings.TrimSpace(string(said)), nil
}
