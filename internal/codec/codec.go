// Package codec encodes messages in Protobuf's wire format from one declaration of their fields.
//
// A message lists its fields once, in a Fields method; the same list encodes and decodes it, so
// the two cannot drift apart:
//
//	func (m *Claim) Fields(c *codec.Codec) {
//		codec.Fixed(c, 1, m.Hash[:])
//		codec.Uint(c, 2, &m.Epoch)
//	}
//
// Guarantees: encoding is canonical (fields in declared order, zero values omitted), so equal
// messages have equal bytes. Decoding skips fields that it does not know, refuses truncated or
// mistyped ones, never reads past its input, and bounds nesting and repetition. Byte fields alias
// the input; strings are copied.
//
// Compatibility rule: a field number is never reused nor given another type; new fields are
// added with new numbers and mean their zero value when absent. Whoever must not ignore a new
// field carries it in a new kind or version instead.
package codec

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
)

// DepthMax bounds how deep messages nest; the deepest of ours is 6.
const DepthMax = 16

// RepeatedMax bounds the elements of one repeated field, since an empty element costs two bytes
// on the wire and a whole struct in memory.
const RepeatedMax = 16384

// pooledFieldsMax is the longest array of fields that is kept for the next decoding: a huge message
// must not stay in the pool.
const pooledFieldsMax = 4096

// ErrMalformed is wrapped by every decoding error.
var ErrMalformed = errors.New("malformed message")

// Message declares its fields on c, in ascending order of their numbers.
type Message interface{ Fields(c *Codec) }

// Codec carries one encoding or decoding run. Only a Fields method sees it.
type Codec struct {
	encoding bool
	out      []byte

	// Decoding: the fields of all open messages, innermost last.
	fields []field
	base   int // where the innermost message's fields begin
	next   int // the next field expected, since writers keep the declared order
	high   int // how many of fields this run has filled at most: what has to be cleared
	depth  int
	sorted bool // the innermost message's fields are in ascending order, as writers put them
	form   bool // strings are not wanted
	err    error
}

type field struct {
	num    protowire.Number
	typ    protowire.Type
	varint uint64 // varint, fixed32 and fixed64 values
	bytes  []byte // length-delimited values
}

var codecs = sync.Pool{New: func() any { return new(Codec) }}

// Marshal appends m's encoding to dst.
func Marshal(dst []byte, m Message) []byte {
	c := codecs.Get().(*Codec)
	*c = Codec{encoding: true, out: dst, fields: c.fields[:0]}
	m.Fields(c)
	out := c.out
	c.out = nil
	codecs.Put(c)
	return out
}

// Unmarshal decodes b into m, which must be zero. Byte fields of m alias b.
func Unmarshal(b []byte, m Message) error {
	return unmarshal(b, m, false)
}

// UnmarshalForm is Unmarshal for who wants to know whether b can be decoded: it leaves strings of m
// empty instead of copying them, and fails where Unmarshal does if no Fields method looks at one.
func UnmarshalForm(b []byte, m Message) error {
	return unmarshal(b, m, true)
}

func unmarshal(b []byte, m Message, form bool) error {
	c := codecs.Get().(*Codec)
	err := c.decode(b, m, form)
	if cap(c.fields) <= pooledFieldsMax {
		codecs.Put(c)
	}
	return err
}

// decode is unmarshal, and leaves nothing of b behind: the whole array of fields is zero
// afterwards, if it was before. Only what was filled is cleared, since one long message leaves an
// array that nearly every later one uses a few fields of.
func (c *Codec) decode(b []byte, m Message, form bool) error {
	*c = Codec{fields: c.fields[:0], form: form}
	c.message(b, m)
	clear(c.fields[:c.high])
	return c.err
}

// Decoding reports whether Fields is called to decode, for messages that normalise on reading.
func (c *Codec) Decoding() bool { return !c.encoding }

// Fail makes the decoding run fail, for values that no writer may produce.
func (c *Codec) Fail(format string, args ...any) {
	if c.err == nil && !c.encoding {
		c.err = fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
}

// message decodes b into m inside the running decode.
func (c *Codec) message(b []byte, m Message) {
	if c.err != nil {
		return
	}
	if c.depth++; c.depth > DepthMax {
		c.Fail("nested deeper than %d", DepthMax)
		return
	}
	base, next, end, sorted := c.base, c.next, len(c.fields), c.sorted
	c.base, c.next = end, end
	c.scan(b)
	c.high = max(c.high, len(c.fields))
	if c.err == nil {
		m.Fields(c)
	}
	c.fields = c.fields[:end]
	c.base, c.next, c.sorted = base, next, sorted
	c.depth--
}

// scan appends the fields of b.
func (c *Codec) scan(b []byte) {
	c.sorted = true
	for last := protowire.Number(0); len(b) > 0; {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			c.Fail("bad tag")
			return
		}
		b = b[n:]
		f := field{num: num, typ: typ}
		switch typ {
		case protowire.VarintType:
			f.varint, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		case protowire.Fixed64Type:
			f.varint, n = protowire.ConsumeFixed64(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			f.varint = uint64(v)
		default:
			c.Fail("field %d has a group type", num)
			return
		}
		if n < 0 {
			c.Fail("field %d is truncated", num)
			return
		}
		b = b[n:]
		c.fields = append(c.fields, f)
		c.sorted = c.sorted && num >= last
		last = num
	}
}

// find returns the first field num at or after the cursor, else the first of the message; valid
// until the next field is read. Where the order shows that there is none it looks no further:
// most messages lack most of their fields.
func (c *Codec) find(num protowire.Number, typ protowire.Type) (*field, bool) {
	if c.err != nil || c.sorted &&
		(c.next == len(c.fields) || c.fields[c.next].num > num) &&
		(c.next == c.base || c.fields[c.next-1].num < num) {
		return nil, false
	}
	for _, start := range [2]int{c.next, c.base} {
		for i := start; i < len(c.fields); i++ {
			if c.fields[i].num != num {
				continue
			}
			if c.fields[i].typ != typ {
				c.Fail("field %d has the wrong type", num)
				return nil, false
			}
			c.next = i + 1
			return &c.fields[i], true
		}
		if c.next == c.base {
			break
		}
	}
	return nil, false
}

// each calls f for every field num of the message, in order.
func (c *Codec) each(num protowire.Number, typ protowire.Type, f func(field)) {
	count := 0
	for i := c.base; i < len(c.fields) && c.err == nil; i++ {
		v := c.fields[i]
		if v.num != num {
			continue
		}
		if count++; count > RepeatedMax {
			c.Fail("field %d has more than %d elements", num, RepeatedMax)
			return
		}
		if v.typ != typ {
			c.Fail("field %d has the wrong type", num)
			return
		}
		c.next = i + 1
		f(v)
	}
}

func (c *Codec) putVarint(num protowire.Number, v uint64) {
	c.out = protowire.AppendTag(c.out, num, protowire.VarintType)
	c.out = protowire.AppendVarint(c.out, v)
}

func (c *Codec) putBytes(num protowire.Number, v []byte) {
	c.out = protowire.AppendTag(c.out, num, protowire.BytesType)
	c.out = protowire.AppendBytes(c.out, v)
}

// putMessage appends m length-delimited; empty messages are kept when keepEmpty.
func (c *Codec) putMessage(num protowire.Number, m Message, keepEmpty bool) {
	start := len(c.out)
	c.out = protowire.AppendTag(c.out, num, protowire.BytesType)
	body := len(c.out) + 1
	c.out = append(c.out, 0)
	m.Fields(c)
	size := len(c.out) - body
	if size == 0 && !keepEmpty {
		c.out = c.out[:start]
		return
	}
	if size < 0x80 {
		c.out[body-1] = byte(size)
		return
	}
	more := protowire.SizeVarint(uint64(size)) - 1
	for range more {
		c.out = append(c.out, 0)
	}
	copy(c.out[body+more:], c.out[body:body+size])
	protowire.AppendVarint(c.out[:body-1], uint64(size))
}

// Unsigned are the types that Uint carries.
type Unsigned interface {
	~uint8 | ~uint16 | ~uint32 | ~uint64
}

// Signed are the types that Int carries.
type Signed interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64
}

// Uint is an unsigned integer, a varint. A value that does not fit T is refused.
func Uint[T Unsigned](c *Codec, num protowire.Number, v *T) {
	if c.encoding {
		if *v != 0 {
			c.putVarint(num, uint64(*v))
		}
		return
	}
	if f, ok := c.find(num, protowire.VarintType); ok {
		if *v = T(f.varint); uint64(*v) != f.varint {
			c.Fail("field %d overflows", num)
		}
	}
}

// Int is a signed integer, a zigzag varint. A value that does not fit T is refused.
func Int[T Signed](c *Codec, num protowire.Number, v *T) {
	if c.encoding {
		if *v != 0 {
			c.putVarint(num, protowire.EncodeZigZag(int64(*v)))
		}
		return
	}
	if f, ok := c.find(num, protowire.VarintType); ok {
		n := protowire.DecodeZigZag(f.varint)
		if *v = T(n); int64(*v) != n {
			c.Fail("field %d overflows", num)
		}
	}
}

// Bool is a varint 0 or 1.
func Bool(c *Codec, num protowire.Number, v *bool) {
	if c.encoding {
		if *v {
			c.putVarint(num, 1)
		}
		return
	}
	if f, ok := c.find(num, protowire.VarintType); ok {
		if f.varint > 1 {
			c.Fail("field %d is no boolean", num)
		}
		*v = f.varint == 1
	}
}

// Float is a fixed64.
func Float(c *Codec, num protowire.Number, v *float64) {
	if c.encoding {
		if *v != 0 {
			c.out = protowire.AppendTag(c.out, num, protowire.Fixed64Type)
			c.out = protowire.AppendFixed64(c.out, math.Float64bits(*v))
		}
		return
	}
	if f, ok := c.find(num, protowire.Fixed64Type); ok {
		*v = math.Float64frombits(f.varint)
	}
}

// String is length-delimited; decoding copies it.
func String[T ~string](c *Codec, num protowire.Number, v *T) {
	if c.encoding {
		if *v != "" {
			c.out = protowire.AppendTag(c.out, num, protowire.BytesType)
			c.out = protowire.AppendString(c.out, string(*v))
		}
		return
	}
	if f, ok := c.find(num, protowire.BytesType); ok && !c.form {
		*v = T(f.bytes)
	}
}

// Bytes is length-delimited; decoding aliases the input.
func Bytes(c *Codec, num protowire.Number, v *[]byte) {
	if c.encoding {
		if len(*v) > 0 {
			c.putBytes(num, *v)
		}
		return
	}
	if f, ok := c.find(num, protowire.BytesType); ok && len(f.bytes) > 0 {
		*v = f.bytes[:len(f.bytes):len(f.bytes)]
	}
}

// Fixed is a byte array of exactly len(v) bytes, omitted when all zero.
func Fixed(c *Codec, num protowire.Number, v []byte) {
	if c.encoding {
		for _, b := range v {
			if b != 0 {
				c.putBytes(num, v)
				return
			}
		}
		return
	}
	if f, ok := c.find(num, protowire.BytesType); ok {
		if len(f.bytes) != len(v) {
			c.Fail("field %d has %d bytes, not %d", num, len(f.bytes), len(v))
			return
		}
		copy(v, f.bytes)
	}
}

// Nested is an embedded message, omitted when empty.
func Nested(c *Codec, num protowire.Number, v Message) {
	if c.encoding {
		c.putMessage(num, v, false)
		return
	}
	if f, ok := c.find(num, protowire.BytesType); ok {
		c.message(f.bytes, v)
	}
}

// Optional is an embedded message that may be absent: nil differs from empty.
func Optional[T any, P interface {
	*T
	Message
}](c *Codec, num protowire.Number, v **T) {
	if c.encoding {
		if *v != nil {
			c.putMessage(num, P(*v), true)
		}
		return
	}
	if f, ok := c.find(num, protowire.BytesType); ok {
		*v = new(T)
		c.message(f.bytes, P(*v))
	}
}

// Repeated is a list of embedded messages.
func Repeated[T any, P interface {
	*T
	Message
}](c *Codec, num protowire.Number, v *[]T) {
	if c.encoding {
		for i := range *v {
			c.putMessage(num, P(&(*v)[i]), true)
		}
		return
	}
	c.each(num, protowire.BytesType, func(f field) {
		var zero T
		*v = append(*v, zero)
		c.message(f.bytes, P(&(*v)[len(*v)-1]))
	})
}

// Strings is a list of strings, empty ones included.
func Strings[T ~string](c *Codec, num protowire.Number, v *[]T) {
	if c.encoding {
		for _, s := range *v {
			c.out = protowire.AppendTag(c.out, num, protowire.BytesType)
			c.out = protowire.AppendString(c.out, string(s))
		}
		return
	}
	c.each(num, protowire.BytesType, func(f field) { *v = append(*v, T(f.bytes)) })
}

// ByteStrings is a list of byte strings that alias the input.
func ByteStrings(c *Codec, num protowire.Number, v *[][]byte) {
	if c.encoding {
		for _, b := range *v {
			c.putBytes(num, b)
		}
		return
	}
	c.each(num, protowire.BytesType, func(f field) {
		*v = append(*v, f.bytes[:len(f.bytes):len(f.bytes)])
	})
}

// Uints is a packed list of unsigned integers.
func Uints[T Unsigned](c *Codec, num protowire.Number, v *[]T) {
	if c.encoding {
		if len(*v) == 0 {
			return
		}
		var packed []byte
		for _, n := range *v {
			packed = protowire.AppendVarint(packed, uint64(n))
		}
		c.putBytes(num, packed)
		return
	}
	f, ok := c.find(num, protowire.BytesType)
	if !ok {
		return
	}
	for b := f.bytes; len(b) > 0; {
		n, size := protowire.ConsumeVarint(b)
		if size < 0 || uint64(T(n)) != n {
			c.Fail("field %d overflows", num)
			return
		}
		*v = append(*v, T(n))
		b = b[size:]
	}
}
