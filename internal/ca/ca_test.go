package ca

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var holder = &url.URL{Scheme: "spiffe", Host: "italia", Path: "/region/lazio/node/lazio-1"}

func newCA(t *testing.T, validity time.Duration) *CA {
	t.Helper()
	c, err := New("italia", validity)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestIssue(t *testing.T) {
	c := newCA(t, time.Hour)
	again, err := Load(c.CertPEM(), c.KeyPEM())
	if err != nil {
		t.Fatal(err)
	}
	for _, authority := range []*CA{c, again} {
		certPEM, keyPEM, err := authority.Issue(holder, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		if err != nil {
			t.Fatal(err)
		}
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth,
			x509.ExtKeyUsageClientAuth} {
			_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: c.Pool(),
				KeyUsages: []x509.ExtKeyUsage{usage}})
			if err != nil {
				t.Error(err)
			}
		}
		if got := pair.Leaf.URIs; len(got) != 1 || got[0].String() != holder.String() {
			t.Errorf("got URIs %v, want %s", got, holder)
		}
		if got := time.Until(pair.Leaf.NotAfter); got > time.Hour {
			t.Errorf("valid for %s, longer than its authority", got)
		}
	}
	if _, _, err := c.Issue(holder, 0); err == nil {
		t.Error("issued for no time")
	}
}

func TestIssuedCertificateExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCA(t, 48*time.Hour)
		certPEM, keyPEM, err := c.Issue(holder, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Minute)
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: c.Pool()}); err == nil {
			t.Error("valid after its end")
		}
	})
}

func TestLoadRefuses(t *testing.T) {
	c, other := newCA(t, time.Hour), newCA(t, time.Hour)
	leaf, leafKey, err := c.Issue(holder, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		cert, key []byte
		want      string
	}{
		{nil, c.KeyPEM(), "no PEM certificate"},
		{c.KeyPEM(), c.KeyPEM(), "no PEM certificate"},
		{c.CertPEM(), nil, "no PEM private key"},
		{c.CertPEM(), c.CertPEM(), "no PEM private key"},
		{c.CertPEM(), other.KeyPEM(), "does not belong"},
		{leaf, leafKey, "not an authority"},
	} {
		if _, err := Load(bad.cert, bad.key); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("got %v, want %q", err, bad.want)
		}
	}
}

func TestSign(t *testing.T) {
	c := newCA(t, 48*time.Hour)
	request, keyPEM, err := NewRequest(holder)
	if err != nil {
		t.Fatal(err)
	}
	der, err := c.Sign(request, holder, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, err := CertificatePEM(der)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	if got := pair.Leaf.URIs; len(got) != 1 || got[0].String() != holder.String() {
		t.Errorf("got URIs %v, want %s", got, holder)
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: c.Pool()}); err != nil {
		t.Error(err)
	}
	other := &url.URL{Scheme: "spiffe", Host: "italia", Path: "/region/lazio/node/lazio-2"}
	if _, err := c.Sign(request, other, time.Hour); err == nil ||
		!strings.Contains(err.Error(), "not for") {
		t.Errorf("another holder: %v", err)
	}
	request[len(request)-1] ^= 1
	if _, err := c.Sign(request, holder, time.Hour); err == nil {
		t.Error("signed a request that its key did not sign")
	}
	if _, err := c.Sign([]byte("nothing"), holder, time.Hour); err == nil {
		t.Error("signed nothing")
	}
}
