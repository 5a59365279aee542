package codec

import (
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

const innerNumber = 20

// asked asks for fields in any order, and holds what find says to what it is meant to say. Between
// two of them it reads a message inside.
type asked struct {
	t     *testing.T
	nums  []protowire.Number
	inner *asked
}

func (m *asked) Fields(c *Codec) {
	for i, num := range m.nums {
		if i == len(m.nums)/2 && m.inner != nil {
			if f, ok := c.find(innerNumber, protowire.BytesType); ok {
				c.message(f.bytes, m.inner)
			}
		}
		m.ask(c, num)
	}
}

func (m *asked) ask(c *Codec, num protowire.Number) {
	index, next := -1, c.next
	for _, start := range [2]int{c.next, c.base} {
		for i := start; i < len(c.fields) && index < 0; i++ {
			if c.fields[i].num == num {
				index, next = i, i+1
			}
		}
	}
	f, ok := c.find(num, protowire.VarintType)
	if ok != (index >= 0) || ok && f != &c.fields[index] || c.next != next {
		m.t.Fatalf("field %d of %v: found %v, cursor %d, want index %d, cursor %d", num,
			c.fields[c.base:], ok, c.next, index, next)
	}
}

// someFields is a message, most often in order, and what to ask of it.
func someFields(t *testing.T, r *rand.Rand) ([]byte, *asked) {
	var b []byte
	num := protowire.Number(1)
	for range r.IntN(7) {
		if num += protowire.Number(r.IntN(3)); r.IntN(16) == 0 {
			num = 1 + protowire.Number(r.IntN(8))
		}
		b = protowire.AppendTag(b, num, protowire.VarintType)
		b = protowire.AppendVarint(b, r.Uint64())
	}
	m := &asked{t: t}
	for num := range protowire.Number(16) {
		if r.IntN(8) == 0 {
			num = 1 + protowire.Number(r.IntN(16))
		}
		m.nums = append(m.nums, num)
	}
	return b, m
}

// Whatever order a writer has put the fields in, and in whatever order they are asked for, each is
// found where it would be by going through all of them.
func TestFindInAnyOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 7))
	for range 20_000 {
		b, m := someFields(t, r)
		in, inner := someFields(t, r)
		m.inner = inner
		in = protowire.AppendBytes(protowire.AppendTag(nil, innerNumber, protowire.BytesType), in)
		if r.IntN(4) == 0 {
			b = slices.Concat(in, b)
		} else {
			b = append(b, in...)
		}
		if err := new(Codec).decode(b, m, false); err != nil {
			t.Fatal(err)
		}
	}
}
