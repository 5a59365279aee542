package federation

import (
	"bytes"
	"slices"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// found sets the federation's map, once. The same map again changes nothing; another one is a
// Conflict, and one of another federation WrongFederation.
func (t *tx) found(m *wire.Map) (codec.Message, *wire.Error) {
	if err := validateMap(m); err != nil {
		return nil, err
	}
	encoded := wire.Encode(m)
	if t.founded != nil {
		if !bytes.Equal(encoded, wire.Encode(t.founded.m)) {
			return nil, wire.Errorf(wire.Conflict, "federation %q is already founded, with "+
				"another map", t.founded.m.Federation)
		}
		return nil, nil
	}
	if m.Federation != t.federation {
		return nil, wire.Errorf(wire.WrongFederation, "map of federation %q, this is %q",
			m.Federation, t.federation)
	}
	if m.ActiveVersion > wire.Version {
		t.fail(tooNew(m.ActiveVersion))
		return nil, nil
	}
	t.set(mapKey, encoded)
	t.founded = newFounding(m)
	t.tell(&wire.FeedEvent{Map: m})
	return nil, nil
}

// putInstitution makes an institution, or replaces it as a whole.
func (t *tx) putInstitution(i *wire.Institution) (codec.Message, *wire.Error) {
	if err := validateInstitution(i); err != nil {
		return nil, err
	}
	if t.put(institutionKey(i.ID), i, new(wire.Institution)) {
		t.tell(&wire.FeedEvent{Institution: i.ID})
	}
	return nil, nil
}

// put writes m under key unless the row, decoded into old, says the same.
func (t *tx) put(key []byte, m, old codec.Message) (changed bool) {
	encoded := wire.Encode(m)
	if t.load(key, old) && bytes.Equal(wire.Encode(old), encoded) {
		return false
	}
	t.set(key, encoded)
	return true
}

// putService makes a service, or replaces it as a whole, but for a key whose hash is given as
// zero: that one stays. The state numbers the versions: one more with every change. NotFound when
// there is no such institution; Conflict when a key is another service's, or given twice.
func (t *tx) putService(s *wire.Service) (codec.Message, *wire.Error) {
	if err := validateService(s); err != nil {
		return nil, err
	}
	if _, ok := t.get(institutionKey(s.Institution)); !ok {
		return nil, wire.Errorf(wire.NotFound, "no institution %q", s.Institution)
	}
	var old wire.Service
	t.load(serviceKey(s.ID), &old)
	for i := range s.Keys {
		if s.Keys[i] == (wire.KeyHash{}) {
			s.Keys[i] = old.Keys[i]
		}
	}
	s.Version = old.Version
	return nil, t.writeService(&old, s)
}

// setKey replaces one of a service's two keys; a zero hash revokes it. NotFound when there is no
// such service; Conflict when another service has the key, or this one under the other name, so
// that revoking a key by its name always ends its use.
func (t *tx) setKey(k *wire.SetKey) (codec.Message, *wire.Error) {
	if k.Name > wire.SecondaryKey {
		return nil, wire.Malformedf("key %d of a service, it has two", k.Name)
	}
	var old wire.Service
	if !k.Service.Valid() || !t.load(serviceKey(k.Service), &old) {
		return nil, wire.Errorf(wire.NotFound, "no such service")
	}
	s := old
	s.Keys[k.Name] = k.Hash
	return nil, t.writeService(&old, &s)
}

// writeService replaces old by s, with the rows that lead from a key to its service.
func (t *tx) writeService(old, s *wire.Service) *wire.Error {
	if s.Keys[0] != (wire.KeyHash{}) && s.Keys[0] == s.Keys[1] {
		return wire.Errorf(wire.Conflict, "one key given as both keys of service %q", s.ID)
	}
	for _, k := range s.Keys {
		if holder, ok := t.get(keyKey(k)); ok && wire.ServiceID(holder) != s.ID {
			return wire.Errorf(wire.Conflict, "another service has this key")
		}
	}
	if bytes.Equal(wire.Encode(old), wire.Encode(s)) {
		return nil
	}
	s.Version++
	event := &wire.FeedEvent{Service: s.ID}
	for _, k := range old.Keys {
		if k == (wire.KeyHash{}) {
			continue
		}
		event.Keys = append(event.Keys, k)
		if !slices.Contains(s.Keys[:], k) {
			t.del(keyKey(k))
		}
	}
	for _, k := range s.Keys {
		if k != (wire.KeyHash{}) && !slices.Contains(old.Keys[:], k) {
			event.Keys = append(event.Keys, k)
			t.set(keyKey(k), []byte(s.ID))
		}
	}
	t.set(serviceKey(s.ID), wire.Encode(s))
	t.tell(event)
	return nil
}
