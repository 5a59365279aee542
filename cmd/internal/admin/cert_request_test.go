package admin

import (
	"crypto/ecdsa"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/cmd/internal/clitest"
	"github.com/staffetta/staffetta/wire/link"
)

// TestCertByRequest renews a certificate without a key that leaves its machine: the authority's
// directory never sees the node's key, nor the node's the authority's.
func TestCertByRequest(t *testing.T) {
	path, admin := pkiDir(t)
	node := filepath.Join(t.TempDir(), "node")
	if err := os.Mkdir(node, 0o700); err != nil {
		t.Fatal(err)
	}
	must := func(args ...string) string {
		t.Helper()
		for i, a := range args {
			args[i] = strings.ReplaceAll(a, "$", node+"/")
		}
		out, err := admin(args...)
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return out
	}
	refused := func(want string, args ...string) {
		t.Helper()
		for i, a := range args {
			args[i] = strings.ReplaceAll(a, "$", node+"/")
		}
		if out, err := admin(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %q, %v, want %q", args, out, err, want)
		}
	}
	request := func() []string {
		return []string{"cert", "request", "--cert", "$n.crt", "--key", "$n.key", "--out", "@n.csr"}
	}
	sign := func(identity string) []string {
		return []string{"cert", "sign", "--request", "@n.csr", "--identity", identity, "--ca-cert",
			"@ca.pem", "--ca-key", "@ca.key", "--cert", "@n.crt"}
	}
	install := func() []string {
		return []string{"cert", "install", "--signed", "@n.crt", "--cert", "$n.crt", "--key", "$n.key",
			"--ca", "@ca.pem"}
	}
	load := func() *link.Credentials {
		t.Helper()
		c, err := link.LoadCertificate(filepath.Join(node, "n.crt"), filepath.Join(node, "n.key"),
			path("ca.pem"), "italia")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	refused("give --identity", request()...)
	must(append(request(), "--identity", issueNode)...)
	must(append(request(), "--identity", issueNode)...) // of the same key
	refused("it is for", sign("spiffe://italia/region/lazio/node/lazio-2")...)
	must(sign(issueNode)...)
	must(append(install(), "--dry-run")...)
	must(install()...)
	must(install()...)
	first, _ := load().Certificate()

	must(request()...) // whose identity it knows
	if again, _ := load().Certificate(); !again.Leaf.Equal(first.Leaf) {
		t.Error("a request alone replaced the certificate")
	}
	refused("was not made here", append(install(), "--key", "@other.key")...)
	refused("is not for the key", install()...) // the old certificate again
	must(sign(issueNode)...)
	must(install()...)
	second, _ := load().Certificate()
	if second.Leaf.PublicKey.(*ecdsa.PublicKey).Equal(first.Leaf.PublicKey) {
		t.Error("the renewed certificate is for the old key")
	}
	for _, left := range []string{"n.key.next", "n.crt.next"} {
		if _, err := os.Stat(filepath.Join(node, left)); err == nil {
			t.Errorf("%s is left", left)
		}
	}
	must("ca", "create", "--federation", "italia", "--ca-cert", "@new.pem", "--ca-key", "@new.key")
	must(request()...)
	must(append(sign(issueNode), "--ca-cert", "@new.pem", "--ca-key", "@new.key")...)
	refused("would not be believed", install()...)
	must(append(install(), "--with-ca", "@new.pem")...)
	if roots, _ := link.ReadAuthorities(path("ca.pem")); len(roots) != 2 {
		t.Errorf("%d authorities, want both", len(roots))
	}
	load()
}

// TestInitByRequests founds a federation whose members made their keys themselves.
func TestInitByRequests(t *testing.T) {
	dir := t.TempDir()
	admin := func(args ...string) error {
		_, _, err := clitest.Execute(t, Contexts, NewCommand(), "", args...)
		return err
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	request := func(identity, name string) {
		t.Helper()
		if err := admin("cert", "request", "--identity", identity, "--cert", in(name+".crt"), "--key",
			in(name+".key"), "--out", in(name+".csr")); err != nil {
			t.Fatal(err)
		}
	}
	init := []string{"init", "--out", in("italia"), "--federation", "italia", "--region", "lazio=12",
		"--node", "lazio-1=lazio@127.0.0.1:7400", "--gateway", "edge=lazio", "--operator", "ada",
		"--requests", dir}
	request("spiffe://italia/region/lazio/node/lazio-1", "lazio-1")
	request("spiffe://italia/region/lazio/gateway/edge", "ada") // not an operator's
	err := admin(init...)
	if err == nil || !strings.Contains(err.Error(), "edge.csr: no such file") ||
		!strings.Contains(err.Error(), "ada.csr: certificate request: it is for") {
		t.Errorf("got %v, want both that are wrong", err)
	}
	os.Rename(in("ada.csr"), in("edge.csr"))
	os.Remove(in("ada.key.next"))
	request("spiffe://italia/operator/ada", "ada")
	if err := admin(init...); err != nil {
		t.Fatal(err)
	}
	keys, err := filepath.Glob(in("italia/*/*.key"))
	if err != nil || len(keys) != 1 || filepath.Base(keys[0]) != "ca.key" {
		t.Errorf("keys %q, %v, want the authority's alone", keys, err)
	}
	if err := admin("cert", "install", "--signed", in("italia/pki/lazio-1.crt"), "--cert",
		in("lazio-1.crt"), "--key", in("lazio-1.key"), "--ca", in("italia/pki/ca.crt")); err != nil {
		t.Fatal(err)
	}
	c, err := link.LoadCertificate(in("lazio-1.crt"), in("lazio-1.key"), in("italia/pki/ca.crt"),
		"italia")
	if err != nil {
		t.Fatal(err)
	}
	if cert, _ := c.Certificate(); time.Until(cert.Leaf.NotAfter) < 89*day {
		t.Errorf("valid until %s", cert.Leaf.NotAfter)
	}
}
