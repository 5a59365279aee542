package region

import "github.com/staffetta/staffetta/wire"

func copyKeyKey() []byte { return []byte{copyKeyPrefix} }

// copyKey keeps the secret under which copies of the state are sealed. The first one of a recovery
// key stays, so that copies of one time share what did not change; one of another recovery key
// takes its place, so that who has the former key reads no later copy.
func (s *State) copyKey(c *change, k *wire.CopyKey) (wire.Result, error) {
	if err := k.Validate(); err != nil {
		return wire.Fail(err), nil
	}
	var kept wire.CopyKey
	if _, err := c.getRow(copyKeyKey(), &kept); err != nil {
		return wire.Result{}, err
	}
	if kept.Recovery == k.Recovery {
		return wire.OK(nil), nil
	}
	return wire.OK(nil), c.setRow(copyKeyKey(), k)
}

// CopyKey is the secret under which copies are sealed for a recovery key; nil when there is none.
func (s *State) CopyKey(of wire.RecoveryID) (*wire.CopyKey, error) {
	k := new(wire.CopyKey)
	if ok, err := s.getRow(copyKeyKey(), k); err != nil || !ok || k.Recovery != of {
		return nil, err
	}
	return k, nil
}
