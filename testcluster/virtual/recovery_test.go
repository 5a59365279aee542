package virtual

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// copied are all bytes of a copy, as an operator who takes it gets them.
func copied(t *testing.T, c *operator.Copy) (all []byte) {
	t.Helper()
	for _, f := range c.Files() {
		b, err := c.Read(t.Context(), f.Name, 0, int(f.Size))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

func recoveryKey(t *testing.T) *wire.RecoveryKey {
	t.Helper()
	k, err := wire.NewRecoveryKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sealedTo is the recovery key that a copy of a region is sealed to; zero for one in clear.
func (s *scene) sealedTo(t *testing.T, region wire.RegionID) (id wire.RecoveryID) {
	t.Helper()
	c := s.mustOpenCopy(t, wire.OpenBackup{Group: link.RegionGroup(region)}, "")
	defer c.Close()
	if c.Head().Sealed != nil {
		id = c.Head().Sealed.Recovery
	}
	return id
}

// TestCopiesAreSealed: a region without a recovery key gives a copy in clear only when that is
// said, and notes it; with one no operator gets a citizen's code from any node.
func TestCopiesAreSealed(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		s.mustSend(t, s.citizens[0])
		s.AwaitAgreement()
		op, code := s.Operator(), []byte(s.citizens[0])
		q := wire.OpenBackup{Group: "region/lazio"}
		if _, err := op.Copy(t.Context(), q, ""); err == nil ||
			!strings.Contains(err.Error(), "no recovery key") {
			t.Errorf("a copy in clear that was not asked for: %v", err)
		}
		c := s.mustOpenCopy(t, q, "")
		if clear := copied(t, c); c.Head().Sealed != nil || !bytes.Contains(clear, code) {
			t.Errorf("no code in %d bytes in clear: this test shows nothing", len(clear))
		}
		c.Close()
		page, err := op.Reads(t.Context(), "lazio", wire.ListAudit{})
		if err != nil || len(page.Lines) == 0 ||
			!strings.HasSuffix(page.Lines[0].Subject, ", unsealed") {
			t.Errorf("the region notes %+v, %v", page, err)
		}

		key := recoveryKey(t)
		taker := s.OperatorOf(s.ca, "taker", link.Grants{{Right: link.RightData, Region: "*"}})
		if err := taker.SetRecoveryKey(t.Context(), "lazio", key.Public()); !errors.Is(err,
			wire.Forbidden) {
			t.Errorf("who takes copies sets what they are sealed to: %v", err)
		}
		if err := op.SetRecoveryKey(t.Context(), "lazio", key.Public()[1:]); !errors.Is(err,
			wire.Malformed) {
			t.Errorf("something that is no key: %v", err)
		}
		if err := op.SetRecoveryKey(t.Context(), "lazio", key.Public()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second) // every replica has it
		for _, n := range s.Nodes("lazio") {
			q := wire.OpenBackup{Group: q.Group, Unsealed: true, Leader: true}
			c, err := taker.Copy(t.Context(), q, n.ID)
			if err != nil {
				t.Fatal(err)
			}
			if c.Head().Sealed == nil || c.Head().Sealed.Recovery != key.ID() ||
				bytes.Contains(copied(t, c), code) {
				t.Errorf("%s gives a copy in clear: %+v", n.ID, c.Head().Sealed)
			}
			c.Close()
		}
		if id := s.sealedTo(t, "sicilia"); id != (wire.RecoveryID{}) {
			t.Errorf("sicilia's copies are sealed to %s", id)
		}
	})
}

// TestRecoveryKeyTakesTwo: where two operators are needed one sets a region's first recovery key,
// and it takes two to have copies sealed to another.
func TestRecoveryKeyTakesTwo(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		ada, bice := s.OperatorOf(s.ca, "ada", link.AllGrants()),
			s.OperatorOf(s.ca, "bice", link.AllGrants())
		if err := ada.SetApprovals(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		first, second := recoveryKey(t), recoveryKey(t)
		for range 2 { // the same again changes nothing
			if err := ada.SetRecoveryKey(t.Context(), "lazio", first.Public()); err != nil {
				t.Fatalf("the first one: %v", err)
			}
			time.Sleep(5 * time.Second)
		}
		if err := ada.SetRecoveryKey(t.Context(), "lazio", second.Public()); !errors.Is(err,
			wire.AwaitsApproval) {
			t.Fatalf("another one, by one operator: %v", err)
		}
		time.Sleep(5 * time.Second)
		if id := s.sealedTo(t, "lazio"); id != first.ID() {
			t.Errorf("before the approval copies are sealed to %s, want %s", id, first.ID())
		}
		list, err := bice.Pending(t.Context())
		if err != nil || len(list.List) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		if err := bice.Approve(t.Context(), list.List[0].ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if id := s.sealedTo(t, "lazio"); id != second.ID() {
			t.Errorf("after it copies are sealed to %s, want %s", id, second.ID())
		}
	})
}
