package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/backup"
)

// runbook is a federation of three nodes in three regions, and a repository.
type runbook struct {
	*fedCommands
	base  string
	repo  []string // the flags of the repository
	addrs map[string]string
}

func newRunbook(t *testing.T, ctx context.Context) *runbook {
	base := t.TempDir()
	f := &runbook{fedCommands: &fedCommands{t: t, dir: filepath.Join(base, "italia"), ctx: ctx},
		base: base, addrs: map[string]string{}, repo: []string{"--target",
			filepath.Join(base, "copies"), "--key-file", filepath.Join(base, "backup.key")}}
	args := []string{"admin", "init", "--out", f.dir, "--federation", "italia", "--operator", "ada"}
	for i, region := range []string{"lazio", "sicilia", "umbria"} {
		name := region + "-1"
		f.addrs[name] = freeUDP(t)
		args = append(args, "--region", region+"="+string(rune('1'+i)),
			"--node", name+"="+region+"@"+f.addrs[name])
	}
	f.must(args...)
	pki := func(name string) string { return filepath.Join(f.dir, "pki", name) }
	f.flag = []string{"--cert", pki("ada.crt"), "--key", pki("ada.key"), "--ca", pki("ca.crt"),
		"--node", f.addrs["sicilia-1"]}
	return f
}

// start runs a node on a directory below the base.
func (f *runbook) start(name, dir string) (ended chan error, stop func()) {
	region, _, _ := strings.Cut(name, "-")
	pki := func(ext string) string { return filepath.Join(f.dir, "pki", name+ext) }
	return f.node("--id", name, "--region", region, "--dir", filepath.Join(f.base, dir), "--listen",
		f.addrs[name], "--founding", filepath.Join(f.dir, "founding.json"), "--directory-key",
		filepath.Join(f.dir, "directory.key"), "--cert", pki(".crt"), "--key", pki(".key"),
		"--ca", filepath.Join(f.dir, "pki", "ca.crt"))
}

// await runs an operator's command until it answers what is wanted.
func (f *runbook) await(what string, holds func(out string) bool, args ...string) {
	f.t.Helper()
	for {
		out, err := f.try(append(append([]string{"admin"}, args...), f.flag...)...)
		if err == nil && holds(out) {
			return
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-f.ctx.Done():
			f.t.Fatalf("it is not so that %s: %v\n%s", what, err, out)
		}
	}
}

// TestRestoreByCommands takes copies of a federation, loses a region's disks and restores it, by
// the commands as an operator types them.
func TestRestoreByCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("runs nodes in real time")
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	f := newRunbook(t, ctx)
	defer func() {
		cancel()
		f.runs.Wait()
	}()
	stops := map[string]func(){}
	ended := map[string]chan error{}
	for name := range f.addrs {
		ended[name], stops[name] = f.start(name, name)
	}
	f.awaitMap()

	with := func(args ...string) []string { return append(args, f.repo...) }
	if _, err := f.try(with("admin", "backup", "list", "--all")...); err == nil {
		t.Error("copies are listed where no repository is")
	}
	f.must(with("admin", "backup", "init")...)
	f.must(with("admin", "backup", "init")...) // it is there already
	f.setRecoveryKeys()
	var taken struct{ Copies []backup.Report }
	for range 2 { // the first time some group may have no leader yet
		f.await("every group has a copy", func(out string) bool {
			return json.Unmarshal([]byte(out), &taken) == nil && len(taken.Copies) == 4
		}, with("backup", "--all", "--json")...)
	}
	for _, c := range taken.Copies {
		if c.AddedBytes >= c.Bytes || c.FromLeader != (c.Group != "federation") {
			t.Errorf("the second copy: %+v", c)
		}
	}
	verify := with("admin", "backup", "verify", "--all")
	f.must(append(verify, "--quick")...)
	verify = append(verify, "--scratch", f.base)
	if _, err := f.try(verify...); err == nil || !strings.Contains(err.Error(), "--recovery-key") {
		t.Errorf("verified without the recovery keys: %v", err)
	}
	for _, region := range []string{"lazio", "sicilia", "umbria"} {
		verify = append(verify, "--recovery-key", f.recoveryKey(region))
	}
	verified := f.must(verify...)
	if strings.Count(verified, "the state opens") != 4 {
		t.Errorf("verified:\n%s", verified)
	}
	if out := f.must(with("admin", "backup", "prune", "--keep", "1", "--dry-run")...); !strings.
		Contains(out, "4 copies stay") {
		t.Errorf("prune says\n%s", out)
	}
	f.restoreRegion(with, ended, stops)
}

func (f *runbook) recoveryKey(region string) string {
	return filepath.Join(f.base, region+"-recovery.key")
}

// setRecoveryKeys has the copies of each region sealed: umbria's key is made by its custodian, who
// gives the public half away.
func (f *runbook) setRecoveryKeys() {
	f.await("region lazio has a leader", func(string) bool { return true }, "region-key", "show",
		"--region", "lazio")
	args := append([]string{"admin", "backup", "--region", "lazio"}, f.repo...)
	if out, err := f.try(append(args, f.flag...)...); err == nil ||
		!strings.Contains(out, "no recovery key") {
		f.t.Errorf("a copy in clear: %v\n%s", err, out)
	}
	for range 2 {
		f.admin("region", "recovery-key", "--region", "lazio", "--out", f.recoveryKey("lazio"))
	}
	f.admin("region", "recovery-key", "--region", "sicilia", "--out", f.recoveryKey("sicilia"))
	f.must("admin", "region", "recovery-key", "--out", f.recoveryKey("umbria"))
	public := f.recoveryKey("umbria") + ".pub"
	f.refused("is not a recovery key's public", "region", "recovery-key", "--region", "umbria",
		"--public", f.recoveryKey("umbria"))
	out := f.admin("region", "recovery-key", "--region", "umbria", "--public", public, "--dry-run")
	if !strings.Contains(out, "would be sealed") {
		f.t.Errorf("a dry run says %q", out)
	}
	f.admin("region", "recovery-key", "--region", "umbria", "--public", public)
	// The node that answers may follow, and hear of the last key a moment later.
	f.await("no region is said to have no recovery key",
		func(out string) bool { return !strings.Contains(out, "none") }, "region", "list")
}

// restoreRegion loses lazio and brings it back.
func (f *runbook) restoreRegion(with func(...string) []string, ended map[string]chan error,
	stops map[string]func()) {
	stops["lazio-1"]()
	<-ended["lazio-1"]
	fence := []string{"restore", "fence", "--region", "lazio", "--incarnation", "1"}
	f.await("a dry run is taken", func(out string) bool { return strings.Contains(out, "would be") },
		append(fence, "--dry-run")...)
	f.refused("the next one is 1", "restore", "fence", "--region", "lazio", "--incarnation", "2")
	for _, says := range []string{"is of incarnation 1, after 0", "is of incarnation 1 already"} {
		if out := f.admin(fence...); !strings.Contains(out, says) {
			f.t.Errorf("fence says %q, want %q", out, says)
		}
	}
	restore := with("admin", "restore", "--group", "region/lazio", "--incarnation", "1", "--founder",
		"lazio-1", "--node", "lazio-1", "--dir", filepath.Join(f.base, "restored"))
	restore = slices.Clip(restore)
	for words, key := range map[string][]string{
		"with --recovery-key": nil,
		"is another":          {"--recovery-key", f.recoveryKey("umbria")},
		"is not a recovery":   {"--recovery-key", f.recoveryKey("lazio") + ".pub"},
	} {
		if _, err := f.try(append(restore, key...)...); err == nil ||
			!strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "\n") {
			f.t.Errorf("restored with %v: %v, want one line with %q", key, err, words)
		}
	}
	restore = slices.Clip(append(restore, "--recovery-key", f.recoveryKey("lazio")))
	if out := f.must(append(restore, "--dry-run")...); !strings.Contains(out, "would be made") {
		f.t.Errorf("a dry run says %q", out)
	}
	if _, err := os.Stat(filepath.Join(f.base, "restored")); err == nil {
		f.t.Error("a dry run made a directory")
	}
	f.must(restore...)
	for words, args := range map[string][]string{
		"is there already":    restore,
		"belongs to node":     append(restore, "--node", "lazio-2", "--replace"),
		"no copy of":          append(restore, "--at", "2020-01-01T00:00:00Z"),
		"is needed":           append(restore, "--incarnation", "0"),
		"neither latest":      append(restore, "--at", "yesterday"),
		"only the federation": append(restore, "--founding-out", filepath.Join(f.base, "map.json")),
	} {
		if _, err := f.try(args...); err == nil || !strings.Contains(err.Error(), words) {
			f.t.Errorf("%v: %v, want an error with %q", args, err, words)
		}
	}
	ended["lazio-1"], stops["lazio-1"] = f.start("lazio-1", "restored")
	f.await("the restored region serves", func(out string) bool {
		var r struct {
			Groups []struct {
				Done  bool
				Index uint64 `json:"lost_after_index"`
			}
		}
		return json.Unmarshal([]byte(out), &r) == nil && len(r.Groups) == 1 && r.Groups[0].Done &&
			r.Groups[0].Index > 0
	}, "restore", "status", "--json")

	// The old directory does not come back, nor does it when it is tried again.
	stops["lazio-1"]()
	<-ended["lazio-1"]
	for range 2 {
		old, _ := f.start("lazio-1", "lazio-1")
		if err := <-old; err == nil || !strings.Contains(err.Error(), "was restored from a backup") {
			f.t.Errorf("the old directory ends with %v", err)
		}
	}
	// The restored one does, and can be backed up like any.
	f.start("lazio-1", "restored")
	f.await("the restored region has a copy", func(out string) bool {
		return strings.Contains(out, `"incarnation": 1`)
	}, with("backup", "--region", "lazio", "--json")...)
}
