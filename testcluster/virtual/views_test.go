package virtual

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

// operatorAddr is where the first operator of a world is.
const operatorAddr = "10.0.3.1:7400"

// findings are what a doctor finds wrong, leaving aside warnings about the machine of the test.
func (s *scene) findings(t *testing.T, op *operator.Client) string {
	t.Helper()
	e, err := op.Examine(t.Context(), "", func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range e.Findings() {
		if f.Severity == operator.Wrong {
			fmt.Fprintf(&b, "%s %s: %s\n", f.Node, f.Peer, f.What)
		}
	}
	return b.String()
}

// TestDoctorTellsCuts breaks ways and nodes, one after the other, and asks a doctor.
func TestDoctorTellsCuts(t *testing.T) {
	long(t)
	inScene(t, func(t *testing.T, s *scene) {
		op := s.Operator()
		if got := s.findings(t, op); got != "" {
			t.Errorf("all is well, and the doctor finds\n%s", got)
		}
		a, b := s.node(t, "lazio-2"), s.node(t, "sicilia-2")
		s.Deafen(a, b)
		time.Sleep(10 * time.Second) // connections that worked have ended
		want := "lazio-2 sicilia-2: packets from lazio-2 to sicilia-2 are lost; those back arrive\n"
		if got := s.findings(t, op); got != want {
			t.Errorf("with one way cut: got\n%swant\n%s", got, want)
		}
		s.Deafen(b, a)
		time.Sleep(10 * time.Second)
		want = "lazio-2 sicilia-2: nothing comes through either way"
		if got := s.findings(t, op); !strings.HasPrefix(got, want) ||
			strings.Count(got, "\n") != 1 {
			t.Errorf("with both ways cut: got\n%swant\n%s", got, want)
		}
		s.Mend()
		s.AwaitReady()
		var down *Node // which no leader that comes after it misses the word of
		for _, n := range s.Nodes("lazio") {
			if n.Status("region").Role != "leader" && n.Status("federation").Role != "leader" {
				down = n
			}
		}
		down.Stop()
		time.Sleep(20 * time.Second)
		got := s.findings(t, op)
		if !strings.HasPrefix(got, string(down.ID)+" : nobody reaches it, heard by a leader") ||
			strings.Count(got, "\n") != 1 {
			t.Errorf("with a node down: got\n%s", got)
		}
	})
}

// TestStatusByWayOfAnother cuts the operator off from all nodes but one.
func TestStatusByWayOfAnother(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		op := s.Operator()
		down := s.node(t, "sicilia-3")
		down.Stop()
		for _, n := range s.Nodes("") {
			if n.ID != "lazio-3" {
				s.net.cut(operatorAddr, n.addr.String(), true)
			}
		}
		time.Sleep(20 * time.Second)
		_, views, err := op.Statuses(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range views {
			switch {
			case v.Node == "lazio-3":
				if v.Status == nil || v.Via != "" || v.Problem != "" {
					t.Errorf("the node in reach: %+v", v)
				}
			case v.Node == "sicilia-3":
				if v.Status != nil || v.HeardMillis < 15_000 || v.Problem == "" {
					t.Errorf("the node that is down: %+v", v)
				}
			case v.Status == nil || v.Via != "lazio-3" || v.Status.ID != v.Node:
				t.Errorf("%s, asked by way of another: %+v", v.Node, v)
			}
		}
		if got := s.findings(t, op); !strings.HasPrefix(got, "sicilia-3 : nobody reaches it") ||
			strings.Count(got, "\n") != 1 {
			t.Errorf("a doctor by way of one node: got\n%s", got)
		}
	})
}

// tell is the story of a message, one step a line.
func (s *scene) tell(t *testing.T, id wire.MessageID, r wire.Recipient) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	story, err := s.Operator().Explain(ctx, id, r)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, step := range story.Steps() {
		fmt.Fprintf(&b, "%s: %s\n", step.Where, step.What)
	}
	return b.String()
}

// TestExplain follows messages: delivered, refused, known by id alone, and one that waited in a
// spool and was relayed.
func TestExplain(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		check := func(what, got string, want ...string) {
			t.Helper()
			for _, w := range want {
				if !strings.Contains(got, w) {
					t.Errorf("%s: nothing says %q in\n%s", what, w, got)
				}
			}
		}
		local, nobody := s.citizens[0], s.citizens[6]
		for _, c := range s.citizens {
			if err := s.Send(t.Context(), &s.h, c); err != nil {
				t.Fatal(err)
			}
		}
		submitted := s.h.Submissions()
		r := s.Hasher().Recipient(local)
		check("delivered", s.tell(t, submitted[0].ID, r), "of a gateway at home in lazio",
			"directory: lazio owns the code at epoch 1", "lazio: PROCESSED, of service SERVICE: record",
			"rule: then there was a profile", "spool of lazio: never had it")
		check("by its id alone", s.tell(t, submitted[3].ID, wire.Recipient{}),
			"sicilia: searched", "sicilia: PROCESSED")
		check("refused", s.tell(t, submitted[6].ID, s.Hasher().Recipient(nobody)),
			"REJECTED (USER_NOT_FOUND)", "nobody has claimed the code", "its content is not kept")
		for _, c := range s.citizens[:6] { // a replica that follows knows nothing of it yet
			if err := s.Send(t.Context(), &s.h, c); err != nil {
				t.Fatal(err)
			}
			submitted = s.h.Submissions()
			check("at once, by its id alone",
				s.tell(t, submitted[len(submitted)-1].ID, wire.Recipient{}), ": PROCESSED")
		}

		unknown := func(op *operator.Client, id wire.MessageID, want wire.Code, region string) {
			t.Helper()
			_, err := op.Explain(t.Context(), id, wire.Recipient{})
			if !errors.Is(err, want) || !strings.Contains(err.Error(), region) {
				t.Errorf("got %v, want %v that names %q", err, want, region)
			}
		}
		siciliana := s.OperatorOf(s.ca, "rosalia", grantsFor("sicilia"))
		unknown(siciliana, submitted[0].ID, wire.Forbidden, "lazio: ")
		never := wire.NewMessageID(wire.TimeOf(time.Now()), 1)
		unknown(s.Operator(), never, wire.NotFound, "no region has")

		s.awaitKeys()
		s.isolate("sicilia")
		time.Sleep(10 * time.Second)
		unknown(s.Operator(), never, wire.Unavailable, "sicilia: ")
		away := s.citizens[3]
		spooled := s.spool(t, s.Gateway, away)
		r = s.Hasher().Recipient(away)
		check("spooled", s.tell(t, spooled.ID, r), "spool of lazio: waits in block",
			"sicilia: cannot be asked", "directory: sicilia owns the code at epoch 1")
		s.Mend()
		s.AwaitEmptySpools()
		check("relayed", s.tell(t, spooled.ID, r), "spool of lazio: relayed", "sicilia: PROCESSED")
	})
}

// TestAuditOfOperators reads, from a replica, what operators did and were refused.
func TestAuditOfOperators(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		op := s.Operator()
		put := wire.Institution{ID: "01234567890", Name: "Comune"}
		if err := op.PutInstitution(t.Context(), put); err != nil {
			t.Fatal(err)
		}
		if err := op.RevokeKey(t.Context(), "NONE", wire.PrimaryKey); err == nil {
			t.Error("a key of no service was revoked")
		}
		time.Sleep(time.Second)
		for range 6 { // whichever node answers
			page, err := op.Audit(t.Context(), wire.ListAudit{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, l := range page.Lines {
				got = append(got, fmt.Sprintf("%s, %s, %s: %v", l.Operator, l.Action, l.Subject,
					l.Refused))
			}
			want := "spiffe://virtual/operator/operator, institution put, 01234567890: <nil>\n" +
				"spiffe://virtual/operator/operator, key revoke, NONE primary: not-found: no such service"
			if text := strings.Join(got, "\n"); !strings.HasSuffix(text, want) {
				t.Errorf("got\n%s\nwant at its end\n%s", text, want)
			}
		}
	})
}

// TestContactOutlivesRestarts: a region that is cut off does not believe keys for longer because
// its nodes are restarted.
func TestContactOutlivesRestarts(t *testing.T) {
	long(t)
	inScene(t, func(t *testing.T, s *scene) {
		n := s.node(t, "sicilia-2")
		n.Isolate()
		const outages, length = 3, 4 * time.Minute
		for range outages {
			time.Sleep(length)
			n.Crash()
			n.Isolate()
			n.Start()
		}
		got := time.Duration(n.Node.View().ContactMillis) * time.Millisecond
		// The time is written each minute: the first restart may forget as much of it.
		if most := outages * length; got < most-2*time.Minute || got > most+time.Minute {
			t.Errorf("contact with the federation %s ago, want about %s", got, most)
		}
	})
}
