package process_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/localfile"
)

// authorities is what `admin ca list --json` says.
type authorities struct {
	Authorities []struct {
		Fingerprint string   `json:"fingerprint"`
		Federation  bool     `json:"federation"`
		InFilesOf   []string `json:"in_files_of"`
		NeededBy    []string `json:"needed_by"`
	} `json:"authorities"`
}

func listAuthorities(t *testing.T, dir string) (a authorities) {
	t.Helper()
	out := admin(t, "ca", "list", "--dir", dir, "--json")
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		t.Fatalf("ca list --json: %v\n%s", err, out)
	}
	return a
}

// neededBy is who needs the authority with a fingerprint.
func (a authorities) neededBy(fingerprint string) []string {
	for _, c := range a.Authorities {
		if c.Fingerprint == fingerprint {
			return c.NeededBy
		}
	}
	return nil
}

// TestAuthorityIsReplacedByCommands replaces the authority of real processes with an operator's
// commands, as written in the runbook, while a client submits, of which nothing may fail. Then it
// revokes the gateway.
func TestAuthorityIsReplacedByCommands(t *testing.T) {
	t.Parallel()
	f := startLocal(t, "--demo=false", "--nodes", "1", "--regions", "lazio,sicilia")
	file := f.file()
	gateway, key := file.Gateways[0], file.Services[0].PrimaryKey
	awaitKey(t, file, key)

	stop, done := make(chan struct{}), sync.WaitGroup{}
	done.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-stop:
				if n < 20 {
					t.Errorf("%d submissions meanwhile: that proves little", n)
				}
				return
			case <-tick.C:
			}
			a, err := call(http.MethodPost, gateway.URL+"/api/v1/messages",
				messageTo(file.Citizens[n%len(file.Citizens)].FiscalCode, "durante il cambio"),
				keyHeader, key)
			if err != nil || a.status != http.StatusCreated {
				t.Errorf("submission %d: %v, %+v", n, err, a)
			}
		}
	})

	pki, fresh := filepath.Join(f.dir, "pki"), t.TempDir()
	caCert, caKey := filepath.Join(fresh, "ca.crt"), filepath.Join(fresh, "ca.key")
	admin(t, "ca", "create", "--federation", "local", "--ca-cert", caCert, "--ca-key", caKey)
	old := listAuthorities(t, f.dir).Authorities[0].Fingerprint
	refuses(t, "come from it: renew them first", "admin", "ca", "remove", old, "--dir", f.dir)
	admin(t, "ca", "add", filepath.Join(pki, "ca.crt"), caCert, "--dir", f.dir)
	refuses(t, "come from it: renew them first", "admin", "ca", "remove", old, "--dir", f.dir)
	refuses(t, "nobody who answers believes", "admin", "ca", "remove", "0123456789", "--dir", f.dir)

	everybody := []string{"local", gateway.ID}
	for _, n := range file.Nodes {
		everybody = append(everybody, n.ID)
	}
	for _, id := range everybody {
		admin(t, "cert", "renew", "--cert", filepath.Join(pki, id+".crt"), "--key",
			filepath.Join(pki, id+".key"), "--ca", filepath.Join(pki, "ca.crt"),
			"--ca-cert", caCert, "--ca-key", caKey)
	}
	await(t, "nobody needs the old authority", func() bool {
		return len(listAuthorities(t, f.dir).neededBy(old)) == 0
	})
	refuses(t, "--ca files of 2 nodes name it", "admin", "ca", "remove", old, "--dir", f.dir)
	admin(t, "ca", "forget", old[:8], "--ca", filepath.Join(pki, "ca.crt"), "--cert",
		filepath.Join(pki, "local.crt"))
	await(t, "no file names the old authority", func() bool {
		for _, a := range listAuthorities(t, f.dir).Authorities {
			if a.Fingerprint == old && len(a.InFilesOf) > 0 {
				return false
			}
		}
		return true
	})
	admin(t, "ca", "remove", old, "--dir", f.dir)
	await(t, "the old authority is gone", func() bool {
		a := listAuthorities(t, f.dir)
		return len(a.Authorities) == 1 && a.Authorities[0].Fingerprint != old
	})
	admin(t, "ca", "remove", old, "--dir", f.dir) // it may be repeated
	close(stop)
	done.Wait()

	f.interrupt() // and everything would start again
	f.start()
	file = f.file()
	awaitKey(t, file, key)
	revokeTheGateway(t, f, file, caCert, caKey)
}

func revokeTheGateway(t *testing.T, f *federation, file *localfile.File, caCert, caKey string) {
	t.Helper()
	gateway, key, code := file.Gateways[0], file.Services[0].PrimaryKey, file.Citizens[0].FiscalCode
	refuses(t, "no majority", "admin", "revoke", "node", file.Nodes[0].ID, "--dir", f.dir)
	refuses(t, "cannot revoke itself", "admin", "revoke", "operator", "local", "--dir", f.dir)
	refuses(t, "is not the identity", "admin", "revoke", "spiffe://local/x", "--dir", f.dir)
	refuses(t, "0 identities", "admin", "revoke", "gateway", "nobody", "--dir", f.dir)
	for range 2 { // it may be repeated
		admin(t, "revoke", "gateway", gateway.ID, "--dir", f.dir)
	}
	a, err := call(http.MethodPost, gateway.URL+"/api/v1/messages", messageTo(code, "troppo tardi"),
		keyHeader, key)
	if err != nil || a.status != http.StatusServiceUnavailable {
		t.Errorf("a revoked gateway answers %v, %+v, want 503", err, a)
	}
	health, err := call(http.MethodGet, gateway.Admin+"/health", nil)
	if err != nil || health.status != http.StatusServiceUnavailable ||
		!strings.Contains(string(health.body), "revoked") {
		t.Errorf("/health of a revoked gateway: %v, %+v", err, health)
	}
	pki := filepath.Join(f.dir, "pki")
	admin(t, "cert", "renew", "--valid-from", "now", "--cert", filepath.Join(pki, gateway.ID+".crt"),
		"--key", filepath.Join(pki, gateway.ID+".key"), "--ca-cert", caCert, "--ca-key", caKey)
	await(t, "the gateway is served again", func() bool {
		a, err := call(http.MethodPost, gateway.URL+"/api/v1/messages", messageTo(code, "di nuovo"),
			keyHeader, key)
		return err == nil && a.status == http.StatusCreated
	})
	lines := strings.Split(admin(t, "audit", "--dir", f.dir), "\n")
	for _, want := range []string{"ca add", "ca remove", "revoke"} {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, want) }) {
			t.Errorf("the audit has no line of %q", want)
		}
	}
}
