package region

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

func TestConfigIsValidated(t *testing.T) {
	_, err := Open(Config{Region: "Lazio", EraseAfter: EraseAfterMax + 1, CacheBytes: 1,
		RejectionRetention: -1})
	if err == nil {
		t.Fatal("opened")
	}
	for _, want := range []string{"region", "hasher", "coder", "erasure", "cache", "retention"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name the problem with the %s", err, want)
		}
	}
	cfg := testConfig(vfs.NewMem(), "lazio", newCoder(t))
	cfg.Store.Sync = true
	if _, err := Open(cfg); err == nil {
		t.Error("a syncing store was opened")
	}
}

// A state belongs to its region and to the directory key that its rows were hashed under.
func TestOpenRefusesAnotherState(t *testing.T) {
	cfg := testConfig(vfs.NewMem(), "lazio", newCoder(t))
	f := openFixture(t, cfg)
	f.must(wire.CmdGrantSlots, allSlots())
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	other := cfg
	other.Region = "sicilia"
	if _, err := Open(other); err == nil {
		t.Error("another region's state was opened")
	}
	other = cfg
	other.Hasher = wire.NewHasher(wire.DirectoryKey{9})
	if _, err := Open(other); err == nil {
		t.Error("a state hashed under another key was opened")
	}
	f.State, _ = Open(cfg)
	if f.State == nil {
		t.Fatal("its own state was refused")
	}
	if f.Slots() != wire.Slots {
		t.Errorf("got %d slots, want all", f.Slots())
	}
}

// TestReadsBesideApply runs every read while entries are applied and a state is installed; the
// race detector judges.
func TestReadsBesideApply(t *testing.T) {
	coder := newCoder(t)
	h := newHistory(openFixture(t, testConfig(vfs.NewMem(), "lazio", coder)), 8)
	for range 150 {
		h.step()
	}
	g := openFixture(t, testConfig(vfs.NewMem(), "lazio", coder))
	b, err := coder.Decode(h.seal(h.records()...))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var readers sync.WaitGroup
	for i := range 3 {
		readers.Go(func() {
			for n := i; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				rec := h.sent[n%len(h.sent)]
				r, token := rec.RecipientUnder(h.hasher), tokenOf("1")
				g.FindMessage(wire.FindMessage{Recipient: r, ID: rec.ID})
				g.SenderProfile(wire.SenderProfileQuery{Recipient: r, Service: rec.Service})
				g.Profile(token, start)
				g.ListInbox(wire.ListInbox{Token: token, Size: 5}, start)
				g.GetInbox(wire.GetInbox{Token: token, ID: rec.ID}, start)
				g.Preference(wire.GetPreference{Token: token, Service: rec.Service}, start)
				g.Ownership(r)
				g.Messages(r)
				g.Admit(b, start)
				g.Pending(3)
				g.PendingChanged()
				g.DueErasures(start.Add(EraseAfterMax), 2)
				g.Due(start.Add(time.Hour))
				g.Slots()
				g.Now()
				g.Digest()
			}
		})
	}
	half := len(h.log) / 2
	g.apply(h.log[:half]...)
	install(t, h.fixture, g)
	h.t = t
	close(done)
	readers.Wait()
	checkEqual(t, "beside readers", g, h.fixture)
}
