package virtual

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// TestTwoOperators: where two are needed, slots that one operator takes by force wait, and nothing
// else changes; another one with the right has it done, once, also under the next leader.
func TestTwoOperators(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		ada, bice := s.OperatorOf(s.ca, "ada", link.AllGrants()),
			s.OperatorOf(s.ca, "bice", link.AllGrants())
		sicilian := s.OperatorOf(s.ca, "rosalia", grantsFor("sicilia"))
		if err := ada.SetApprovals(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		slots := s.slotsOf("lazio")
		take := func(slot wire.Slot) error {
			return ada.DealSlots(t.Context(), operator.SlotDeal{To: "sicilia",
				Slots: []wire.Slot{slot}}, operator.Force{Take: true, Healthy: true})
		}
		waiting := func() []wire.PendingRequest {
			t.Helper()
			list, err := bice.Pending(t.Context())
			if err != nil || list.Approvals != 2 {
				t.Fatalf("%+v, %v", list, err)
			}
			return list.List
		}
		version := s.Map().Version
		for range 2 {
			if err := take(slots[0]); !errors.Is(err, wire.AwaitsApproval) ||
				!strings.Contains(err.Error(), "staffetta admin approve ") {
				t.Fatalf("one operator: %v", err)
			}
		}
		time.Sleep(5 * time.Second) // every replica has it
		list := waiting()
		if got := s.Map().Version; len(list) != 1 || got != version {
			t.Fatalf("%d wait, the map went from version %d to %d", len(list), version, got)
		}
		id := list[0].ID
		refused := func(who string, err error) {
			t.Helper()
			if !errors.Is(err, wire.Forbidden) || s.Map().Version != version {
				t.Errorf("%s: %v, version %d of the map after %d", who, err, s.Map().Version, version)
			}
		}
		refused("who asked", ada.Approve(t.Context(), id))
		refused("one without the right", sicilian.Approve(t.Context(), id))
		refused("one without the right withdraws", sicilian.Withdraw(t.Context(), id))
		refused("who asked, rehearsing", ada.Approve(operator.Rehearse(t.Context()), id))
		if err := bice.Approve(operator.Rehearse(t.Context()), id); err != nil {
			t.Errorf("rehearsed: %v", err)
		}
		for _, n := range s.nodes {
			if n.Status("federation").Role == "leader" {
				n.Crash()
				defer n.Start()
				break
			}
		}
		time.Sleep(15 * time.Second) // the next one knows which regions answer
		for range 2 {                // an approval may be repeated
			if err := bice.Approve(t.Context(), id); err != nil {
				t.Fatalf("another operator, under another leader: %v", err)
			}
		}
		time.Sleep(5 * time.Second)
		deals := 0
		for _, slot := range slots {
			if _, moving := s.Map().SlotDeal(slot); moving || s.Map().Anchor(slot) == "sicilia" {
				deals++
			}
		}
		if deals != 1 || len(waiting()) != 0 {
			t.Errorf("%d slots were taken, %d wait", deals, len(waiting()))
		}
		checkLines(t, bice, id)

		if err := take(slots[1]); !errors.Is(err, wire.AwaitsApproval) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if list = waiting(); len(list) != 1 {
			t.Fatalf("%d wait", len(list))
		}
		if err := ada.Withdraw(t.Context(), list[0].ID); err != nil {
			t.Errorf("withdrawn by who asked: %v", err)
		}
		if err := bice.Approve(t.Context(), list[0].ID); !errors.Is(err, wire.NotFound) {
			t.Errorf("approved after that: %v", err)
		}
		if err := ada.SetApprovals(t.Context(), 1); !errors.Is(err, wire.AwaitsApproval) {
			t.Errorf("back to one operator, by one: %v", err)
		}
	})
}

// checkLines looks for the audit's line that names both operators.
func checkLines(t *testing.T, op *operator.Client, id string) {
	t.Helper()
	page, err := op.Audit(t.Context(), wire.ListAudit{})
	if err != nil {
		t.Fatal(err)
	}
	asked, done, refused := 0, 0, 0
	for _, l := range page.Lines {
		switch {
		case l.Approval != id:
		case l.Asked == "" && strings.HasSuffix(l.Operator, "/ada"):
			asked++
		case l.Refused != nil && strings.HasSuffix(l.Operator, "/ada"):
			refused++
		case strings.HasSuffix(l.Operator, "/bice") && strings.HasSuffix(l.Asked, "/ada"):
			done++
		}
	}
	if asked != 2 || done != 1 || refused != 1 {
		t.Errorf("the audit has %d lines of the request, %d of the approval, %d of the one refused",
			asked, done, refused)
	}
}
