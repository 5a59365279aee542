package node

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// restarted is a node as far as openContact needs one, in a directory that earlier ones wrote to.
func restarted(t *testing.T, dir string, clock func() time.Time) *Node {
	t.Helper()
	n := &Node{dir: &dataDir{path: dir}, log: slog.New(slog.DiscardHandler), opened: time.Now(),
		cfg: Config{Now: clock, Uptime: monotonic}}
	if err := n.openContact(); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestContactOutlivesRestarts: a node that starts cut off again and again does not become younger.
func TestContactOutlivesRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		n := restarted(t, dir, time.Now)
		if got := n.contact.since(); got != 0 {
			t.Errorf("a new node: contact %s ago", got)
		}
		time.Sleep(time.Hour)
		n.contact.note(10 * time.Second)
		n.writeContact(n.contact.since())
		for range 5 { // each runs for ten minutes and hears nothing
			n = restarted(t, dir, time.Now)
			time.Sleep(10 * time.Minute)
			n.writeContact(n.contact.since())
		}
		want := 50*time.Minute + 10*time.Second
		if got := n.contact.since(); got != want {
			t.Errorf("contact %s ago, want %s", got, want)
		}
		n.contact.note(2 * time.Hour) // no news
		if got := n.contact.since(); got != want {
			t.Errorf("contact %s ago after older news, want %s", got, want)
		}
		n.contact.note(time.Second)
		if got := n.contact.since(); got != time.Second {
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
		if got := back.contact.since(); got != time.Minute {
			t.Errorf("with the clock set back: contact %s ago, want the process's age", got)
		}
		name := filepath.Join(dir, contactFile)
		if err := os.WriteFile(name, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := restarted(t, dir, time.Now).contact.since(); got < 24*time.Hour {
			t.Errorf("with a damaged file: contact %s ago", got)
		}
	})
}

// TestContactAndSuspension: what a machine slept makes a contact older, and with it what is known
// of the deals of slots.
func TestContactAndSuspension(t *testing.T) {
	var slept time.Duration
	up := func() time.Duration { return monotonic() + slept }
	n := &Node{cfg: Config{Uptime: up}}
	n.contact, n.deals = newContact(up, 0), newContact(up, longAgo)
	if n.knowsDeals() {
		t.Error("a node that never asked knows every deal")
	}
	n.deals.note(0)
	if !n.knowsDeals() {
		t.Error("a node that has just asked does not know the deals")
	}
	slept = anchorContactMax + time.Second
	if n.knowsDeals() {
		t.Error("a node whose machine was suspended decides on")
	}
	if got := n.contact.since(); got < slept {
		t.Errorf("contact %s ago after a suspension of %s", got, slept)
	}
	if Uptime() < monotonic() {
		t.Error("the machine is younger than the process")
	}
}
