package process_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/staffetta/staffetta/internal/localfile"
)

// writeFile makes a file for a command to read.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOperatorsCommands brings an institution and a service into a federation by files, sends a
// message, asks what became of it, and looks at a federation of which a node hangs.
func TestOperatorsCommands(t *testing.T) {
	t.Parallel()
	f := startLocal(t, "--demo=false", "--nodes", "1", "--regions", "lazio,lombardia,sicilia")
	const institution, service = "80000000044", "01KZZZZZZZSERV1CE000000009"
	code := f.file().Citizens[0].FiscalCode
	i := writeFile(t, "institution.json", `{"organization_fiscal_code": "`+institution+`",
		"organization_name": "Comune Nuovo", "scopes": ["ApiMessageWrite", "ApiMessageRead"]}`)
	s := writeFile(t, "service.json", `{"service_id": "`+service+`",
		"organization_fiscal_code": "`+institution+`", "service_name": "Avvisi",
		"max_allowed_payment_amount": 100, "service_metadata": {"scope": "LOCAL"}}`)
	recipients := writeFile(t, "recipients.txt", "# per la prova\n"+code+"\n")
	put := func(args ...string) string {
		return strings.TrimSpace(admin(t, append(args, "--dir", f.dir)...))
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"institution " + institution + " would be new",
			[]string{"institution", "put", "--file", i, "--dry-run"}},
		{"institution " + institution + " is new", []string{"institution", "put", "--file", i}},
		{"institution " + institution + " is so already", []string{"institution", "put", "--file", i}},
		{"service " + service + " is new",
			[]string{"service", "put", "--file", s, "--recipients", recipients}},
	} {
		if got := put(c.args...); got != c.want {
			t.Errorf("%v: got %q, want %q", c.args, got, c.want)
		}
	}
	refuses(t, "may write to 1 recipients only", "admin", "service", "put", "--dir", f.dir,
		"--file", s)
	refuses(t, "unknown object member", "admin", "service", "put", "--dir", f.dir, "--file", i)
	shown := put("service", "show", "--service", service)
	if !strings.Contains(shown, "1 citizens only") || strings.Contains(shown, code) {
		t.Errorf("service show says\n%s", shown)
	}
	if shown := put("service", "show", "--service", service, "--show-recipients"); !strings.
		Contains(shown, code) {
		t.Errorf("service show --show-recipients says\n%s", shown)
	}
	key := put("key", "rotate", "--service", service, "--name", "primary")
	awaitKey(t, f.file(), key)

	id := f.send(t, code, key)
	for _, args := range [][]string{{id}, {id, "--recipient-file", recipientFile(t, code)}} {
		told := put(append([]string{"explain"}, args...)...)
		for _, want := range []string{"minted", "PROCESSED, of service " + service,
			"in the block of entry"} {
			if !strings.Contains(told, want) || strings.Contains(told, code) {
				t.Errorf("explain %v: nothing says %q, or the code does, in\n%s", args[1:], want, told)
			}
		}
	}
	audit := put("audit", "--since", "1h")
	if want := "key rotate"; !strings.Contains(audit, want) || strings.Contains(audit, key) {
		t.Errorf("audit: no %q, or the key, in\n%s", want, audit)
	}
	f.hang(t)
}

func recipientFile(t *testing.T, code string) string {
	t.Helper()
	return writeFile(t, "code.txt", code+"\n")
}

// send submits a message and returns its id.
func (f *federation) send(t *testing.T, code, key string) string {
	t.Helper()
	var answer struct{ ID, Status string }
	insist(t, http.StatusCreated, http.MethodPost, f.file().Gateways[0].URL+"/api/v1/messages",
		[]byte(`{"fiscal_code":"`+code+`","content":{"subject":"Avviso di prova","markdown":"`+
			strings.Repeat("Una prova. ", 10)+`"}}`), keyHeader, key).decode(t, &answer)
	if answer.Status != "PROCESSED" {
		t.Fatalf("message %s is %s", answer.ID, answer.Status)
	}
	return answer.ID
}

// hang stops a node's process and looks at the federation.
func (f *federation) hang(t *testing.T) {
	t.Helper()
	var healthy struct {
		Well bool `json:"well"`
	}
	out := []byte(admin(t, "doctor", "--dir", f.dir, "--json"))
	if err := json.Unmarshal(out, &healthy); err != nil {
		t.Fatal(err)
	} else if !healthy.Well {
		t.Error("the doctor finds something wrong where nothing is")
	}
	var victim localfile.Node
	for _, n := range f.file().Nodes {
		if n.Region == "sicilia" {
			victim = n
		}
	}
	if err := syscall.Kill(victim.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(victim.PID, syscall.SIGCONT) })
	var report struct {
		Nodes []struct {
			Node    string          `json:"node"`
			Problem string          `json:"problem"`
			Status  json.RawMessage `json:"status"`
		} `json:"nodes"`
	}
	if err := json.Unmarshal([]byte(admin(t, "status", "--dir", f.dir, "--json")),
		&report); err != nil {
		t.Fatal(err)
	}
	for _, n := range report.Nodes {
		if away := n.Node == victim.ID; (len(n.Status) == 0) != away || (n.Problem != "") != away {
			t.Errorf("%s: status %t, problem %q", n.Node, len(n.Status) > 0, n.Problem)
		}
	}
	out, err := exec.Command(staffetta, "admin", "doctor", "--dir", f.dir).Output()
	exit, ok := err.(*exec.ExitError)
	if !ok || exit.ExitCode() != 1 {
		t.Errorf("a doctor of a federation that is not well ends with %v, want exit code 1", err)
	}
	if want := fmt.Sprintf("region %s has no majority: 0 of its 1 voters answer, 1 are needed; %s",
		victim.Region, victim.ID); !strings.Contains(string(out), want) {
		t.Errorf("nothing says %q in\n%s", want, out)
	}
}
