//go:build soak

package process_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// soakSize is how many messages are under way while processes are killed.
const soakSize = 60_000

// TestSoakKills kills a random process of a whole federation, again and again, while messages are
// sent: at most a minority of a region at a time, since the next waits for the last one's health.
func TestSoakKills(t *testing.T) {
	f := startLocal(t, "--demo=false", "--citizens", "5")
	file, told := f.file(), ledger{}
	m := newMailing(t, file, 7, soakSize)
	s := m.send(t, file, filepath.Join(t.TempDir(), "results.ndjson"))
	s.awaitUnderWay(soakSize)
	random := rand.New(rand.NewPCG(1, 2))
	kills := 0
	for ; len(s.lines()) < soakSize*9/10; kills++ {
		file := f.file()
		id, admin := file.Gateways[0].ID, file.Gateways[0].Admin
		if i := random.IntN(len(file.Nodes) + 1); i < len(file.Nodes) {
			id, admin = file.Nodes[i].ID, file.Nodes[i].Admin
		}
		f.killChild(id)
		insist(t, http.StatusOK, http.MethodGet, admin+"/health", nil)
	}
	t.Logf("%d processes killed under %d messages", kills, soakSize)
	file = f.file()
	told.note(t, m, m.again(t, file, s.wait()))
	told.check(t, file)
	awaitAgreement(t, file)
}

// TestSoakFrozen freezes each node of a region in turn: a process that is there and says nothing.
func TestSoakFrozen(t *testing.T) {
	f := startLocal(t, "--demo=false", "--regions", "lazio", "--citizens", "5")
	file, told := f.file(), ledger{}
	m := newMailing(t, file, 8, 5*mailingSize)
	s := m.send(t, file, filepath.Join(t.TempDir(), "results.ndjson"))
	s.awaitUnderWay(5 * mailingSize)
	for range 3 {
		lead := leader(t, file, "lazio")
		pid := f.pid(lead.ID)
		syscall.Kill(pid, syscall.SIGSTOP)
		await(t, "another leader is elected", func() bool {
			for _, n := range file.Nodes {
				if n.ID != lead.ID && status(n.Admin)["region/lazio"].Role == "leader" {
					return true
				}
			}
			return false
		})
		syscall.Kill(pid, syscall.SIGCONT)
		insist(t, http.StatusOK, http.MethodGet, lead.Admin+"/health", nil)
	}
	told.note(t, m, s.wait())
	told.check(t, f.file())
	awaitAgreement(t, f.file())
}

// TestSoakSlowBody sends a body byte by byte: its time ends too, and later than a header's.
func TestSoakSlowBody(t *testing.T) {
	f := startLocal(t, "--demo=false", "--nodes", "1", "--regions", "lazio")
	file := f.file()
	conn, err := net.Dial("tcp", strings.TrimPrefix(file.Gateways[0].URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/v1/messages HTTP/1.1\r\nHost: x\r\n%s: %s\r\n"+
		"Content-Length: 100000\r\n\r\n", keyHeader, file.Services[0].PrimaryKey)
	began := time.Now()
	await(t, "the gateway ends a slow body", func() bool {
		_, err := conn.Write([]byte("x"))
		return err != nil
	})
	t.Logf("ended after %s", time.Since(began).Round(time.Second))
	insist(t, http.StatusOK, http.MethodGet, file.Gateways[0].Admin+"/health", nil)
}
