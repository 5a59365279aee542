package consensus

import (
	"errors"
	"testing"
)

// TestSeeded: a replica that begins with a copy of another one's state takes that state's term, once;
// without being told it is one that lost its votes, and so is one that had a log or a vote.
func TestSeeded(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			for _, c := range []struct {
				name        string
				told        bool
				term, voted uint64
				logs        uint64
				want        error
			}{
				{name: "fresh", told: true},
				{name: "not told", want: ErrCorrupt},
				{name: "voted before", told: true, voted: 3, want: ErrCorrupt},
				{name: "had a term", told: true, term: 4, want: ErrCorrupt},
				{name: "had a log", told: true, logs: 10, want: ErrCorrupt},
			} {
				t.Run(c.name, func(t *testing.T) {
					s := openKind(t, kind)
					if c.term > 0 {
						s.Stores.stable.SetUint64(keyTerm, c.term)
					}
					if c.voted > 0 {
						s.Stores.stable.SetUint64(keyVoteTerm, c.voted)
					}
					if c.logs > 0 {
						if err := s.Stores.log.StoreLogs(logsOf(1, 1, c.logs)); err != nil {
							t.Fatal(err)
						}
					}
					s.reopen()
					s.config.Group, s.config.Self, s.config.Seeded = "region/test", "n1", c.told
					run := func() (*reconciler, error) {
						r := &reconciler{config: &s.config, log: s.Stores.log,
							stable: s.Stores.stable, mark: s.mark, pos: at(100, 5, true)}
						return r, r.run()
					}
					r, err := run()
					if !errors.Is(err, c.want) {
						t.Fatalf("got %v, want %v", err, c.want)
					}
					if c.want != nil {
						return
					}
					if r.term != 5 {
						t.Errorf("term %d, want the state's", r.term)
					}
					s.reopen()
					if _, err := run(); err != nil {
						t.Errorf("again: %v", err)
					}
				})
			}
		})
	}
}
