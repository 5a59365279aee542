package seat

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/node/datadir"
)

// restarted is a node as far as OpenContact needs one, in a directory that earlier ones wrote to.
func restarted(t *testing.T, dir string, clock func() time.Time) *Seat {
	t.Helper()
	n := &Seat{Dir: &datadir.Dir{Path: dir}, Log: slog.New(slog.DiscardHandler), Clock: clock,
		Uptime: Monotonic}
	if err := n.OpenContact(); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestContactOutlivesRestarts: a node that starts cut off again and again does not become younger.
func TestContactOutlivesRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		n := restarted(t, dir, time.Now)
		if got := n.contact.Since(); got != 0 {
			t.Errorf("a new node: contact %s ago", got)
		}
		time.Sleep(time.Hour)
		n.contact.Note(10 * time.Second)
		n.writeContact(n.contact.Since())
		for range 5 { // each runs for ten minutes and hears nothing
			n = restarted(t, dir, time.Now)
			time.Sleep(10 * time.Minute)
			n.writeContact(n.contact.Since())
		}
		want := 50*time.Minute + 10*time.Second
		if got := n.contact.Since(); got != want {
			t.Errorf("contact %s ago, want %s", got, want)
		}
		n.contact.Note(2 * time.Hour) // no news
		if got := n.contact.Since(); got != want {
			t.Errorf("contact %s ago after older news, want %s", got, want)
		}
		n.contact.Note(time.Second)
		if got := n.contact.Since(); got != time.Second {
			t.Errorf("contact %s ago, want a second", got)
		}
	})
}

// TestContactAndClocks: a clock that was set back makes the contact no younger than the process,
// and a damaged file lets nobody believe old keys.
func TestContactAndClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		n := restarted(t, dir, time.Now)
		n.writeContact(0)
		back := restarted(t, dir, func() time.Time { return time.Now().Add(-24 * time.Hour) })
		time.Sleep(time.Minute)
		if got := back.contact.Since(); got != time.Minute {
			t.Errorf("with the clock set back: contact %s ago, want the process's age", got)
		}
		name := filepath.Join(dir, contactFile)
		if err := os.WriteFile(name, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := restarted(t, dir, time.Now).contact.Since(); got < 24*time.Hour {
			t.Errorf("with a damaged file: contact %s ago", got)
		}
	})
}

// TestContactAndSuspension: what a machine slept makes a contact older.
func TestContactAndSuspension(t *testing.T) {
	var slept time.Duration
	c := NewContact(func() time.Duration { return Monotonic() + slept }, 0)
	slept = time.Minute
	if got := c.Since(); got < slept {
		t.Errorf("contact %s ago after a suspension of %s", got, slept)
	}
	if Uptime() < Monotonic() {
		t.Error("the machine is younger than the process")
	}
}
