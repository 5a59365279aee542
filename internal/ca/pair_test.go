package ca

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestPairIsNeverHalf interrupts an installation after each of its steps: a process that starts
// then has a pair that it can use, the old one or the new one.
func TestPairIsNeverHalf(t *testing.T) {
	authority := newCA(t, time.Hour)
	dir := t.TempDir()
	p := Pair{Cert: filepath.Join(dir, "n.crt"), Key: filepath.Join(dir, "n.key")}
	sign := func() []byte {
		t.Helper()
		request, err := p.Request(holder)
		if err != nil {
			t.Fatal(err)
		}
		der, err := authority.Sign(request, holder, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := CertificatePEM(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	usable := func() {
		t.Helper()
		if err := p.Recover(); err != nil {
			t.Fatal(err)
		}
		if _, err := tls.LoadX509KeyPair(p.Cert, p.Key); err != nil {
			t.Error(err)
		}
	}
	if err := p.Install(sign()); err != nil {
		t.Fatal(err)
	}
	for steps := range 5 {
		cert := sign()
		key, err := os.ReadFile(p.Key + next)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []func() error{
			func() error { return ReplaceFile(p.Cert+next, cert, 0o600) },
			func() error { return ReplaceFile(p.Key, key, 0o600) },
			func() error { return ReplaceFile(p.Cert, cert, 0o600) },
			func() error { return os.Remove(p.Key + next) },
		}[:steps] {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		usable()
		if err := p.Install(sign()); err != nil { // and goes on being renewed
			t.Fatal(err)
		}
		usable()
	}
	// A pair that was replaced by other means stays.
	old, err := os.ReadFile(p.Cert)
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := authority.Issue(holder, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string][]byte{p.Cert: cert, p.Key: key, p.Cert + next: old} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	usable()
	if got, _ := os.ReadFile(p.Cert); string(got) != string(cert) {
		t.Error("an interrupted installation came back over a newer pair")
	}
}
