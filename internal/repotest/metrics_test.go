package repotest

import (
	"context"
	"crypto/tls"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/gateway"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/founding"
	"github.com/staffetta/staffetta/internal/renewal"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// documentedMetric is a row of docs/metrics.md.
type documentedMetric struct {
	kind   string
	labels []string
}

func documentedMetrics(t *testing.T) map[string]documentedMetric {
	t.Helper()
	all := map[string]documentedMetric{}
	tables, _, _ := strings.Cut(readFile(t, "docs/metrics.md"), "\n## What to watch")
	for _, r := range rows(tables) {
		if len(r) != 4 || r[3] == "" {
			t.Errorf("the row of %s in docs/metrics.md is not whole", r[0])
			continue
		}
		name := code(r[0])
		if _, twice := all[name]; twice {
			t.Errorf("docs/metrics.md lists %s twice", name)
		}
		m := documentedMetric{kind: r[1]}
		for _, l := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(r[2], -1) {
			m.labels = append(m.labels, l[1])
		}
		slices.Sort(m.labels)
		all[name] = m
	}
	return all
}

// TestMetricsAreDocumented: a node and a gateway register exactly the metrics of docs/metrics.md.
func TestMetricsAreDocumented(t *testing.T) {
	documented := documentedMetrics(t)
	registered := map[string][]string{}
	all := registries(t)
	for _, r := range all {
		described := make(chan *prometheus.Desc)
		go func() {
			r.Describe(described)
			close(described)
		}()
		for d := range described {
			name, labels := parseDesc(t, d)
			registered[name] = labels
		}
	}
	for name, labels := range registered {
		m, ok := documented[name]
		if !ok {
			t.Errorf("%s is not in docs/metrics.md", name)
		} else if !slices.Equal(m.labels, labels) {
			t.Errorf("docs/metrics.md says that %s has labels %q, want %q", name, m.labels, labels)
		}
		if strings.HasSuffix(name, "_total") != (m.kind == "counter") {
			t.Errorf("%s is a %s: counters end in _total, and nothing else does", name, m.kind)
		}
	}
	for name := range documented {
		if _, ok := registered[name]; !ok {
			t.Errorf("docs/metrics.md lists %s, which nobody registers", name)
		}
	}
	checkTypes(t, all, documented)
}

// TestMetricNamesInSources finds names in the sources that no registry showed.
func TestMetricNamesInSources(t *testing.T) {
	documented := documentedMetrics(t)
	literal := regexp.MustCompile(`"(staffetta_[a-z0-9_]*[a-z0-9])"`)
	found := 0
	for _, name := range filesWith(t, ".go") {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, m := range literal.FindAllStringSubmatch(readFile(t, name), -1) {
			found++
			if _, ok := documented[m[1]]; !ok {
				t.Errorf("%s names %s, which is not in docs/metrics.md", name, m[1])
			}
		}
	}
	if found < 20 {
		t.Errorf("%d names of metrics found in the sources", found)
	}
}

// checkTypes holds the types of what is gathered against the documented ones. Vectors without a
// value yet do not show their type here; those of a running federation do, see snippets_test.go.
func checkTypes(t *testing.T, all []*prometheus.Registry, documented map[string]documentedMetric) {
	t.Helper()
	for _, r := range all {
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			got := documented[f.GetName()].kind
			want := strings.ToLower(f.GetType().String())
			if got != want {
				t.Errorf("docs/metrics.md says that %s is a %s, want %s", f.GetName(), got, want)
			}
		}
	}
}

// checkExposition holds the TYPE lines of a running process against the documented types.
func checkExposition(t *testing.T, text string, documented map[string]documentedMetric) {
	t.Helper()
	lines := regexp.MustCompile(`(?m)^# TYPE (staffetta_\S+) (\S+)$`).FindAllStringSubmatch(text, -1)
	if len(lines) < 20 {
		t.Fatalf("%d metrics exposed", len(lines))
	}
	for _, m := range lines {
		if got := documented[m[1]].kind; got != m[2] {
			t.Errorf("docs/metrics.md says that %s is a %q, want %s", m[1], got, m[2])
		}
	}
}

var (
	descName     = regexp.MustCompile(`fqName: "([^"]*)"`)
	descConstant = regexp.MustCompile(`constLabels: \{([^}]*)\}`)
	descVariable = regexp.MustCompile(`variableLabels: \{([^}]*)\}`)
	labelName    = regexp.MustCompile(`([a-z_]+)(?:="[^"]*")?`)
)

// parseDesc reads a description's name and labels, which it tells in its String alone.
func parseDesc(t *testing.T, d *prometheus.Desc) (name string, labels []string) {
	t.Helper()
	text := d.String()
	m := descName.FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no name in %s", text)
	}
	set := map[string]bool{}
	for _, re := range []*regexp.Regexp{descConstant, descVariable} {
		list := re.FindStringSubmatch(text)
		if list == nil {
			t.Fatalf("no labels in %s", text)
		}
		for _, l := range labelName.FindAllStringSubmatch(list[1], -1) {
			set[l[1]] = true
		}
	}
	return m[1], slices.Sorted(maps.Keys(set))
}

// registries are those of a node and of a gateway that were made and never served.
func registries(t *testing.T) []*prometheus.Registry {
	t.Helper()
	authority, err := ca.New("test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	of := func(role link.Role, name string) link.Config {
		id := link.Identity{Federation: "test", Role: role, Region: "lazio", Name: name}
		return link.Config{Federation: "test", PacketConn: udp(t), Authorities: authority.Authorities,
			Certificate: certificate(t, authority, id)}
	}
	conn := udp(t)
	file := founding.File{Federation: "test", Regions: []founding.Region{{ID: "lazio", Tag: 12}},
		Nodes: []founding.Node{{ID: "lazio-1", Region: "lazio", Voter: true,
			Addr: conn.LocalAddr().String()}},
		Gateways: []founding.Gateway{{ID: "gateway-1", Region: "lazio"}}}
	m, err := file.Map()
	if err != nil {
		t.Fatal(err)
	}
	nodes, gateways := prometheus.NewRegistry(), prometheus.NewRegistry()
	l := of(link.RoleNode, "lazio-1")
	n, err := node.New(node.Config{ID: "lazio-1", Region: "lazio", Founding: m,
		DirectoryKey: wire.DirectoryKey{1}, Dir: t.TempDir(), PacketConn: conn,
		Certificate: l.Certificate, Authorities: l.Authorities, Registerer: nodes,
		Renew: renewal.Files{Cert: "node.crt", Key: "node.key"}})
	if err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	t.Cleanup(func() {
		if err := n.Run(stopped); err != nil {
			t.Error(err)
		}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	_, err = gateway.New(gateway.Config{HTTP: listener, Link: of(link.RoleGateway, "gateway-1"),
		Nodes: []string{conn.LocalAddr().String()}, Registry: gateways})
	if err != nil {
		t.Fatal(err)
	}
	return []*prometheus.Registry{nodes, gateways}
}

func certificate(t *testing.T, authority *ca.CA, id link.Identity) func() (*tls.Certificate, error) {
	t.Helper()
	certPEM, keyPEM, err := authority.Issue(id.URI(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return func() (*tls.Certificate, error) { return &pair, nil }
}

func udp(t *testing.T) net.PacketConn {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
