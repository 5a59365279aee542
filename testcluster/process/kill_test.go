package process_test

import (
	"path/filepath"
	"testing"
)

// mailingSize is how many messages are under way when something is killed: a second of bulk
// requests, or more.
const mailingSize = 12_000

// TestKills kills, under `staffetta send`, a region's leader, a follower, the gateway and
// everything. Each time every line ends with the verdict that its recipient deserves, at once or,
// when a region was away for so long that the spool took the message, soon after; and every inbox
// holds what was acknowledged and nothing else.
func TestKills(t *testing.T) {
	t.Parallel()
	f := startLocal(t, "--demo=false", "--regions", "lazio,lombardia", "--citizens", "3")
	told := ledger{}
	for i, c := range []struct {
		name string
		kill func(t *testing.T)
	}{
		{"leader", func(t *testing.T) { f.killChild(leader(t, f.file(), "lazio").ID) }},
		{"follower", func(t *testing.T) {
			file := f.file()
			lead := leader(t, file, "lombardia").ID
			for _, n := range file.Nodes {
				if n.Region == "lombardia" && n.ID != lead {
					f.killChild(n.ID)
					return
				}
			}
		}},
		{"gateway", func(*testing.T) { f.killChild("gateway-1") }},
		{"everything", func(*testing.T) { f.kill(); f.start() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := f.file()
			m := newMailing(t, file, uint64(i), mailingSize)
			s := m.send(t, file, filepath.Join(t.TempDir(), "results.ndjson"))
			s.awaitUnderWay(mailingSize)
			c.kill(t)
			results := s.wait()
			file = f.file()
			told.note(t, m, m.again(t, file, results))
			told.check(t, file)
			awaitAgreement(t, file)
		})
		if t.Failed() {
			return
		}
	}
}
