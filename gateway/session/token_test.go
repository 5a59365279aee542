package session

import (
	"strings"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

func TestTokens(t *testing.T) {
	seen := map[string]bool{}
	for tag := range wire.RegionTag(wire.RegionTags) {
		token := Mint(tag)
		if got, ok := Parse(token); !ok || got != tag || len(token) != 96 || seen[token] {
			t.Fatalf("token of tag %d: got %d, valid %v, %d characters", tag, got, ok, len(token))
		}
		seen[token] = true
	}
	good := Mint(5)
	for _, bad := range []string{"", good[1:], good + "0", strings.Repeat("A", 96),
		"g" + good[1:], good[:95] + " "} {
		if _, ok := Parse(bad); ok {
			t.Errorf("%q passes for a token", bad)
		}
	}
}
