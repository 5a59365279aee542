package wire

import (
	"bytes"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"
)

func readHex(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestProofs(t *testing.T) {
	c := newCoder(t)
	for n := 1; n <= 33; n++ {
		frame, _ := block(t, c, n)
		b, err := c.Decode(frame)
		if err != nil {
			t.Fatal(err)
		}
		root := b.Root()
		for i := range n {
			path := b.Proof(i)
			if !VerifyInclusion(b.Leaf(i), i, n, path, root) {
				t.Fatalf("record %d of %d: its proof does not hold", i, n)
			}
			if n == 1 {
				continue
			}
			if VerifyInclusion(b.Leaf(i), (i+1)%n, n, path, root) {
				t.Errorf("record %d of %d: its proof holds elsewhere", i, n)
			}
			if VerifyInclusion(b.Leaf((i+1)%n), i, n, path, root) {
				t.Errorf("record %d of %d: its proof holds for another", i, n)
			}
			if VerifyInclusion(b.Leaf(i), i, n, path[1:], root) ||
				VerifyInclusion(b.Leaf(i), i, n, append(slices.Clone(path), path[0]), root) {
				t.Errorf("record %d of %d: a path of another length holds", i, n)
			}
		}
	}
}

// TestLeafComesFromTheRecord: whoever has a record and its salt computes the leaf.
func TestLeafComesFromTheRecord(t *testing.T) {
	c := newCoder(t)
	frame, records := block(t, c, 3)
	b, err := c.Decode(frame)
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		if b.Leaf(i) != LeafOf(b.Salt(i), Encode(&records[i])) {
			t.Errorf("leaf %d is not that of its record", i)
		}
	}
	if b.Salt(0) == b.Salt(1) {
		t.Error("two records share a salt")
	}
}

func TestEraseKeepsRootAndOthers(t *testing.T) {
	c := newCoder(t)
	const n = 5
	frame, records := block(t, c, n)
	b, err := c.Decode(frame)
	if err != nil {
		t.Fatal(err)
	}
	root := b.Root()
	erase := func(b *Block, positions ...int) *Block {
		t.Helper()
		again, err := c.Decode(b.Erase(c, positions...))
		if err != nil {
			t.Fatal(err)
		}
		return again
	}
	once := erase(b, 1)
	twice := erase(once, 3)
	if twice.Root() != root {
		t.Error("the root changed")
	}
	for i := range n {
		gone := i == 1 || i == 3
		if twice.IsErased(i) != gone {
			t.Errorf("record %d: erased %v, want %v", i, twice.IsErased(i), gone)
		}
		if gone {
			if twice.Records[i].Content != nil || twice.Salts[i] != (Salt{}) {
				t.Errorf("record %d left something behind", i)
			}
			continue
		}
		if !bytes.Equal(Encode(&twice.Records[i]), Encode(&records[i])) {
			t.Errorf("record %d changed", i)
		}
		if !VerifyInclusion(twice.Leaf(i), i, n, b.Proof(i), root) {
			t.Errorf("record %d: its old proof does not hold any more", i)
		}
	}
	if twice.Seed != [SeedSize]byte{} {
		t.Error("the seed, and with it every salt, is still there")
	}
}
