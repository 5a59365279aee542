package process_test

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/wire/link"
)

// TestCommandLines are refused before anything is made or changed.
func TestCommandLines(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs real processes")
	}
	dir, busy := t.TempDir(), occupiedTCP(t)
	messages := filepath.Join(dir, "messages.ndjson")
	if err := os.WriteFile(messages, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(dir, "federation")
	local := func(args ...string) []string {
		return append([]string{"local", "--dir", fresh}, args...)
	}
	for name, c := range map[string]struct {
		want string
		args []string
	}{
		"unknown command":          {`unknown command "deliver"`, []string{"deliver"}},
		"unknown flag":             {"unknown flag: --nods", local("--nods", "3")},
		"unknown flag of node":     {"unknown flag: --x", []string{"node", "--x"}},
		"unknown flag of gateway":  {"unknown flag: --x", []string{"gateway", "--x"}},
		"unknown flag of send":     {"unknown flag: --x", []string{"send", "--x"}},
		"unknown flag of admin":    {"unknown flag: --x", []string{"admin", "key", "revoke", "--x"}},
		"argument":                 {"unknown command", local("extra")},
		"not a number":             {"--nodes", local("--nodes", "many")},
		"missing flags of node":    {"required flag", []string{"node"}},
		"missing flags of gateway": {"required flag", []string{"gateway", "--node", "x"}},
		"missing flags of send":    {"required flag", []string{"send"}},
		"log level":                {`log level "loud"`, local("--log-level", "loud")},
		"log store":                {`"flat" is not wal or bolt`, local("--log-store", "flat")},
		"no nodes":                 {"--nodes 0", local("--nodes", "0")},
		"negative nodes":           {"-1 nodes per region", local("--nodes", "-1")},
		"too many nodes":           {"99 nodes per region", local("--nodes", "99")},
		"no gateways":              {"--gateways 0", local("--gateways", "0")},
		"no citizens":              {"-5 citizens", local("--citizens", "-5")},
		"too many citizens": {"3000000 citizens and newcomers", local("--citizens", "1000000",
			"--regions", "a,b,c")},
		"no regions":          {"--regions names no region", local("--regions", "")},
		"region's name":       {`region "Lazio!"`, local("--regions", "Lazio!")},
		"region twice":        {`region "lazio"`, local("--regions", "lazio,lazio")},
		"gateway's flag":      {`"capacity" is not name=value`, local("--gateway-flag", "capacity")},
		"gateway's own flag":  {"--node is not to be chosen", local("--gateway-flag", "node=x:1")},
		"address":             {"address", local("--http", "nonsense")},
		"port":                {"99999", local("--http", "127.0.0.1:99999")},
		"occupied port":       {busy, local("--http", busy)},
		"directory is a file": {messages, []string{"local", "--dir", messages, "--http", "127.0.0.1:0"}},
		"gateway URL": {"gateway: want a URL", []string{"send", "--gateway", "x", "--key", "k",
			"--file", messages}},
		"no file of messages": {"--file", []string{"send", "--gateway", "http://x", "--key", "k",
			"--file", dir + "/none"}},
	} {
		t.Run(name, func(t *testing.T) { refuses(t, c.want, c.args...) })
	}
	if _, err := os.Stat(fresh); err == nil {
		t.Error("a refused command made a directory")
	}
}

// occupiedTCP and occupiedUDP are addresses that somebody else listens on.
func occupiedTCP(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String()
}

func occupiedUDP(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.LocalAddr().String()
}

// TestNodeRefusals starts a node and a gateway on what a real federation left behind, with one
// thing wrong at a time. Nothing may be damaged by it: the federation, started again, has
// everything that it acknowledged.
func TestNodeRefusals(t *testing.T) {
	t.Parallel()
	f := startLocal(t, "--demo=false", "--nodes", "1", "--regions", "lazio")
	file := f.file()
	code := file.Citizens[0].FiscalCode
	gateway, key := file.Gateways[0].URL, file.Services[0].PrimaryKey
	before := submit(t, gateway, key, code, "prima di tutto")
	r := &refused{t: t, f: f, dir: file.Nodes[0].Dir, listen: file.Nodes[0].Addr}
	t.Run("directory in use", func(t *testing.T) {
		// Of another address, so that only the directory is in the way.
		r.node(t, "used by another process", "--listen", "127.0.0.1:0")
	})
	f.interrupt()
	t.Run("addresses", r.addresses)
	t.Run("certificates", r.certificates)
	t.Run("files", r.files)
	t.Run("directory", r.directory)

	f.start()
	if got := inbox(t, gateway, code); len(got) != 1 || got[0] != before.ID {
		t.Errorf("inbox %v after the refusals, want %s", got, before.ID)
	}
	if after := submit(t, gateway, key, code, "dopo tutto"); after.Status != "PROCESSED" {
		t.Errorf("after the refusals: got %+v", after)
	}
}

// refused starts processes on the directory of a federation that does not run.
type refused struct {
	t      *testing.T
	f      *federation
	dir    string // the node's
	listen string // its UDP address
}

func (r *refused) path(elem ...string) string {
	return filepath.Join(append([]string{r.f.dir}, elem...)...)
}

// node starts the node with some flags changed, which must be refused.
func (r *refused) node(t *testing.T, want string, changed ...string) {
	t.Helper()
	refuses(t, want, r.args("node", map[string]string{"--id": "lazio-1", "--region": "lazio",
		"--listen": r.listen, "--admin": "127.0.0.1:0", "--dir": r.dir,
		"--founding": r.path("founding.json"), "--directory-key": r.path("directory.key"),
		"--cert": r.path("pki", "lazio-1.crt"), "--key": r.path("pki", "lazio-1.key"),
		"--ca": r.path("pki", "ca.crt")}, changed)...)
}

// gateway does the same with the gateway.
func (r *refused) gateway(t *testing.T, want string, changed ...string) {
	t.Helper()
	refuses(t, want, r.args("gateway", map[string]string{"--http": "127.0.0.1:0",
		"--admin": "127.0.0.1:0", "--node": r.listen, "--test-login": r.path("test-login.tsv"),
		"--cert": r.path("pki", "gateway-1.crt"), "--key": r.path("pki", "gateway-1.key"),
		"--ca": r.path("pki", "ca.crt")}, changed)...)
}

func (r *refused) args(command string, flags map[string]string, changed []string) []string {
	for i := 0; i < len(changed); i += 2 {
		flags[changed[i]] = changed[i+1]
	}
	args := []string{command}
	for name, value := range flags {
		args = append(args, name, value)
	}
	return args
}

func (r *refused) addresses(t *testing.T) {
	tcp, udp := occupiedTCP(t), occupiedUDP(t)
	r.node(t, udp, "--listen", udp)
	r.node(t, "--listen", "--listen", "nonsense")
	r.node(t, "--listen", "--listen", "127.0.0.1:99999")
	r.node(t, "--listen", "--listen", "192.0.2.1:7400") // nobody's (RFC 5737), so not ours
	r.node(t, tcp, "--admin", tcp)
	r.node(t, "--admin", "--admin", "127.0.0.1")
	r.gateway(t, tcp, "--http", tcp)
	r.gateway(t, tcp, "--admin", tcp)
	r.gateway(t, "--http", "--http", "nonsense")
	r.gateway(t, `"nonsense" is not host:port`, "--node", "nonsense")
}

// certificates that peers would refuse are refused by their own process.
func (r *refused) certificates(t *testing.T) {
	read := func(name string) []byte {
		b, err := os.ReadFile(r.path("pki", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	own, err := ca.Load(read("ca.crt"), read("ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := ca.New("local", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	node := link.Identity{Federation: "local", Role: link.RoleNode, Region: "lazio",
		Name: "lazio-1"}
	// issue writes a certificate and returns the flags that name it.
	issue := func(authority *ca.CA, id *url.URL, validity time.Duration) []string {
		t.Helper()
		cert, key, err := authority.Issue(id, validity)
		if err != nil {
			t.Fatal(err)
		}
		return []string{"--cert", r.file(t, string(cert)), "--key", r.file(t, string(key))}
	}
	other := func(change func(*link.Identity)) *url.URL {
		id := node
		change(&id)
		return id.URI()
	}
	none := filepath.Join(t.TempDir(), "none.pem")
	garbage := r.file(t, "garbage")

	r.node(t, none, "--cert", none)
	r.node(t, none, "--key", none)
	r.node(t, none, "--ca", none)
	r.node(t, "certificate", "--cert", garbage)
	r.node(t, "certificate", "--key", garbage)
	r.node(t, garbage, "--ca", garbage)
	r.node(t, "private key does not match", "--key", r.path("pki", "gateway-1.key"))
	r.node(t, "expired", issue(own, node.URI(), time.Nanosecond)...)
	r.node(t, "unknown authority", issue(foreign, node.URI(), time.Hour)...)
	r.node(t, "federation", issue(own, other(func(id *link.Identity) { id.Federation = "altra" }),
		time.Hour)...)
	r.node(t, "node lazio-1", issue(own, other(func(id *link.Identity) { id.Name = "lazio-2" }),
		time.Hour)...)
	r.node(t, "region lazio", issue(own, other(func(id *link.Identity) { id.Region = "umbria" }),
		time.Hour)...)
	r.node(t, "gateway", "--cert", r.path("pki", "gateway-1.crt"), "--key",
		r.path("pki", "gateway-1.key"))
	r.gateway(t, "not for a gateway", "--cert", r.path("pki", "lazio-1.crt"), "--key",
		r.path("pki", "lazio-1.key"))
	r.gateway(t, "expired", issue(own, link.Identity{Federation: "local", Role: link.RoleGateway,
		Region: "lazio", Name: "gateway-1"}.URI(), time.Nanosecond)...)
	r.gateway(t, none, "--cert", none)
	r.gateway(t, none, "--tls-cert", none, "--tls-key", none)
}

// file writes a file of the test.
func (r *refused) file(t *testing.T, text string) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// files that are missing, damaged or another federation's.
func (r *refused) files(t *testing.T) {
	founding, err := os.ReadFile(r.path("founding.json"))
	if err != nil {
		t.Fatal(err)
	}
	changed := func(old, new string) string {
		return r.file(t, strings.Replace(string(founding), old, new, -1))
	}
	none := filepath.Join(t.TempDir(), "none")
	r.node(t, none, "--founding", none)
	r.node(t, "founding file", "--founding", r.file(t, string(founding[:len(founding)/2])))
	r.node(t, "founding file", "--founding", r.file(t, ""))
	r.node(t, "lazio-1", "--founding", changed("lazio-1", "lazio-9"))
	r.node(t, "federation", "--founding", changed(`"local"`, `"altra"`))
	r.node(t, none, "--directory-key", none)
	r.node(t, "64 hexadecimal digits", "--directory-key", r.file(t, "0123"))
	r.node(t, "directory key", "--directory-key", r.file(t, strings.Repeat("7", 64)))
	r.node(t, "founding map has no node", "--id", "lazio-7")
	r.node(t, "founding map has no node", "--region", "umbria")
	r.node(t, "holds a wal log", "--log-store", "bolt")
	r.gateway(t, none, "--test-login", none)
	r.gateway(t, "line 1", "--test-login", r.file(t, "not a code\n"))
}
