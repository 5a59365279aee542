package virtual

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// TestReadsAreNoted: a copy and an explanation are lines in the log of the region whose citizens
// they are about, with who asked; where nothing can be noted only what is left can be copied.
func TestReadsAreNoted(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		op := s.Operator()
		s.mustOpenCopy(t, wire.OpenBackup{Group: "region/lazio"}, "").Close()
		id := s.Message(s.citizens[0]).ID // not sent: what is asked counts
		if _, err := op.Explain(t.Context(), id,
			s.Hasher().Recipient(s.citizens[0])); err != nil {
			t.Fatal(err)
		}
		if _, err := op.Audit(t.Context(), wire.ListAudit{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		lines := func(region wire.RegionID) (text string) {
			t.Helper()
			page, err := op.Reads(t.Context(), region, wire.ListAudit{})
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range page.Lines {
				text += l.Operator + " " + l.Action + " " + l.Subject + "\n"
			}
			return text
		}
		who := "spiffe://" + federationName + "/operator/operator "
		got := lines("lazio")
		for _, want := range []string{who + "backup group region/lazio at node lazio-",
			who + "explain message " + id.String(), who + "audit of the federation"} {
			if strings.Count(got, want) != 1 {
				t.Errorf("lazio's log says\n%swithout %q, or more than once", got, want)
			}
		}
		if got := lines("sicilia"); strings.Contains(got, "backup") {
			t.Errorf("sicilia's log says\n%s", got)
		}
		for _, n := range s.Nodes("sicilia")[1:] {
			n.Stop()
		}
		time.Sleep(10 * time.Second)
		q := wire.OpenBackup{Group: "region/sicilia", Leader: true}
		if _, err := s.openCopy(q, "sicilia-1"); !wire.Retriable(err) {
			t.Errorf("a copy that nobody can note: got %v", err)
		}
		q.Stale = true
		c, err := s.openCopy(q, "sicilia-1")
		if err != nil {
			t.Errorf("a copy of what is left: %v", err)
		} else {
			c.Close()
		}
		if _, err := op.Reads(t.Context(), "molise", wire.ListAudit{}); !errors.Is(err,
			wire.NotFound) {
			t.Errorf("a region that is none: %v", err)
		}
		for _, n := range s.Nodes("sicilia")[1:] {
			n.Start()
		}
		s.AwaitReady()
	})
}
