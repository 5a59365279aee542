package runbook

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The founding members, in the document's order.
var (
	regions = []string{"lazio", "lombardia", "sicilia"}
	tags    = map[string]int{"lazio": 12, "lombardia": 3, "sicilia": 19}
)

// The headings of the document's runbooks.
const (
	founding     = "Three regions on nine hosts"
	join         = "Let a node join"
	replace      = "Replace, remove"
	maintenance  = "Maintenance"
	growth       = "Regions"
	moves        = "Citizens who move"
	sessions     = "Sessions that must end"
	gateways     = "Gateways"
	certificates = "Certificates"
	renewed      = "Renewed unattended"
	spool        = "Store and forward"
	copies       = "Copies and restore"
	upgrades     = "Upgrades"
	keys         = "Keys of services"
)

// everything is all that an operator can be allowed.
const everything = "--grant 'observer:*,operator:*,member:*,data:*'"

// citizen is who logs in, and moves.
const citizen = "RCCMNL83S18D969H"

// TestRunbooks runs every runbook of docs/operating.md on one federation of twelve machines.
func TestRunbooks(t *testing.T) {
	w := newWorld(t)
	w.found()
	w.firstInstitution()
	w.loseRegion()
	w.replaceAuthority()
	w.renewUnattended()
	w.gatewayComesAndGoes()
	w.nodesComeAndGo()
	w.regionComes()
	w.citizenMoves()
	w.sessionsEnd()
	w.run(spool)
	w.run(upgrades)
	w.run(keys)
	w.finished()
}

func (w *world) nodes() (names []string) {
	for _, r := range regions {
		for i := range 3 {
			names = append(names, fmt.Sprintf("%s-%d", r, i+1))
		}
	}
	return names
}

// edges are the founding gateways.
func (w *world) edges() (names []string) {
	for _, r := range regions {
		names = append(names, r+"-edge")
	}
	return names
}

func regionOf(member string) string {
	region, _, _ := strings.Cut(member, "-")
	return region
}

// asNode gives a node's names to what the document says of lazio-1.
func asNode(name string) []string {
	return []string{"region/lazio/node/lazio-1", "region/" + regionOf(name) + "/node/" + name,
		"lazio-1", name}
}

// asGateway does the same for a gateway.
func asGateway(name string) []string {
	return []string{"region/lazio/node/lazio-1", "region/" + regionOf(name) + "/gateway/" + name,
		"lazio-1", name}
}

// asMember does it for either.
func asMember(name string) []string {
	if strings.HasSuffix(name, "-edge") {
		return asGateway(name)
	}
	return asNode(name)
}

// section is a block that the document marks sh, which is of the smallest federation.
func (w *world) section(heading string) string {
	w.t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		w.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## "+heading+"\n")
	_, rest, _ = strings.Cut(rest, "```sh\n")
	command, _, ok := strings.Cut(rest, "```")
	if !ok {
		w.t.Fatalf("no command below %q", heading)
	}
	return strings.NewReplacer("\\\n", " ", "./staffetta", "staffetta", "italia/pki/", "",
		"italia/", "").Replace(strings.TrimSpace(command))
}

// startNode starts a founding node as the document starts lazio-1.
func (w *world) startNode(name string) {
	w.t.Helper()
	region, number := regionOf(name), name[len(name)-1:]
	w.start(name, strings.NewReplacer("127.0.0.1:7400", fmt.Sprintf("10.%d.0.%s:7400",
		tags[region], number), "127.0.0.1:7401", "127.0.0.1:0", "--region lazio", "--region "+region,
		"lazio-1", name).Replace(w.section("A node")))
}

// startGateway starts a gateway, at home in lazio or where its name says, as the document does.
func (w *world) startGateway(name string) {
	w.t.Helper()
	region := regionOf(name)
	if tags[region] == 0 {
		region = "lazio"
	}
	w.write(name, "citizens.tsv", citizen+"\n")
	w.start(name, strings.NewReplacer("127.0.0.1:7400", fmt.Sprintf("10.%d.0.2:7400 --node "+
		"10.%[1]d.0.3:7400", tags[region]), "127.0.0.1:8080", public(name), "127.0.0.1:8081",
		"127.0.0.1:0", "gateway-1", name).Replace(w.section("A gateway"))+
		" --test-login citizens.tsv")
}

// public is where a gateway serves, as the document would write it.
func public(gateway string) string { return fmt.Sprintf("10.%d.1.1:8080", tags[regionOf(gateway)]) }

func (w *world) found() {
	w.t.Helper()
	w.run(founding)
	others := append(w.nodes()[1:], w.edges()...)
	w.each("request", others, func(w *world, name string) {
		w.again(founding, 0, asMember(name)...)
		w.sh(operator, "scp "+name+":"+name+".csr requests/")
	})
	w.sh(operator, "scp lazio-1:lazio-1.csr requests/")
	w.run(founding)
	w.run(founding)
	w.each("install", others, func(w *world, name string) {
		w.again(founding, 2, asMember(name)...)
	})
	if keys, _ := filepath.Glob(filepath.Join(w.dir, operator, "italia/pki/*.key")); len(keys) != 1 {
		w.t.Errorf("the operator's machine has the keys %q, want the authority's alone", keys)
	}
	w.unwell("--founding italia/founding.json", "the federation's group has no majority: 0 of its 7",
		"region lazio has no majority", "region lombardia has no majority", "region sicilia has no majority")
	for _, n := range w.nodes() {
		w.startNode(n)
	}
	for _, g := range []string{"lazio-edge", "sicilia-edge"} {
		w.startGateway(g)
	}
}

// unwell has the doctor find what is wrong, each thing once, whatever else there is.
func (w *world) unwell(flags string, want ...string) {
	w.t.Helper()
	out, errs, err := w.try(operator, "staffetta admin doctor --cert ada.crt --key ada.key --ca ca.crt "+
		"--node 10.3.0.1:7400 "+flags)
	if err == nil {
		w.t.Errorf("the doctor finds nothing wrong:\n%s", out)
	}
	for _, what := range want {
		if strings.Count(out, what) != 1 {
			w.t.Errorf("the doctor does not say once %q:\n%s%s", what, out, errs)
		}
	}
}

// sample is the example of a file in a command's help.
func (w *world) sample(command string) string {
	w.t.Helper()
	_, rest, _ := strings.Cut(w.sh(operator, command+" --help"), "\n  {")
	text, _, ok := strings.Cut(rest, "}\n\n")
	if !ok {
		w.t.Fatalf("the help of %s shows no file", command)
	}
	return "{" + text + "}"
}

func (w *world) firstInstitution() {
	w.t.Helper()
	w.write(operator, "institution.json", w.sample("staffetta admin institution put"))
	w.write(operator, "service.json", strings.ReplaceAll(w.sample("staffetta admin service put"),
		"203.0.113.0/24", "127.0.0.0/8")) // where the institution's machine is here
	id := regexp.MustCompile(`"service_id": "(\w+)"`).FindStringSubmatch(
		w.sample("staffetta admin service put"))
	if id == nil {
		w.t.Fatal("the example of a service has no id")
	}
	w.await("the federation is founded and well", operator, "staffetta admin doctor --cert ada.crt "+
		"--key ada.key --ca ca.crt --node 10.12.0.1:7400", func(string) bool { return true })
	w.run(founding, "--service ID", "--service "+id[1])
	w.login("lazio-edge")
	w.submit("lazio-edge", strings.TrimSpace(w.sh(operator, "cat key.txt")))
}

// login opens a session for the citizen, who belongs to the gateway's region from the first on.
func (w *world) login(gateway string) {
	w.t.Helper()
	w.post(gateway, "/test-login", "", `{"username":"`+citizen+`","password":"test"}`, 200)
}

func (w *world) submit(gateway, key string) {
	w.t.Helper()
	w.post(gateway, "/api/v1/messages", key, `{"fiscal_code":"`+citizen+`","content":{"subject":`+
		`"Una prova di esercizio","markdown":"`+strings.Repeat("Questo messaggio prova. ", 5)+`"}}`, 201)
}

// post makes a request until it is answered as it should be: the gateway may have just started.
func (w *world) post(gateway, path, key, body string, want int) {
	w.t.Helper()
	command := fmt.Sprintf("POST %s at %s", path, gateway)
	var got string
	for range 300 {
		req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost,
			"http://"+w.addr(public(gateway))+path, strings.NewReader(body))
		if err != nil {
			w.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if key != "" {
			req.Header.Set("Ocp-Apim-Subscription-Key", key)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			got = err.Error()
		} else {
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode == want {
				return
			}
			got = fmt.Sprintf("%d %s", resp.StatusCode, b)
		}
		w.sh(operator, "sleep 0.2")
	}
	w.t.Fatalf("%s: %s, want %d", command, got, want)
}

// loseRegion makes copies, loses all disks of lazio, and brings it back.
func (w *world) loseRegion() {
	w.t.Helper()
	w.run(copies)
	w.run(copies)
	lazio := w.nodes()[:3]
	for _, n := range lazio {
		w.stop(n)
		if err := os.RemoveAll(filepath.Join(w.dir, n, "data")); err != nil {
			w.t.Fatal(err)
		}
	}
	w.unwell("", "region lazio has no majority: 0 of its 3")
	w.run(copies)
	for _, n := range lazio[1:] {
		w.again(copies, 2, "--founder lazio-1", "--founder lazio-1", "lazio-1", n)
	}
	for _, n := range lazio {
		w.startNode(n)
	}
	w.await("lazio serves again", operator, "staffetta admin restore status --json",
		func(out string) bool {
			var r struct{ Groups []struct{ Done bool } }
			return json.Unmarshal([]byte(out), &r) == nil && len(r.Groups) == 1 && r.Groups[0].Done
		})
	w.run(copies)
	w.run(copies)
	w.login("lazio-edge")
}

// replaceAuthority renews a certificate, and then gives everybody another authority. Who has the
// old one's key is nobody afterwards.
func (w *world) replaceAuthority() {
	w.t.Helper()
	w.run(certificates)
	w.sh(operator, "cp ca.crt old-ca.crt; cp italia/pki/ca.key old-ca.key")
	w.run(certificates)
	var list struct {
		Authorities []struct{ Fingerprint, Subject string }
	}
	if err := json.Unmarshal([]byte(w.sh(operator, "staffetta admin ca list --json")),
		&list); err != nil || len(list.Authorities) != 2 {
		w.t.Fatalf("%v: %+v", err, list)
	}
	old := list.Authorities[0].Fingerprint[:16]
	w.run(certificates, "FINGERPRINT", old)
	if _, errs, err := w.try(operator, "staffetta admin ca remove "+old); err == nil {
		w.t.Error("the old authority is removed while eight nodes need it")
	} else if !strings.Contains(errs, "renew them first") {
		w.t.Errorf("ca remove says %s", errs)
	}
	w.each("renew", append(w.nodes()[1:], w.edges()...), func(w *world, name string) {
		w.again(certificates, 2, append(asMember(name), "FINGERPRINT", old)...)
	})
	w.sh(operator, "staffetta admin cert request --cert ada.crt --key ada.key --out ada.csr; "+
		"staffetta admin cert sign --request ada.csr --ca-cert new-ca.crt --ca-key new-ca.key "+
		"--identity spiffe://italia/operator/ada --cert signed.crt "+everything+
		"; staffetta admin cert install "+
		"--signed signed.crt --cert ada.crt --key ada.key --ca ca.crt --with-ca new-ca.crt; "+
		"staffetta admin ca forget "+old+" --ca ca.crt --cert ada.crt")
	w.await("nobody needs the old authority", operator, "staffetta admin ca remove "+old+
		" --dry-run", func(string) bool { return true })
	w.run(certificates, "FINGERPRINT", old)

	w.sh(operator, "staffetta admin cert issue --identity spiffe://italia/operator/mallory "+
		"--ca-cert old-ca.crt --ca-key old-ca.key --cert mallory.crt --key mallory.key "+everything+"; "+
		"cat old-ca.crt ca.crt > both.crt")
	w.each("refuse", w.nodes(), func(w *world, n string) {
		number := n[len(n)-1:]
		out, errs, err := w.try(operator, fmt.Sprintf("timeout 20 staffetta admin map --cert "+
			"mallory.crt --key mallory.key --ca both.crt --node 10.%d.0.%s:7400", tags[regionOf(n)], number))
		if err == nil || !strings.Contains(errs, "refuses this process's certificate") {
			w.t.Errorf("whoever has the old authority's key is told by %s: %v\n%s%s", n, err, out, errs)
		}
	})
}

// renewUnattended starts a renewer, and has a node and a gateway renewed that are due.
func (w *world) renewUnattended() {
	w.t.Helper()
	aged := time.Now().AddDate(0, 0, -5).UTC().Format(time.RFC3339)
	for _, member := range []string{"node/lazio-2", "gateway/lazio-edge"} {
		_, name, _ := strings.Cut(member, "/")
		w.sh(operator, "staffetta admin cert issue --days 1 --valid-from "+aged+
			" --identity spiffe://italia/region/lazio/"+member+" --ca-cert ca.crt --ca-key "+
			"italia/pki/ca.key --cert aged.crt --key aged.key; mv aged.key ../"+name+"/"+name+
			".key; mv aged.crt ../"+name+"/"+name+".crt")
	}
	w.run(renewed)
	for _, name := range []string{"lazio-2", "lazio-edge"} {
		w.await(name+" has a certificate for longer than a day", operator, "cat ../"+name+"/"+name+".crt",
			func(out string) bool {
				block, _ := pem.Decode([]byte(out))
				if block == nil {
					return false
				}
				cert, err := x509.ParseCertificate(block.Bytes)
				return err == nil && time.Until(cert.NotAfter) > 10*24*time.Hour
			})
	}
	w.await("and shows it", operator, "staffetta admin status --json", func(out string) bool {
		var r struct {
			Nodes []struct {
				Node   string
				Status struct {
					Certificate struct {
						NotAfter int64 `json:"not_after_ms"`
					}
				}
			}
		}
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			w.t.Fatal(err)
		}
		for _, n := range r.Nodes {
			if n.Node == "lazio-2" {
				end := time.UnixMilli(n.Status.Certificate.NotAfter)
				return time.Until(end) > 24*time.Hour
			}
		}
		return false
	})
	w.stop(operator)
}

func (w *world) gatewayComesAndGoes() {
	w.t.Helper()
	w.run(gateways)
	w.startGateway("edge-2")
	w.login("edge-2")
	w.run(gateways)
	w.stop("edge-2")
}

func (w *world) nodesComeAndGo() {
	w.t.Helper()
	w.run(join)
	w.votes("lazio-4", true)
	w.sh(operator, "staffetta admin node demote lazio-4")
	w.votes("lazio-4", false)
	w.sh(operator, "staffetta admin node promote lazio-4")
	w.votes("lazio-4", true)
	w.run(replace)
	w.run(maintenance)
}

// member is a line of `node list --json`.
type member struct {
	ID  string `json:"id"`
	Now struct{ Region, Federation string }
}

func (w *world) regionComes() {
	w.t.Helper()
	w.run(growth)
	w.await("umbria-1 follows the federation", operator, "staffetta admin node list --json",
		func(out string) bool {
			var list []member
			return json.Unmarshal([]byte(out), &list) == nil && slices.ContainsFunc(list,
				func(m member) bool { return m.ID == "umbria-1" && m.Now.Federation == "nonvoter" })
		})
	w.run(growth)
}

// votes checks whether a node has a vote in its region's group, as the group's leader says.
func (w *world) votes(node string, want bool) {
	w.t.Helper()
	var list []member
	out := w.sh(operator, "staffetta admin node list --json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		w.t.Fatalf("node list: %v\n%s", err, out)
	}
	for _, n := range list {
		if n.ID == node {
			if got := n.Now.Region == "voter" || n.Now.Region == "leader"; got != want {
				w.t.Errorf("%s is a %s of its region's group, want a vote: %t", node, n.Now.Region, want)
			}
			return
		}
	}
	w.t.Errorf("no %s in\n%s", node, out)
}

func (w *world) citizenMoves() {
	w.t.Helper()
	w.write(operator, "code.txt", citizen+"\n")
	out := w.run(moves)
	if !strings.Contains(out[len(out)-1], "in region sicilia") {
		w.t.Errorf("move status says %q", out[len(out)-1])
	}
	w.login("sicilia-edge")
}

// sessionsEnd ends what citizenMoves left of the citizen's sessions.
func (w *world) sessionsEnd() {
	w.t.Helper()
	out := w.run(sessions)
	if !strings.Contains(out[0], "level 2") || strings.Contains(out[1], "ended 0") {
		w.t.Errorf("the sessions: %q, their end: %q", out[0], out[1])
	}
	w.login("sicilia-edge")
}
