package main

import (
	"strings"
	"testing"
	"time"

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
	institution := file(t, "institution.json", `{"organization_fiscal_code": "80000000010",
		"organization_name": "Comune di Prova", "scopes": ["ApiMessagesWrite"]}`)
	op := func(node string, args ...string) []string {
		return append(args, "--cert", "@ada.pem", "--key", "@ada.key", "--ca", "@ca.pem", "--node", node)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{op("127.0.0.1", "map"), `"127.0.0.1" is not host:port`},
		{op("127.0.0.1:0", "status"), `is not host:port`},
		{op(":7400", "doctor"), `is not host:port`},
		{op("127.0.0.1:udp", "audit"), `is not host:port`},
		{op("127.0.0.1:1", "institution", "put", "--file", institution),
			`scope "ApiMessagesWrite" is none of the contract's`},
	} {
		out, err := admin(c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %q, %v, want one line with %q", c.args, out, err, c.want)
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
