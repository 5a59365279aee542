package process

import (
	"net"
	"net/url"
	"testing"
)

// TestGivenAddress names gateways' addresses as one can reach them, port 0 too.
func TestGivenAddress(t *testing.T) {
	t.Parallel()
	for _, given := range []string{"127.0.0.1:0", ":0"} {
		f, err := New(Config{Binary: "/bin/false", Dir: t.TempDir(), Regions: []string{"lazio"},
			Nodes: 1, HTTP: given})
		if err != nil {
			t.Fatal(err)
		}
		f.ports.Close()
		f.lock.Close()
		u, err := url.Parse(f.File().Gateways[0].URL)
		if err != nil || u.Hostname() == "" || u.Port() == "0" {
			t.Errorf("%s became %v: %v", given, u, err)
			continue
		}
		ln, err := net.Listen("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		ln.Close()
	}
}
