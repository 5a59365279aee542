package federation

import "github.com/staffetta/staffetta/internal/store"

// Store is the database below, for backups.
func (s *State) Store() *store.DB { return s.db }
