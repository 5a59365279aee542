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

// TestForceNeedsALoss: what is for a region that is lost is refused while it answers, unless the
// operator insists; and one that does not answer is given nothing.
func TestForceNeedsALoss(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		op := s.Operator()
		deal := operator.SlotDeal{To: "sicilia", Slots: []wire.Slot{s.slotsOf("lazio")[0]}}
		refused := func(what string, err error) {
			t.Helper()
			if !errors.Is(err, wire.Conflict) || !strings.Contains(err.Error(), "answer") {
				t.Errorf("%s: got %v", what, err)
			}
		}
		version := s.Map().Version
		for what, ctx := range map[string]context.Context{"done": t.Context(),
			"rehearsed": operator.Rehearse(t.Context())} {
			refused("slots by force, "+what, op.DealSlots(ctx, deal, operator.Force{Take: true}))
			refused("a fence, "+what, op.FenceRegion(ctx,
				&wire.FenceRegion{Region: "sicilia", Incarnation: 1}))
			refused("restore waive, "+what, op.WaiveReport(ctx, &wire.WaiveReport{Region: "sicilia"}))
		}
		insists := operator.Force{Take: true, Healthy: true}
		if err := op.DealSlots(operator.Rehearse(t.Context()), deal, insists); err != nil {
			t.Errorf("who insists, rehearsing: %v", err)
		}
		if got := s.Map().Version; got != version {
			t.Errorf("the map went from version %d to %d", version, got)
		}
		if err := op.DealSlots(t.Context(), deal, insists); err != nil {
			t.Errorf("who insists: %v", err)
		}
		_, err := op.WriteOffSlots(t.Context(), s.Map(), "lazio", false)
		if err != nil {
			t.Errorf("nothing to write off: %v", err)
		}
		for _, n := range s.Nodes("sicilia")[:2] {
			n.Stop()
		}
		time.Sleep(10 * time.Second)
		for _, f := range []operator.Force{{}, {Take: true}, {Take: true, Healthy: true}} {
			refused("to a region without a majority", op.DealSlots(t.Context(),
				operator.SlotDeal{To: "sicilia", Slots: []wire.Slot{s.slotsOf("lazio")[0]}}, f))
		}
		if got := op.Answering(t.Context(), s.Map()); !got["lazio"] || got["sicilia"] {
			t.Errorf("answering: got %v", got)
		}
		lost := operator.SlotDeal{To: "lazio", Slots: []wire.Slot{s.slotsOf("sicilia")[0]}}
		if err := op.DealSlots(t.Context(), lost, operator.Force{Take: true}); err != nil {
			t.Errorf("from a region that is lost: %v", err)
		}
		for _, n := range s.Nodes("sicilia")[:2] {
			n.Start()
		}
		s.AwaitReady()
		want := map[string]string{"slots deal --force": "1 slots: 1 of lazio to sicilia"}
		page, err := op.Audit(t.Context(), wire.ListAudit{})
		if err != nil {
			t.Fatal(err)
		}
		if l := page.Lines[0]; want[l.Action] != l.Subject {
			t.Errorf("the audit says %q of %q", l.Subject, l.Action)
		}
	})
}

// TestWithdrawnWithoutAMajority: an operator's change that finds no majority ends after its time
// with an error, and is not carried out when there is a majority again.
func TestWithdrawnWithoutAMajority(t *testing.T) {
	long(t)
	inScene(t, func(t *testing.T, s *scene) {
		op := s.Operator()
		if _, err := op.Map(t.Context()); err != nil {
			t.Fatal(err)
		}
		name := func() string {
			a, err := s.Leader("lazio").Node.Federation().Institution("00000000001")
			if err != nil {
				return ""
			}
			return a.Name
		}
		var leader *Node
		for _, n := range s.nodes {
			if n.Status("federation").Role == "leader" {
				leader = n
			}
		}
		var others []*Node
		for _, n := range s.nodes {
			if in, _ := s.Map().Node(n.ID); n != leader && in.Voter {
				others = append(others, n)
			}
		}
		for _, n := range others { // the leader has not noticed when it is asked
			n.Crash()
		}
		began := time.Now()
		err := op.PutInstitution(context.Background(), wire.Institution{ID: "00000000001",
			Name: "Comune"})
		if err == nil {
			t.Fatal("done without a majority")
		}
		if took := time.Since(began); took > wire.OperatorWait+time.Second {
			t.Errorf("it took %s", took)
		}
		for _, n := range others {
			n.Start()
		}
		s.AwaitReady()
		time.Sleep(10 * time.Minute)
		if got := name(); got != "" {
			t.Errorf("carried out later: %q", got)
		}
	})
}

// TestNoMajorityIsSaid: whatever waits for the federation's leader ends with the cause when there can
// be none, however long its caller would wait.
func TestNoMajorityIsSaid(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		op, m := s.Operator(), s.Map()
		var voters []*Node
		for _, n := range s.nodes {
			if in, _ := m.Node(n.ID); in.Voter {
				voters = append(voters, n)
			}
		}
		left := len(voters) / 2
		for _, n := range voters[left:] {
			n.Stop()
		}
		time.Sleep(10 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		want := fmt.Sprintf("the federation's group has no majority: %d of its %d voters answer", left,
			len(voters))
		for what, call := range map[string]func() error{
			"restore fence": func() error {
				return op.FenceRegion(ctx, &wire.FenceRegion{Region: "sicilia", Incarnation: 1})
			},
			"institution put": func() error {
				return op.PutInstitution(ctx, wire.Institution{ID: "00000000001", Name: "Comune"})
			},
			"node maintenance": func() error {
				_, err := op.ChangeMembers(ctx, &wire.MemberChange{Node: &wire.NodeChange{
					ID: "sicilia-1", SetMaintenance: true, Maintenance: "disk"}})
				return err
			},
			"voters": func() error {
				_, err := op.Members(ctx, "federation")
				return err
			},
			"handover": func() error { return op.TransferLeadership(ctx, "federation", "lazio-1") },
			"node token": func() error {
				_, err := op.Tokens(ctx)
				return err
			},
		} {
			began := time.Now()
			err := call()
			took := time.Since(began)
			if !operator.NoMajority(err) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", what, err, want)
			}
			if took > 10*time.Second {
				t.Errorf("%s: it took %s", what, took)
			}
		}
		for _, n := range voters[left:] {
			n.Start()
		}
		s.AwaitReady()
		if _, err := op.Members(ctx, "federation"); err != nil {
			t.Errorf("with a majority: %v", err)
		}
	})
}
