package admin

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/cmd/internal/clitest"
	"github.com/staffetta/staffetta/internal/ca"
)

// TestRefusedBeforeAnythingIsAsked: what cannot be right is refused at once, with its one cause, by
// every command, and not warned of or tried for half a minute.
func TestRefusedBeforeAnythingIsAsked(t *testing.T) {
	_, admin := pkiDir(t)
	if _, err := admin("cert", "issue", "--identity", "spiffe://italia/operator/ada", "--ca-cert",
		"@ca.pem", "--ca-key", "@ca.key", "--cert", "@ada.pem", "--key", "@ada.key", "--grant",
		"operator:*"); err != nil {
		t.Fatal(err)
	}
	institution := clitest.File(t, "institution.json", `{"organization_fiscal_code": "80000000010",
		"organization_name": "Comune di Prova", "scopes": ["ApiMessagesWrite"]}`)
	op := func(node string, args ...string) []string {
		return append(args, "--cert", "@ada.pem", "--key", "@ada.key", "--ca", "@ca.pem", "--node", node)
	}
	out := filepath.Join(t.TempDir(), "out")
	spec := clitest.File(t, "spec.json", `{"federation": "italia", "regions": [{"id": "lazio", "tag": 12}],
		"nodes": [{"id": "a", "region": "lazio", "addr": "10.0.0.1"}]}`)
	for _, c := range []struct {
		args []string
		want string
	}{
		{op("127.0.0.1", "map"), `"127.0.0.1" is not host:port`},
		{op("127.0.0.1:0", "status"), `is not host:port`},
		{op(":7400", "doctor"), `is not host:port`},
		{op("127.0.0.1:udp", "audit"), `is not host:port`},
		{op("127.0.0.1:1", "node", "address", "lazio-1", "10.0.0.1"), `"10.0.0.1" is not host:port`},
		{[]string{"init", "--out", out, "--spec", spec}, `address of node a: "10.0.0.1" is not`},
		{[]string{"context", "add", "x", "--cert", "@ada.pem", "--key", "@ada.key", "--ca", "@ca.pem",
			"--node", "relay.example:99999"}, `"relay.example:99999" is not host:port`},
		{op("127.0.0.1:1", "institution", "put", "--file", institution),
			`scope "ApiMessagesWrite" is none of the contract's`},
	} {
		out, err := admin(c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %q, %v, want one line with %q", c.args, out, err, c.want)
		}
	}
}

// initialise runs `admin init` with one node.
func initialise(t *testing.T, out, addr string, more ...string) error {
	args := append([]string{"admin", "init", "--out", out, "--federation", "italia", "--region",
		"lazio=12", "--node", "a=lazio@" + addr}, more...)
	return cli.Run(t.Context(), newRoot, args, strings.NewReader(""), io.Discard, io.Discard)
}

// TestInitAddresses: no federation is founded with a node that cannot be reached.
func TestInitAddresses(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	for _, addr := range []string{"10.0.0.1", "relay.example:99999", "relay.example:0", ":7400"} {
		err := initialise(t, out, addr)
		if err == nil || !strings.Contains(err.Error(), `address of node a: "`+addr+
			`" is not host:port`) {
			t.Errorf("%s: %v", addr, err)
		}
	}
	if err := initialise(t, out, "relay.example:7400"); err != nil {
		t.Error(err)
	}
}

// TestInitOperators: each of the operators that are named has a certificate.
func TestInitOperators(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	err := initialise(t, out, "10.0.0.1:7400", "--operator", "ada", "--operator", "bob")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ada.crt", "bob.key"} {
		if _, err := os.Stat(filepath.Join(out, "pki", name)); err != nil {
			t.Error(err)
		}
	}
}

// TestAuthorityThatNobodyBelieves: no token is made, and nothing signed, by an authority whose
// certificates everybody would refuse.
func TestAuthorityThatNobodyBelieves(t *testing.T) {
	ours, err := ca.New("italia", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := ca.New("italia", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := believed(ours, string(theirs.CertPEM())+string(ours.CertPEM())); err != nil {
		t.Error(err)
	}
	if err := believed(ours, string(theirs.CertPEM())); err == nil ||
		!strings.Contains(err.Error(), "'admin ca add' first") {
		t.Errorf("got %v, want a refusal", err)
	}
}
