package process_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/localfile"
)

// keyRefusedWithin is the promise: from the end of the operator's command.
const keyRefusedWithin = time.Second

// TestKeysRevokedAndRotated takes keys away as an operator, and asks every gateway. It holds a
// promise that has a time, so it does not run beside other federations.
func TestKeysRevokedAndRotated(t *testing.T) {
	f := startLocal(t, "--demo=false", "--nodes", "1", "--regions", "lazio,lombardia",
		"--gateways", "3")
	file := f.file()
	s := file.Services[0]
	for _, key := range []string{s.PrimaryKey, s.SecondaryKey} {
		awaitKey(t, file, key)
	}

	out := admin(t, "key", "revoke", "--dir", f.dir, "--service", s.ServiceID,
		"--name", "secondary")
	checkRefused(t, file, s.SecondaryKey)
	if !strings.Contains(out, "secondary key of "+s.ServiceID+" is revoked") {
		t.Errorf("revoke says %q", out)
	}
	awaitKey(t, file, s.PrimaryKey)

	fresh := strings.TrimSpace(admin(t, "key", "rotate", "--dir", f.dir, "--service", s.ServiceID,
		"--name", "primary"))
	checkRefused(t, file, s.PrimaryKey)
	awaitKey(t, file, fresh)
	checkRefused(t, file, s.SecondaryKey) // and stays so

	var rotated struct {
		Key string `json:"key"`
	}
	out = admin(t, "key", "rotate", "--json", "--dir", f.dir, "--service", s.ServiceID,
		"--name", "secondary")
	if err := json.Unmarshal([]byte(out), &rotated); err != nil {
		t.Fatalf("rotate --json: %v\n%s", err, out)
	}
	awaitKey(t, file, rotated.Key)
	awaitKey(t, file, fresh)

	// The other service is untouched.
	for _, key := range []string{file.Services[1].PrimaryKey, file.Services[1].SecondaryKey} {
		awaitKey(t, file, key)
	}
	adminRefusals(t, f.dir, s.ServiceID)
}

// admin runs an operator's command, which must succeed.
func admin(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(staffetta, append([]string{"admin"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("admin %v: %v\n%s", args, err, &errs)
	}
	return out.String()
}

// keyStatus asks a gateway with the key: 401 when it is refused, 404 for a message that is not.
func keyStatus(gateway localfile.Gateway, citizen, key string) int {
	a, err := call(http.MethodGet, gateway.URL+"/api/v1/messages/"+citizen+
		"/01HQ0000000000000000000000", nil, keyHeader, key)
	if err != nil {
		return 0
	}
	return a.status
}

// awaitKey waits until every gateway accepts the key.
func awaitKey(t *testing.T, file *localfile.File, key string) {
	t.Helper()
	for _, g := range file.Gateways {
		await(t, g.ID+" accepts a key", func() bool {
			return keyStatus(g, file.Citizens[0].FiscalCode, key) == http.StatusNotFound
		})
	}
}

// checkRefused checks that every gateway comes to refuse the key within the promised time, which
// began with the call of this function, and then goes on refusing it.
func checkRefused(t *testing.T, file *localfile.File, key string) {
	t.Helper()
	code := file.Citizens[0].FiscalCode
	began := time.Now()
	end := began.Add(keyRefusedWithin)
	for _, g := range file.Gateways {
		refused := func() bool { return keyStatus(g, code, key) == http.StatusUnauthorized }
		if !within(time.Until(end), refused) {
			t.Errorf("%s does not refuse a revoked key within %s", g.ID, keyRefusedWithin)
			await(t, g.ID+" refuses a revoked key", refused)
		}
		t.Logf("%s refuses after %s", g.ID, time.Since(began).Round(time.Millisecond))
	}
	for range 5 {
		for _, g := range file.Gateways {
			if got := keyStatus(g, code, key); got != http.StatusUnauthorized {
				t.Errorf("%s answers %d to a revoked key, having refused it", g.ID, got)
			}
		}
	}
}

// adminRefusals checks what operators get told.
func adminRefusals(t *testing.T, dir, service string) {
	t.Helper()
	for _, c := range []struct {
		name string
		want string
		args []string
	}{
		{"no federation", "founding file", []string{"admin", "key", "revoke", "--dir",
			t.TempDir(), "--service", service, "--name", "primary"}},
		{"unknown service", "not-found", []string{"admin", "key", "revoke", "--dir", dir,
			"--service", "01KZZZZZZZSERV1CE999999999", "--name", "primary"}},
		{"unknown key", "not primary or secondary", []string{"admin", "key", "rotate", "--dir",
			dir, "--service", service, "--name", "third"}},
		{"a gateway's certificate", "is not for a gateway", []string{"admin", "key", "revoke",
			"--cert", dir + "/pki/gateway-1.crt", "--key", dir + "/pki/gateway-1.key",
			"--ca", dir + "/pki/ca.crt", "--node", nodeAddr(t, dir), "--service", service,
			"--name", "primary"}},
	} {
		t.Run(c.name, func(t *testing.T) { refuses(t, c.want, c.args...) })
	}
}

func nodeAddr(t *testing.T, dir string) string {
	t.Helper()
	file, err := localfile.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return file.Nodes[0].Addr
}
