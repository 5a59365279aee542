package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/admin"
	"github.com/staffetta/staffetta/cmd/internal/clitest"
	"github.com/staffetta/staffetta/wire"
)

// asksNobody are the commands with --dry-run that change files of their own machine only.
var asksNobody = []string{"init", "backup init", "backup prune", "restore", "ca forget", "ca create",
	"cert issue", "cert renew", "cert request", "cert sign", "cert install"}

// withDryRun are the commands of admin that have --dry-run.
func withDryRun(cmd *cobra.Command, path []string) (names []string) {
	for _, sub := range cmd.Commands() {
		names = append(names, withDryRun(sub, append(slices.Clone(path), sub.Name()))...)
	}
	if cmd.Runnable() && cmd.Flags().Lookup("dry-run") != nil {
		names = append(names, strings.Join(path, " "))
	}
	return names
}

// TestDryRunAsksWhetherOneMay: each command with --dry-run, given by an operator who may look only,
// ends as it would without it: forbidden.
func TestDryRunAsksWhetherOneMay(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a node in real time")
	}
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	f := &fedCommands{t: t, dir: filepath.Join(dir, "italia"), ctx: ctx}
	defer func() {
		cancel()
		f.runs.Wait()
	}()
	first := freeUDP(t)
	f.must("admin", "init", "--out", f.dir, "--federation", "italia", "--region", "lazio=12",
		"--node", "lazio-1=lazio@"+first, "--operator", "ada")
	pki := func(name string) string { return filepath.Join(f.dir, "pki", name) }
	here := func(name string) string { return filepath.Join(dir, name) }
	signer := []string{"--ca-cert", pki("ca.crt"), "--ca-key", pki("ca.key")}
	f.flag = []string{"--cert", pki("ada.crt"), "--key", pki("ada.key"), "--ca", pki("ca.crt"),
		"--node", first}
	f.node("--id", "lazio-1", "--region", "lazio", "--dir", here("lazio-1"), "--listen", first,
		"--founding", filepath.Join(f.dir, "founding.json"), "--directory-key",
		filepath.Join(f.dir, "directory.key"), "--cert", pki("lazio-1.crt"), "--key",
		pki("lazio-1.key"), "--ca", pki("ca.crt"))
	f.awaitMap()

	institution := clitest.File(t, "institution.json", `{"organization_fiscal_code": "80000000010",
		"organization_name": "Comune di Prova", "scopes": []}`)
	service := clitest.File(t, "service.json", `{"service_id": "01KZZZZZZZSERV1CE000000001",
		"organization_fiscal_code": "80000000010", "service_name": "Avvisi",
		"department_name": "Servizi", "authorized_cidrs": [], "max_allowed_payment_amount": 1,
		"service_metadata": {"scope": "LOCAL", "description": "Avvisi.",
		"privacy_url": "https://comune.example/privacy"}}`)
	remote := clitest.File(t, "remote.json", `{"configuration_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
		"organization_fiscal_code": "80000000010", "name": "Atti", "description": "Gli atti.",
		"has_precondition": "NEVER", "prod_environment": {"base_url": "https://atti.example",
		"details_authentication": {"header_key_name": "X-Api-Key", "key": "secret"}}}`)
	f.admin("region", "add", "umbria", "--tag", "10")
	f.admin("institution", "put", "--file", institution)
	f.admin("service", "put", "--file", service)
	token := func(id string) []string {
		return append([]string{"node", "token", id, "--region", "lazio", "--addr", "127.0.0.1:7",
			"--out", here(id + ".token")}, signer...)
	}
	f.admin(token("lazio-2")...)
	f.admin("gateway", "add", "edge", "--region", "lazio")
	f.must("admin", "backup", "init", "--target", here("copies"), "--key-file", here("backup.key"))
	f.must(append([]string{"admin", "cert", "issue", "--identity", "spiffe://italia/operator/bob",
		"--cert", here("bob.crt"), "--key", here("bob.key"), "--grant", "observer:*"}, signer...)...)
	other := here("other.crt")
	f.must("admin", "ca", "create", "--federation", "italia", "--ca-cert", other, "--ca-key",
		here("other.key"))
	key := []string{"--service", "01KZZZZZZZSERV1CE000000001", "--name", "primary"}
	calls := map[string][]string{
		"institution put": {"--file", institution}, "service put": {"--file", service},
		"remote-content put":    {"--file", remote},
		"remote-content remove": {"--configuration", "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
		"key revoke":            key, "key rotate": key, "node token": token("lazio-3")[2:],
		"node sign":    append([]string{"lazio-2"}, signer...),
		"node replace": append([]string{"lazio-1"}, append(token("lazio-4")[2:3:3], token("lazio-4")[5:]...)...),
		"node remove":  {"lazio-1"}, "node promote": {"lazio-1"}, "node demote": {"lazio-1"},
		"node handover": {"lazio-1"}, "node drain": {"lazio-1", "--reason", "x"},
		"node maintenance": {"lazio-1", "--reason", "x"}, "node address": {"lazio-1", "h:1"},
		"voters": {"lazio-1"}, "gateway add": {"edge-2", "--region", "lazio"},
		"gateway remove": {"edge"}, "region add": {"puglia", "--tag", "13"},
		"region reopen": {"umbria"}, "region close": {"umbria"}, "region remove": {"umbria"},
		"region recovery-key": {"--region", "lazio", "--out", here("recovery.key")},
		"region-key rotate":   {"--region", "lazio"}, "ca add": {other},
		"upgrade finalise": nil, "disk release-ballast": {"lazio-1"}, "approvals set": {"2"},
		"revoke": {"operator", "ada"}, "restore waive": {"--region", "lazio"},
		"restore fence": {"--region", "lazio", "--incarnation", "1"},
		"cert serve":    append([]string{"--region", "lazio"}, signer...),
		"backup":        {"--target", here("copies"), "--key-file", here("backup.key"), "--all"},
		"spool discard": {"--home", "lazio", "--owner", "umbria"},
		"restore moved": {"--region", "lazio", "--from", "umbria"},
		"session end":   {"--recipient-file", clitest.File(t, "code.txt", "RSSMRA85T10A562S")},
	}
	bob := []string{"--cert", here("bob.crt"), "--key", here("bob.key"), "--ca", pki("ca.crt"),
		"--node", first, "--dry-run"}
	// These say first what there is to do, and there is nothing here: no request that waits, no
	// authority that is silent, no slot of a region that is lost, no citizen.
	elsewhere := []string{"approve", "ca remove", "slots deal", "slots write-off", "move"}
	for _, name := range withDryRun(admin.NewCommand(), nil) {
		if slices.Contains(asksNobody, name) || slices.Contains(elsewhere, name) {
			continue
		}
		args, ok := calls[name]
		if !ok {
			t.Errorf("admin %s: say how it is called, or that it asks nobody", name)
			continue
		}
		words := append(append([]string{"admin"}, strings.Fields(name)...), args...)
		if out, err := f.try(append(words, bob...)...); !errors.Is(err, wire.Forbidden) {
			t.Errorf("admin %s --dry-run, without the right: %q, %v", name, out, err)
		}
	}
	// In earnest they leave no secret behind that nobody knows of.
	for name, file := range map[string]string{"node token": "lazio-3.token",
		"region recovery-key": "recovery.key"} {
		words := append(append([]string{"admin"}, strings.Fields(name)...), calls[name]...)
		_, err := f.try(append(words, bob[:len(bob)-1]...)...)
		_, there := os.Stat(here(file))
		if !errors.Is(err, wire.Forbidden) || !errors.Is(there, fs.ErrNotExist) {
			t.Errorf("admin %s, without the right: %v, its file: %v", name, err, there)
		}
	}
	out := f.admin("region", "recovery-key", "--region", "lazio", "--out", here("recovery.key"),
		"--dry-run")
	if !strings.Contains(out, "would be made") || strings.Contains(out, "recovery key ") &&
		!strings.Contains(out, "a recovery key would") {
		t.Errorf("a key that is not made: %q", out)
	}
}
