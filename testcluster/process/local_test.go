package process_test

import (
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/staffetta/staffetta/internal/contract"
	"github.com/staffetta/staffetta/internal/localfile"
)

// TestLocal is the first command of the README, with its defaults, and what follows from it:
// a child that dies, an interrupt, another start on the same directory, a kill.
func TestLocal(t *testing.T) {
	t.Parallel()
	f := startLocal(t, "--gateways", "2")
	file := f.file()
	checkLocalFile(t, f, file)
	checkDemo(t, f.out.String(), file)

	gateway, service := file.Gateways[0].URL, file.Services[0]
	citizen := file.Citizens[0].FiscalCode
	sent := submit(t, gateway, service.PrimaryKey, citizen, "prima del riavvio")
	if sent.Status != "PROCESSED" {
		t.Fatalf("got %+v, want PROCESSED", sent)
	}

	checkSandbox(t, file)
	for _, id := range []string{file.Nodes[0].ID, file.Gateways[1].ID} {
		f.killChild(id)
		if events := f.events.String(); !strings.Contains(events, id+" ended: signal: killed") ||
			!strings.Contains(events, id+" is started again") {
			t.Errorf("a killed %s is not told of:\n%s", id, events)
		}
	}
	checkLocalFile(t, f, f.file())

	f.interrupt()
	f.start()
	again := f.file()
	checkLocalFile(t, f, again)
	if !slices.EqualFunc(again.Services, file.Services, func(a, b localfile.Service) bool {
		return a.PrimaryKey == b.PrimaryKey && a.SecondaryKey == b.SecondaryKey
	}) || !slices.Equal(again.Citizens, file.Citizens) {
		t.Error("another start invented other keys or citizens")
	}
	for _, key := range []string{service.PrimaryKey, service.SecondaryKey} {
		insist(t, http.StatusOK, http.MethodGet,
			again.Gateways[1].URL+"/api/v1/messages/"+citizen+"/"+sent.ID, nil, keyHeader, key)
	}
	if ids := inbox(t, gateway, citizen); !slices.Contains(ids, sent.ID) || len(ids) != 3 {
		t.Errorf("inbox %v after a restart, want %s and the two of the first start's demonstration",
			ids, sent.ID)
	}

	children := processesOf(f.dir)
	if len(children) != len(again.Nodes)+len(again.Gateways)+1 { // the identity provider
		t.Fatalf("%d children, want all: the next check would prove nothing", len(children))
	}
	syscall.Kill(f.cmd.Process.Pid, syscall.SIGKILL)
	f.awaitEnd()
	await(t, "no child outlives its killed parent",
		func() bool { return len(processesOf(f.dir)) == 0 })
}

// checkLocalFile checks that local.json is complete and that everything it names runs there.
func checkLocalFile(t *testing.T, f *federation, file *localfile.File) {
	t.Helper()
	if len(file.Nodes) != 9 || len(file.Gateways) != 2 || len(file.Services) != 3 ||
		len(file.Citizens) != 8 {
		t.Fatalf("local.json has %d nodes, %d gateways, %d services, %d citizens",
			len(file.Nodes), len(file.Gateways), len(file.Services), len(file.Citizens))
	}
	seen := map[int]bool{}
	alive := func(id, admin string, pid int) {
		t.Helper()
		if seen[pid] || !running(pid) {
			t.Errorf("%s: process %d does not run, or is another's too", id, pid)
		}
		seen[pid] = true
		insist(t, http.StatusOK, http.MethodGet, admin+"/health", nil)
	}
	for _, n := range file.Nodes {
		alive(n.ID, n.Admin, n.PID)
		var status struct{ ID, Region string }
		insist(t, http.StatusOK, http.MethodGet, n.Admin+"/status", nil).decode(t, &status)
		if status.ID != n.ID || status.Region != n.Region {
			t.Errorf("at the address of %s answers %s", n.ID, status.ID)
		}
		if !strings.HasPrefix(n.Dir, f.dir) || !strings.HasPrefix(n.Log, f.dir) || n.Addr == "" {
			t.Errorf("%s: dir %q, log %q, addr %q", n.ID, n.Dir, n.Log, n.Addr)
		}
	}
	for _, g := range file.Gateways {
		alive(g.ID, g.Admin, g.PID)
		insist(t, http.StatusUnauthorized, http.MethodGet, g.URL+"/api/v1/profiles/x", nil)
	}
	states := map[string]int{}
	for _, c := range file.Citizens {
		states[c.State+" "+c.Region]++
	}
	for _, region := range []string{"lazio", "lombardia", "sicilia"} {
		if states[localfile.Active+" "+region] != 2 {
			t.Errorf("citizens: %v", states)
		}
	}
	for _, s := range file.Services {
		if s.ServiceID == "" || s.OrganizationFiscalCode == "" || len(s.PrimaryKey) < 32 ||
			s.SecondaryKey == s.PrimaryKey || len(s.Scopes) == 0 {
			t.Errorf("service %s is not complete", s.ServiceID)
		}
	}
}

// checkSandbox checks that the contract's test citizen is active, may be written to by every
// service, those on trial included, and answers as a profile.
func checkSandbox(t *testing.T, file *localfile.File) {
	t.Helper()
	gateway := file.Gateways[0].URL
	for _, s := range file.Services {
		sent := submit(t, gateway, s.PrimaryKey, string(contract.Sandbox), "prova "+s.ServiceID)
		if sent.Status != "PROCESSED" {
			t.Errorf("of %s: %+v, want PROCESSED", s.ServiceID, sent)
		}
		a := insist(t, http.StatusOK, http.MethodGet, gateway+"/api/v1/profiles/"+
			string(contract.Sandbox), nil, keyHeader, s.PrimaryKey)
		if !strings.Contains(string(a.body), `"sender_allowed":true`) {
			t.Errorf("its profile: %s", a.body)
		}
	}
}

// checkDemo checks that the table shows each citizen with the verdict that is its due.
func checkDemo(t *testing.T, out string, file *localfile.File) {
	t.Helper()
	for _, c := range file.Citizens {
		want := map[string][]string{
			localfile.Active:      {"PROCESSED", "Carta d'identità pronta", "Comune di Prova"},
			localfile.NotAccepted: {"REJECTED (SERVICE_NOT_ALLOWED)", "not there"},
			localfile.Unknown:     {"REJECTED (USER_NOT_FOUND)", "no inbox"},
		}[c.State]
		line := ""
		for l := range strings.Lines(out) {
			if strings.HasPrefix(l, c.FiscalCode) {
				line = l
			}
		}
		for _, part := range append(want, c.Region) {
			if !strings.Contains(line, part) {
				t.Errorf("a citizen who is %s: got %q, want %q in it", c.State, line, part)
			}
		}
	}
	if !strings.Contains(out, "curl ") {
		t.Errorf("no line to go on with:\n%s", out)
	}
}
