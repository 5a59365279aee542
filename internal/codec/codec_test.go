package codec_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/internal/codec"
	"google.golang.org/protobuf/encoding/protowire"
)

type word string

type inner struct {
	N    int64
	Text string
}

func (m *inner) Fields(c *codec.Codec) {
	codec.Int(c, 1, &m.N)
	codec.String(c, 2, &m.Text)
}

type outer struct {
	U8     uint8
	U64    uint64
	I      int32
	B      bool
	F      float64
	S      word
	Raw    []byte
	Fixed  [4]byte
	In     inner
	Opt    *inner
	List   []inner
	Words  []word
	Blobs  [][]byte
	Packed []uint16
}

func (m *outer) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &m.U8)
	codec.Uint(c, 2, &m.U64)
	codec.Int(c, 3, &m.I)
	codec.Bool(c, 4, &m.B)
	codec.Float(c, 5, &m.F)
	codec.String(c, 6, &m.S)
	codec.Bytes(c, 7, &m.Raw)
	codec.Fixed(c, 8, m.Fixed[:])
	codec.Nested(c, 9, &m.In)
	codec.Optional(c, 10, &m.Opt)
	codec.Repeated(c, 11, &m.List)
	codec.Strings(c, 12, &m.Words)
	codec.ByteStrings(c, 13, &m.Blobs)
	codec.Uints(c, 14, &m.Packed)
}

func full() *outer {
	return &outer{U8: 255, U64: 1 << 63, I: -7, B: true, F: 5.4, S: "città", Raw: []byte{0, 1},
		Fixed: [4]byte{1, 2, 3, 4}, In: inner{-1, strings.Repeat("x", 300)}, Opt: &inner{},
		List: []inner{{1, "a"}, {}, {3, "c"}}, Words: []word{"", "b"},
		Blobs: [][]byte{{}, {9}}, Packed: []uint16{0, 65535, 300}}
}

func TestRoundTrip(t *testing.T) {
	for _, m := range []*outer{{}, full(), {Opt: &inner{Text: strings.Repeat("y", 1<<15)}}} {
		b := codec.Marshal([]byte("prefix"), m)
		if string(b[:6]) != "prefix" {
			t.Fatal("the destination's bytes were changed")
		}
		var got outer
		if err := codec.Unmarshal(b[6:], &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(&got, m) {
			t.Errorf("got %+v, want %+v", got, m)
		}
		if again := codec.Marshal(nil, &got); !bytes.Equal(again, b[6:]) {
			t.Error("encoded again it has other bytes")
		}
		var form outer
		if err := codec.UnmarshalForm(b[6:], &form); err != nil {
			t.Fatal(err)
		}
		got.S, got.In.Text = "", ""
		if form.S != got.S || form.In != got.In || form.U64 != got.U64 ||
			!bytes.Equal(form.Raw, got.Raw) {
			t.Errorf("the form is %+v, want %+v", form, got)
		}
	}
	if b := codec.Marshal(nil, &outer{}); len(b) != 0 {
		t.Errorf("the zero message has %d bytes", len(b))
	}
}

func TestUnknownFieldsAreSkippedInAnyOrder(t *testing.T) {
	b := protowire.AppendTag(nil, 900, protowire.Fixed32Type)
	b = protowire.AppendFixed32(b, 7)
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendString(b, "late")
	b = protowire.AppendTag(b, 901, protowire.BytesType)
	b = protowire.AppendString(b, "new")
	b = protowire.AppendTag(b, 1, protowire.VarintType)
	b = protowire.AppendVarint(b, protowire.EncodeZigZag(-5))
	var got inner
	if err := codec.Unmarshal(b, &got); err != nil || got != (inner{-5, "late"}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestRefuses(t *testing.T) {
	varint := func(num protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
	}
	bytesOf := func(num protowire.Number, v string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, num, protowire.BytesType), v)
	}
	many := bytes.Repeat(bytesOf(11, ""), codec.RepeatedMax+1)
	for name, b := range map[string][]byte{
		"overflow":          varint(1, 256),
		"boolean 2":         varint(4, 2),
		"signed overflow":   varint(3, protowire.EncodeZigZag(1<<40)),
		"wrong type":        bytesOf(2, "x"),
		"wrong list type":   varint(11, 1),
		"short fixed":       bytesOf(8, "abc"),
		"bad nested":        bytesOf(9, "\xff"),
		"truncated":         bytesOf(6, "hello")[:4],
		"group":             protowire.AppendTag(nil, 1, protowire.StartGroupType),
		"field zero":        {0},
		"packed overflow":   bytesOf(14, "\xff\xff\xff\x7f"),
		"too many elements": many,
	} {
		err := codec.Unmarshal(b, new(outer))
		if !errors.Is(err, codec.ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", name, err)
		}
		if got := codec.UnmarshalForm(b, new(outer)); fmt.Sprint(got) != fmt.Sprint(err) {
			t.Errorf("%s: got %v for the form, want %v", name, got, err)
		}
	}
}

type nest struct{ In *nest }

func (m *nest) Fields(c *codec.Codec) { codec.Optional(c, 1, &m.In) }

func TestDepthIsBounded(t *testing.T) {
	var b []byte
	for range codec.DepthMax + 1 {
		b = append(protowire.AppendTag(nil, 1, protowire.BytesType),
			protowire.AppendBytes(nil, b)...)
	}
	if err := codec.Unmarshal(b, new(nest)); !errors.Is(err, codec.ErrMalformed) {
		t.Errorf("got %v, want ErrMalformed", err)
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(codec.Marshal(nil, full()))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, form, again outer
		err, formErr := codec.Unmarshal(b, &m), codec.UnmarshalForm(b, &form)
		if fmt.Sprint(formErr) != fmt.Sprint(err) {
			t.Fatalf("got %v for the form, want %v", formErr, err)
		}
		if err != nil {
			return
		}
		canonical := codec.Marshal(nil, &m)
		if err := codec.Unmarshal(canonical, &again); err != nil {
			t.Fatalf("what was decoded does not decode again: %v", err)
		}
		if !bytes.Equal(codec.Marshal(nil, &again), canonical) {
			t.Error("the encoding is not canonical")
		}
	})
}
