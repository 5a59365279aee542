package codec

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// tree is a message of every shape that fills the array of fields: wide, deep, and both.
type tree struct {
	N    uint64
	Text []byte
	Kids []tree
}

func (m *tree) Fields(c *Codec) {
	Uint(c, 1, &m.N)
	Bytes(c, 2, &m.Text)
	Repeated(c, 3, &m.Kids)
}

func someTree(r *rand.Rand, depth int) tree {
	m := tree{N: r.Uint64N(3)}
	if r.IntN(2) == 0 {
		m.Text = bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(4))
	}
	if depth > 0 {
		for range []int{0, 1, 3, 40}[r.IntN(4)] {
			m.Kids = append(m.Kids, someTree(r, depth-1))
		}
	}
	return m
}

// damaged is an encoding as it is, cut, with a wrong byte, or with fields that nobody knows.
func damaged(r *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	switch at := r.IntN(len(b) + 1); r.IntN(5) {
	case 0:
		return b[:at]
	case 1:
		if at < len(b) {
			b[at] = byte(r.Uint32())
		}
	case 2:
		for n := range r.IntN(200) {
			b = protowire.AppendTag(b, protowire.Number(100+n), protowire.BytesType)
			b = protowire.AppendString(b, "unknown")
		}
	}
	return b
}

// checkReused decodes b with a codec that others have used, and holds it to a new one; afterwards
// the used one must refer to nothing.
func checkReused(t *testing.T, used *Codec, b []byte) {
	t.Helper()
	var got, want tree
	gotErr, wantErr := used.decode(b, &got, false), new(Codec).decode(b, &want, false)
	if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
		t.Fatalf("got error %v, a new codec has %v", gotErr, wantErr)
	}
	if gotErr == nil && !bytes.Equal(Marshal(nil, &got), Marshal(nil, &want)) {
		t.Fatalf("got %+v, a new codec has %+v", got, want)
	}
	for i, f := range used.fields[:cap(used.fields)] {
		if f.num != 0 || f.typ != 0 || f.varint != 0 || f.bytes != nil {
			t.Fatalf("field %d of %d is left", i, cap(used.fields))
		}
	}
}

// What was decoded earlier, well or not, is neither seen by a later decoding nor kept.
func TestNothingIsLeftOfEarlierMessages(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 1))
	used := new(Codec)
	for range 2000 {
		m := someTree(r, r.IntN(3))
		checkReused(t, used, damaged(r, Marshal(nil, &m)))
	}
	if cap(used.fields) < 64 {
		t.Errorf("the longest message had %d fields: too few to judge by", cap(used.fields))
	}
}

// FuzzReused is the same for two messages of a fuzzer's, one after the other.
func FuzzReused(f *testing.F) {
	r := rand.New(rand.NewPCG(17, 2))
	for range 8 {
		a, b := someTree(r, 3), someTree(r, 1)
		f.Add(Marshal(nil, &a), damaged(r, Marshal(nil, &b)))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		used := new(Codec)
		checkReused(t, used, a)
		checkReused(t, used, b)
		checkReused(t, used, a)
	})
}

// BenchmarkUnmarshal decodes a short message by itself, and after a long one whose array is in the
// pool.
func BenchmarkUnmarshal(b *testing.B) {
	short := Marshal(nil, &tree{N: 1, Text: []byte("text"), Kids: []tree{{N: 2}, {N: 3}}})
	long := Marshal(nil, &tree{Kids: make([]tree, pooledFieldsMax/2)})
	for name, first := range map[string][]byte{"alone": short, "after-long": long} {
		b.Run(name, func(b *testing.B) {
			if err := Unmarshal(first, new(tree)); err != nil {
				b.Fatal(err)
			}
			var m tree
			b.ReportAllocs()
			for b.Loop() {
				m = tree{Kids: m.Kids[:0]}
				if err := Unmarshal(short, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
