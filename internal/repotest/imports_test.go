package repotest

import (
	"slices"
	"strings"
	"testing"
)

// A rule about the imports of packages. Names are paths below the module, or of other modules;
// a name that ends in "/..." stands for the package and everything below it.
type (
	// only says that nobody but importers may import what begins with path.
	only struct {
		path, reason string
		importers    []string
		tests        []string // may do so in their tests
	}
	// never says that importers may not import any of paths, directly or through others.
	never struct {
		importers, paths []string
		reason           string
	}
	// nothingElse says that of this module importer imports only what is listed.
	nothingElse struct {
		importer, reason string
		imports          []string
	}
)

var onlyRules = []only{
	{"github.com/hashicorp/raft", "only consensus may know Raft",
		[]string{"consensus"}, nil},
	{"github.com/hashicorp/go-hclog", "only consensus may know Raft, and Raft's logger",
		[]string{"consensus"}, nil},
	{"go.etcd.io/bbolt", "only consensus may know where Raft's log lies",
		[]string{"consensus"}, nil},
	{"github.com/quic-go/quic-go", "only wire/link may know QUIC, so that it can be replaced",
		[]string{"wire/link"}, nil},
	{"github.com/quic-go/quic-go/testutils", "simulated networks are for tests",
		[]string{"testcluster/virtual"}, []string{"wire/link"}},
	{"github.com/cockroachdb/pebble", "databases belong to the states",
		[]string{"internal/store", "node", "node/seat", "node/membership", "node/recovery",
			"node/federation", "node/region",
			"testcluster", "testcluster/virtual", "cmd/staffetta-lab"},
		[]string{"node/transfer"}},
	{"github.com/klauspost/compress", "blocks are compressed once, in wire; answers at the edge",
		[]string{"wire", "gateway"}, nil},
	{"github.com/yuin/goldmark", "only the pages read markdown, and take its teeth out",
		[]string{"gateway/web"}, nil},
	{"github.com/minio/minio-go", "only the repository of backups knows what S3 is",
		[]string{"internal/backup"}, nil},
	{"github.com/go-jose/go-jose", "signed JSON is what identity providers speak",
		[]string{"gateway/identity/jwt", "internal/testidp"}, nil},
	{"google.golang.org/protobuf", "codec is the one encoding",
		[]string{"internal/codec"}, nil},
	{"github.com/oklog/ulid", "ids are made and read in wire", []string{"wire"}, nil},
	{"github.com/spf13/", "flags live in the command lines only",
		[]string{"cmd/..."}, nil},
	{"github.com/HdrHistogram/", "only bench measures latencies", []string{"internal/load"}, nil},
	{"github.com/getkin/kin-openapi", "HTTP is held against documents in tests only",
		[]string{"internal/openapitest"}, []string{"gateway/..."}},
	{"github.com/anishathalye/porcupine", "histories are judged in tests only",
		[]string{"testcluster/torture"}, []string{"consensus", "testcluster/virtual"}},
	{"github.com/crewjam/saml", "SAML is one way to log in among others",
		[]string{"gateway/identity/saml"}, nil},
	{"github.com/russellhaering/goxmldsig", "XML signatures are SAML's",
		[]string{"gateway/identity/saml", "internal/testidp/saml"}, nil},
	{"github.com/beevik/etree", "trees of XML are SAML's",
		[]string{"gateway/identity/saml", "internal/testidp/saml"}, nil},
	{"testing", "product code does not know that it is tested",
		[]string{"internal/openapitest", "testcluster/virtual", "cmd/internal/clitest"}, []string{"..."}},
	{"os/exec", "only a local federation, a bench of cold starts and a tool have child processes",
		[]string{"testcluster/process", "testcluster/torture", "cmd/staffetta-lab", "internal/allocs"},
		[]string{"..."}},
	{"os/signal", "one place begins and ends a program", []string{"cmd/internal/cli"}, nil},
	{module + "/testcluster", "only the commands may start a local federation, and find its operator",
		[]string{"cmd/...", "testcluster/..."}, nil},
	{module + "/cmd", "a command is nobody's library", []string{"cmd/..."}, nil},
	{module + "/internal/corpus", "golden logs stay out of the product", nil,
		[]string{"node/...", "testcluster/virtual"}},
	{module + "/internal/openapitest", "a test's checker stays out of the product", nil,
		[]string{"..."}},
	{module + "/internal/ca", "certificates are an operator's, and a node's that asks for its own",
		[]string{"testcluster/...", "cmd/internal/...", "internal/operator", "internal/renewal",
			"node/membership"},
		[]string{"..."}},
	{module + "/internal/synthetic", "invented citizens are for local federations and load",
		[]string{"testcluster/process", "internal/load", "internal/scale", "internal/testidp/..."},
		[]string{"..."}},
	{module + "/internal/testidp", "invented citizens log in at local federations and in tests only",
		[]string{"internal/testidp/...", "cmd/staffetta", "testcluster/process"}, []string{"gateway/..."}},
}

var neverRules = []never{
	{[]string{"gateway/..."}, []string{"node/...", "consensus", "internal/store",
		"github.com/hashicorp/raft", "github.com/cockroachdb/pebble/v2"},
		"a gateway keeps nothing: it speaks to nodes by wire and wire/link only"},
	{[]string{"node/..."}, []string{"gateway/..."}, "nodes serve gateways and do not know them"},
	{[]string{"node/region", "node/federation"},
		[]string{"consensus", "wire/link", "github.com/hashicorp/raft"},
		"a state knows neither Raft nor the network: it applies entries"},
	{[]string{"consensus"}, []string{"node/...", "gateway/...", "wire/link"},
		"consensus replicates any state, over any transport"},
	{[]string{"wire"}, []string{"net", "net/http", "os/exec"},
		"wire is bytes in, bytes out"},
	{[]string{"gateway/institution", "gateway/citizen", "gateway/operation",
		"gateway/session", "gateway/web", "gateway/login", "gateway/identity/..."},
		[]string{"gateway/route", "wire/link"},
		"the APIs know what they ask for, not how it is found"},
	{[]string{"cmd/staffetta"}, []string{"testcluster/torture", "internal/load", "internal/scale",
		"github.com/anishathalye/porcupine", "github.com/HdrHistogram/hdrhistogram-go"},
		"the product ships without its laboratory"},
	{[]string{"node/datadir"}, []string{"node/seat", "node/region", "node/federation", "wire/link"},
		"a data directory knows nothing of what lies in it"},
	{[]string{"internal/..."}, []string{"node/...", "gateway/...", "consensus", "cmd/..."},
		"internal holds mechanism, which does not know who uses it"},
}

var nothingElseRules = []nothingElse{
	{"wire", "wire is the vocabulary: it stands on nothing but the codec and the fiscal code",
		[]string{"internal/codec", "internal/fiscalcode"}},
	{"wire/link", "the link carries bytes of wire", []string{"wire", "internal/backoff"}},
	{"internal/trail", "the rule of following an owner is the same for gateways and operators",
		[]string{"wire", "internal/backoff"}},
	{"internal/backoff", "the lowest layer", nil},
	{"internal/asof", "the lowest layer", nil},
	{"consensus", "consensus knows entries, and nothing of what they say", []string{"wire"}},
	{"internal/strictjson", "what JSON is, and not what anybody means by it",
		[]string{"internal/fiscalcode"}},
	{"gateway/operation", "a declaration knows no API and no federation",
		[]string{"internal/contract", "internal/problem", "internal/asof"}},
	{"gateway/lollipop", "a key is a key, whoever's session it is of",
		[]string{"internal/strictjson"}},
	{"gateway/identity", "who a person is has nothing to do with where messages lie",
		[]string{"internal/fiscalcode"}},
	{"internal/codec", "the lowest layer", nil},
	{"internal/fiscalcode", "the lowest layer", nil},
	{"internal/cache", "the lowest layer", nil},
	{"internal/fold", "the lowest layer", nil},
}

// matches reports whether name is what pattern stands for.
func matches(pattern, name string) bool {
	if base, ok := strings.CutSuffix(pattern, "..."); ok {
		base = strings.TrimSuffix(base, "/")
		return base == "" || name == base || strings.HasPrefix(name, base+"/")
	}
	return pattern == name
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

// below is name below the module, and unchanged for another module's package.
func below(path string) string { return strings.TrimPrefix(path, module+"/") }

func TestOnlyTheseImport(t *testing.T) {
	used := map[string]bool{}
	for _, p := range packages(t) {
		check := func(imports []string, tests bool) {
			for _, path := range imports {
				r, ok := longest(path)
				if !ok {
					continue
				}
				used[r.path] = true
				if matchesAny(r.importers, p.name()) || tests && (matchesAny(r.tests, p.name()) ||
					p.name() == below(path)) {
					continue
				}
				t.Errorf("%s imports %s: %s", p.name(), path, r.reason)
			}
		}
		check(p.Imports, false)
		check(p.TestImports, true)
		check(p.XTestImports, true)
	}
	for _, r := range onlyRules {
		if !used[r.path] && !strings.HasPrefix(r.path, module+"/cmd") {
			t.Errorf("nobody imports %s: the rule about it is out of date", r.path)
		}
	}
}

// longest is the most specific rule about path.
func longest(path string) (found only, ok bool) {
	for _, r := range onlyRules {
		prefix := path == r.path || strings.HasPrefix(path, r.path+"/") ||
			strings.HasPrefix(path, r.path) && strings.ContainsAny(r.path, "./") &&
				!strings.HasPrefix(r.path, module)
		if prefix && len(r.path) > len(found.path) {
			found, ok = r, true
		}
	}
	return found, ok
}

func TestNeverImported(t *testing.T) {
	for _, r := range neverRules {
		applied := false
		for _, p := range packages(t) {
			if !matchesAny(r.importers, p.name()) {
				continue
			}
			applied = true
			for _, dep := range p.Deps {
				if matchesAny(r.paths, below(dep)) {
					t.Errorf("%s depends on %s: %s", p.name(), below(dep), r.reason)
				}
			}
		}
		if !applied {
			t.Errorf("no package is %v: the rule is out of date", r.importers)
		}
	}
}

func TestImportsNothingElse(t *testing.T) {
	for _, r := range nothingElseRules {
		i := slices.IndexFunc(packages(t), func(p goPackage) bool { return p.name() == r.importer })
		if i < 0 {
			t.Errorf("no package %s: the rule is out of date", r.importer)
			continue
		}
		for _, path := range packages(t)[i].Imports {
			name, ours := strings.CutPrefix(path, module+"/")
			if ours && !slices.Contains(r.imports, name) {
				t.Errorf("%s imports %s: %s", r.importer, name, r.reason)
			}
		}
	}
}

// TestWallsOfNode: of the packages below node a duty, which is each but four, imports the seat and
// what that stands on, and no other duty; the seat imports none. What a duty needs of another one is
// passed in, by node.
func TestWallsOfNode(t *testing.T) {
	shared := []string{"node/seat", "node/datadir", "node/region", "node/federation"}
	duties := 0
	for _, p := range packages(t) {
		if !strings.HasPrefix(p.name(), "node/") {
			continue
		}
		if !slices.Contains(shared, p.name()) {
			duties++
		}
		for _, dep := range slices.Concat(p.Deps, p.TestImports, p.XTestImports) {
			name := below(dep)
			if !matches("node/...", name) || name == p.name() || slices.Contains(shared, name) {
				continue
			}
			t.Errorf("%s depends on %s: what it needs of another duty is passed in", p.name(), name)
		}
	}
	if duties < 6 {
		t.Errorf("%d duties: the rule looks for them in the wrong place", duties)
	}
}

// TestRulesCanFail holds the rules against packages that break them.
func TestRulesCanFail(t *testing.T) {
	for path, want := range map[string]string{
		"github.com/hashicorp/raft":                   "github.com/hashicorp/raft",
		"github.com/hashicorp/raft-wal/types":         "github.com/hashicorp/raft",
		"github.com/quic-go/quic-go/testutils/simnet": "github.com/quic-go/quic-go/testutils",
		"github.com/cockroachdb/pebble/v2/vfs":        "github.com/cockroachdb/pebble",
		module + "/testcluster/process":               module + "/testcluster",
		"testing":                                     "testing",
		"testing/quick":                               "testing",
		"os":                                          "",
	} {
		if got, _ := longest(path); got.path != want {
			t.Errorf("the rule for %s is that for %q, want %q", path, got.path, want)
		}
	}
	if matches("node/...", "nodes") || !matches("node/...", "node") ||
		!matches("node/...", "node/region") || matches("node", "node/region") {
		t.Error("patterns match wrongly")
	}
}
