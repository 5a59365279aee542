package operator

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

var oldRoot, newRoot = []byte("old"), []byte("new")

func credentialOf(id string, roots ...[]byte) wire.Credential {
	c := wire.Credential{Identity: id, Fingerprint: wire.FingerprintOf(fmt.Append(nil, id, roots))}
	for _, r := range roots {
		c.Authorities = append(c.Authorities, wire.FingerprintOf(r))
	}
	return c
}

// witnesses are two regions of three nodes of which one is silent; a gateway is on its way from
// the old authority to the new one.
func witnesses() Witnesses {
	var ws Witnesses
	for _, region := range []wire.RegionID{"lazio", "sicilia"} {
		for i := range 3 {
			name := fmt.Sprintf("%s-%d", region, i+1)
			w := Witness{Node: wire.Node{ID: wire.NodeID(name), Region: region,
				Voter: region == "lazio"}}
			if name == "sicilia-3" {
				w.Problem = "no answer"
			} else {
				w.Identities = &wire.Identities{FileAuthorities: [][]byte{newRoot},
					Self: credentialOf("spiffe://italia/region/"+string(region)+"/node/"+name,
						newRoot)}
			}
			ws = append(ws, w)
		}
	}
	const gateway = "spiffe://italia/region/lazio/gateway/edge-1"
	ws[0].Identities.FileAuthorities = append(ws[0].Identities.FileAuthorities, oldRoot)
	ws[0].Identities.Members = []wire.Credential{credentialOf(gateway, oldRoot),
		credentialOf("spiffe://italia/operator/ada", oldRoot, newRoot)}
	ws[1].Identities.Members = []wire.Credential{credentialOf(gateway, oldRoot),
		credentialOf(gateway, newRoot)}
	return ws
}

func TestWitnessesOfAnAuthority(t *testing.T) {
	ws := witnesses()
	if got := ws.NeededBy(wire.FingerprintOf(oldRoot)); len(got) != 1 ||
		!strings.HasSuffix(got[0], "/edge-1") {
		t.Errorf("got %q, want the gateway alone: the operator has two authorities", got)
	}
	if got := ws.NeededBy(wire.FingerprintOf(newRoot)); len(got) != 6 {
		t.Errorf("got %q, want five nodes and the gateway", got)
	}
	if got := ws.InFiles(wire.FingerprintOf(oldRoot)); !slices.Equal(got, []wire.NodeID{"lazio-1"}) {
		t.Errorf("got %q", got)
	}
	if got := ws.Silent(); !slices.Equal(got, []wire.NodeID{"sicilia-3"}) {
		t.Errorf("got %q", got)
	}
	if got := len(ws.Credentials()); got != 5+3 {
		t.Errorf("got %d certificates in use, want each once", got)
	}
}

func TestQuorumWithout(t *testing.T) {
	ws := witnesses()
	for node, want := range map[wire.NodeID]string{
		"lazio-1":   "",
		"sicilia-1": "region/sicilia has 3 nodes, of which 1 would be left",
		"sicilia-3": "", // it does not answer anyway
		"":          "", // no node is cut off
		"nobody":    "",
	} {
		err := ws.Quorum(node)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("without %q: got %v, want %q", node, err, want)
		}
	}
	ws[1].Identities, ws[5].Identities = nil, ws[4].Identities // lazio-2 is silent, sicilia is well
	if err := ws.Quorum("lazio-1"); err == nil {
		t.Error("the region and the federation may lose their majority")
	}
	ws[0].Node.Voter = false
	ws[3].Node.Voter = true
	if err := ws.Quorum("sicilia-1"); err == nil || !strings.Contains(err.Error(), "federation") {
		t.Errorf("got %v, want the federation's majority missed", err)
	}
}

func TestFindIdentity(t *testing.T) {
	ws := witnesses()
	m := &wire.Map{Federation: "italia", Gateways: []wire.Gateway{{ID: "edge-1", Region: "lazio"},
		{ID: "edge-2", Region: "sicilia"}}}
	for _, w := range ws {
		m.Nodes = append(m.Nodes, w.Node)
	}
	for _, c := range []struct {
		role       link.Role
		name, want string
	}{
		{link.RoleNode, "sicilia-3", "spiffe://italia/region/sicilia/node/sicilia-3"},
		{link.RoleGateway, "edge-1", "spiffe://italia/region/lazio/gateway/edge-1"},
		{link.RoleGateway, "edge-2", "spiffe://italia/region/sicilia/gateway/edge-2"},
		{link.RoleOperator, "bice", "spiffe://italia/operator/bice"},
		{link.RoleGateway, "lazio-1", ""},
		{link.RoleNode, "edge-1", ""},
	} {
		got, err := ws.Find(m, c.role, c.name)
		if (err == nil) != (c.want != "") || err == nil && got.String() != c.want {
			t.Errorf("%s %s: got %s, %v, want %q", c.role, c.name, got, err, c.want)
		}
	}
	ws[1].Identities.Members = append(ws[1].Identities.Members,
		credentialOf("spiffe://italia/region/sicilia/gateway/edge-1", newRoot))
	if got, err := ws.Find(m, link.RoleGateway, "edge-1"); err == nil {
		t.Errorf("got %s for a name that two regions have", got)
	}
}
