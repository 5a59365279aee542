package link

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

func TestHeaderBytes(t *testing.T) {
	call := header{purpose: purposeStream, method: 0x0102, federation: "italia", length: 0x0a0b}
	raft := header{purpose: purposeRaft, federation: "italia", group: "region/lazio"}
	for _, c := range []struct {
		h    header
		want string
	}{
		{call, "SfL1\x01\x03\x02\x01\x06\x00\x0b\x0a\x00\x00italia"},
		{raft, "SfL1\x01\x01\x00\x00\x06\x0c\x00\x00\x00\x00italiaregion/lazio"},
	} {
		if got := string(c.h.append(nil)); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
		rest := bytes.NewReader([]byte(c.want + "rest"))
		got, err := readHeader(rest)
		if err != nil || got != c.h || rest.Len() != 4 {
			t.Errorf("got %+v, %v, %d bytes left", got, err, rest.Len())
		}
		for n := range len(c.want) {
			if _, err := readHeader(bytes.NewReader([]byte(c.want[:n]))); err != io.EOF &&
				err != io.ErrUnexpectedEOF {
				t.Errorf("cut to %d bytes: got %v", n, err)
			}
		}
	}
	want := "\x03\x04\x00\x00\x00ciao"
	if got := string(appendFrame(nil, statusFrame, []byte("ciao"))); got != want {
		t.Errorf("got frame %q, want %q", got, want)
	}
}

func FuzzHeader(f *testing.F) {
	for _, h := range []header{
		{purpose: purposeCall, method: 1, federation: "italia", length: 9},
		{purpose: purposeStream, method: 5, federation: "italia"},
		{purpose: purposeRaft, federation: "italia", group: "federation"},
	} {
		f.Add(h.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		h, err := readHeader(r)
		var refusal *wire.Error
		if err != nil {
			if !errors.As(err, &refusal) && err != io.EOF && err != io.ErrUnexpectedEOF {
				t.Fatalf("got %T %v", err, err)
			}
			return
		}
		if h.length > wire.FrameBytesMax {
			t.Fatalf("accepted a request of %d bytes", h.length)
		}
		if got := h.append(nil); !bytes.Equal(got, b[:len(b)-r.Len()]) {
			t.Fatalf("got %q, want what was read, %q", got, b)
		}
	})
}

func FuzzFrame(f *testing.F) {
	f.Add(appendFrame(nil, statusOK, []byte("x")))
	f.Add(appendFrame(nil, statusError, wire.Encode(wire.Errorf(wire.Moved, "there"))))
	f.Add(appendFrame(nil, statusEnd, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		s, body, err := readFrame(r)
		if err != nil {
			return
		}
		if got := appendFrame(nil, s, body); !bytes.Equal(got, b[:len(b)-r.Len()]) {
			t.Fatalf("got %q, want what was read, %q", got, b)
		}
		if s == statusError {
			if e, err := decodeError(body); err == nil && e.Code == 0 {
				t.Fatal("an error without a code")
			}
		}
	})
}
