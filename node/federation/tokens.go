package federation

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
)

// tokenKey is the row of a join token, under the hash of its secret.
func tokenKey(hash [32]byte) []byte { return append([]byte("j/t/"), hash[:]...) }

var tokensEnd = []byte("j/t0") // above every token

// putToken keeps a join token; the same one again changes nothing. An earlier token of the node
// that nobody has used is void from here on.
func (t *tx) putToken(k *wire.JoinToken) (codec.Message, *wire.Error) {
	if t.founded == nil {
		return nil, wire.Errorf(wire.NotReady, "the federation is not founded yet")
	}
	var old wire.JoinToken
	if t.load(tokenKey(k.Hash), &old) {
		if old.Node == k.Node && old.Region == k.Region && old.Addr == k.Addr &&
			old.Expires == k.Expires {
			return nil, nil
		}
		return nil, wire.Errorf(wire.Conflict, "this token is another one already")
	}
	if err := t.checkToken(k); err != nil {
		return nil, err
	}
	tokens, err := listTokens(t.reads)
	t.fail(err)
	var void [][]byte
	for i := range tokens {
		switch o := &tokens[i]; {
		case t.now > o.Expires.Add(wire.TokenKept),
			t.now > o.Expires && len(o.Certificate) == 0,
			o.Node == k.Node && len(o.Certificate) == 0:
			void = append(void, tokenKey(o.Hash))
		case o.Addr == k.Addr && len(o.Certificate) == 0:
			return nil, wire.Errorf(wire.Conflict, "node %s is to join at %s", o.Node, o.Addr)
		}
	}
	if kept := len(tokens) - len(void); kept >= wire.TokensMax {
		return nil, wire.Errorf(wire.TooLarge, "%d join tokens are kept, %d allowed", kept,
			wire.TokensMax)
	}
	for _, key := range void {
		t.del(key)
	}
	t.set(tokenKey(k.Hash), wire.Encode(k))
	return nil, nil
}

// checkToken refuses a token for a node that cannot join.
func (t *tx) checkToken(k *wire.JoinToken) *wire.Error {
	m := t.founded.m
	r, ok := m.RegionByID(k.Region)
	switch {
	case !k.Node.Valid():
		return wire.Malformedf("node %.40q: a name of 1-%d of [a-z0-9-] is needed", k.Node,
			wire.NameBytesMax)
	case len(k.Request) > 0 || len(k.Certificate) > 0 || k.Founds || k.Hash == [32]byte{}:
		return wire.Malformedf("a new token has a hash and no certificate")
	case !ok:
		return wire.Errorf(wire.NotFound, "no region %.40q on the map", k.Region)
	case r.Closing:
		return wire.Errorf(wire.Conflict, "region %s is closing", k.Region)
	case k.Expires <= t.now || k.Expires > t.now.Add(wire.TokenAgeMax):
		return wire.Malformedf("a token is good for up to %s, not until %s", wire.TokenAgeMax,
			k.Expires)
	case len(m.Nodes) >= wire.NodesMax:
		return wire.Errorf(wire.TooLarge, "%d nodes, %d allowed", len(m.Nodes), wire.NodesMax)
	}
	if err := validateAddr(k.Addr); err != nil {
		return err
	}
	return t.checkNewNode(k)
}

// checkNewNode refuses names and addresses that are taken.
func (t *tx) checkNewNode(k *wire.JoinToken) *wire.Error {
	for _, n := range t.founded.m.Nodes {
		if n.ID == k.Node {
			return wire.Errorf(wire.Conflict, "node %s is on the map already", k.Node)
		}
		if n.Addr == k.Addr {
			return wire.Errorf(wire.Conflict, "address %s is node %s's", k.Addr, n.ID)
		}
	}
	if _, was := t.get(goneNodeKey(k.Node)); was {
		return wire.Errorf(wire.Conflict, "node %s was removed, and names are not given again: "+
			"choose another", k.Node)
	}
	return nil
}

// enrol notes a node's request under its token, or the certificate that answers it, which puts
// the node on the map. The answer is the token as it then is. A token serves one request: another
// one is a Conflict, the same one again is answered as the first time.
func (t *tx) enrol(e *wire.Enrolment) (codec.Message, *wire.Error) {
	k := new(wire.JoinToken)
	if t.founded == nil || !t.load(tokenKey(e.Hash), k) {
		return nil, wire.Errorf(wire.NotFound, "no such token: it was never given, or its time is "+
			"long over")
	}
	if len(e.Request) > wire.CertificateBytesMax || len(e.Certificate) > wire.CertificateBytesMax ||
		(len(e.Request) == 0) == (len(e.Certificate) == 0) {
		return nil, wire.Malformedf("either a request or a certificate, of at most %d bytes",
			wire.CertificateBytesMax)
	}
	if e.Node != "" && e.Node != k.Node {
		return nil, wire.Errorf(wire.Conflict, "the token is node %s's, not %.40q's", k.Node, e.Node)
	}
	have, given := &k.Request, e.Request
	if len(e.Certificate) > 0 {
		have, given = &k.Certificate, e.Certificate
	}
	switch {
	case bytes.Equal(*have, given):
		return k, nil
	case len(*have) > 0:
		return nil, wire.Errorf(wire.Conflict, "the token of node %s was used already", k.Node)
	case t.now > k.Expires:
		return nil, wire.Errorf(wire.Forbidden, "the token of node %s expired at %s", k.Node,
			k.Expires)
	}
	if *have = given; len(e.Certificate) > 0 {
		if err := t.admit(k); err != nil {
			return nil, err
		}
	}
	t.set(tokenKey(k.Hash), wire.Encode(k))
	return k, nil
}

// admit puts a token's node on the map.
func (t *tx) admit(k *wire.JoinToken) *wire.Error {
	if len(k.Request) == 0 {
		return wire.Errorf(wire.Conflict, "node %s has not asked for a certificate yet", k.Node)
	}
	if err := t.checkNewNode(k); err != nil {
		return err
	}
	k.Founds = nodesOf(t.founded.m, k.Region) == 0
	return t.changeMap(func(m *wire.Map) *wire.Error {
		r, ok := m.RegionByID(k.Region)
		if !ok || r.Closing {
			return wire.Errorf(wire.Conflict, "region %s is closing", k.Region)
		}
		m.Nodes = append(m.Nodes, wire.Node{ID: k.Node, Region: k.Region, Addr: k.Addr})
		return nil
	})
}

// Tokens returns the join tokens in the order of their nodes, those of later times first.
func (s *State) Tokens() (tokens []wire.JoinToken, err error) {
	err = s.db.View(func(r pebble.Reader) error {
		tokens, err = listTokens(r)
		return err
	})
	return tokens, err
}

// Token returns the token of a secret's hash, or NotFound.
func (s *State) Token(hash [32]byte) (*wire.JoinToken, error) {
	k := new(wire.JoinToken)
	err := s.db.View(func(r pebble.Reader) error {
		return read(r, tokenKey(hash), k, "no such token")
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

func listTokens(r pebble.Reader) (tokens []wire.JoinToken, err error) {
	err = store.IterateFrom(r, tokenKey([32]byte{}), tokensEnd, false,
		func(_, v []byte) (bool, error) {
			var k wire.JoinToken
			if err := wire.Decode(slices.Clone(v), &k); err != nil {
				return false, fmt.Errorf("damaged row of a token: %v", err)
			}
			tokens = append(tokens, k)
			return true, nil
		})
	slices.SortFunc(tokens, func(a, b wire.JoinToken) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(b.Expires, a.Expires))
	})
	return tokens, err
}
