package wire

import (
	"bytes"
	"errors"
	"testing"
)

// TestSegments: a file of any size is cut into segments that give it back, in pieces of the sizes
// that a backup expects.
func TestSegments(t *testing.T) {
	s := (&CopyKey{Recovery: RecoveryID{1}, Key: [32]byte{1}}).Sealer()
	for _, size := range []uint64{0, 1, 100, SegmentContent - 1, SegmentContent, SegmentContent + 1,
		2 * SegmentContent, 2*SegmentContent + 7} {
		content := bytes.Repeat([]byte("0123456789"), int(size)/10+1)[:size]
		var sealed, again []byte
		for g := (Segment{File: "000005.sst", Size: size}); ; g.Number++ {
			at, n := g.Bounds()
			segment := s.Seal(nil, g, content[at:at+n])
			if !g.Last() && len(segment) != SegmentBytes {
				t.Errorf("%d bytes: segment %d of %d", size, g.Number, len(segment))
			}
			opened, err := s.Open(g, segment)
			if err != nil {
				t.Fatal(err)
			}
			sealed, again = append(sealed, segment...), append(again, opened...)
			if g.Last() {
				break
			}
		}
		if !bytes.Equal(again, content) || uint64(len(sealed)) != SealedSize(size) {
			t.Errorf("%d bytes: %d come back, %d sealed, want %d", size, len(again), len(sealed),
				SealedSize(size))
		}
		if got, ok := ContentSize(uint64(len(sealed))); !ok || got != size {
			t.Errorf("%d bytes: %d are said to be in it, %t", size, got, ok)
		}
	}
	for _, none := range []uint64{0, 1, segmentOverhead - 1, SegmentBytes + 1,
		SegmentBytes + segmentOverhead - 1} {
		if n, ok := ContentSize(none); ok {
			t.Errorf("%d sealed bytes have %d", none, n)
		}
	}
}

// TestSegmentIsOfItsPlace: a segment opens where it was sealed, and nowhere else; the same content
// at the same place is the same bytes, and at another other ones.
func TestSegmentIsOfItsPlace(t *testing.T) {
	key := &CopyKey{Recovery: RecoveryID{1}, Key: [32]byte{1}}
	s, other := key.Sealer(), (&CopyKey{Recovery: RecoveryID{1}, Key: [32]byte{2}}).Sealer()
	content := bytes.Repeat([]byte("CTTLTI80A01F205X"), SegmentContent/16)[:SegmentContent-16]
	content = append(content, make([]byte, 16)...)
	here := Segment{File: "000005.sst", Size: 3 * SegmentContent, Number: 1}
	sealed := s.Seal(nil, here, content)
	if bytes.Contains(sealed, []byte("CTTLTI80A01F205X")) {
		t.Error("the content is in clear")
	}
	if !bytes.Equal(s.Seal(nil, here, content), sealed) {
		t.Error("sealed again it is something else")
	}
	grown := here
	grown.Size *= 2
	if !bytes.Equal(s.Seal(nil, grown, content), sealed) {
		t.Error("in a file that grew it is something else")
	}
	elsewhere := []Segment{here, here, here}
	elsewhere[0].File = "000006.sst"
	elsewhere[1].Number = 0
	elsewhere[2].Size = 2 * SegmentContent // it would be the last
	for _, g := range elsewhere {
		if _, err := s.Open(g, sealed); !errors.Is(err, Malformed) {
			t.Errorf("opened at %+v: %v", g, err)
		}
		if bytes.Equal(s.Seal(nil, g, content), sealed) {
			t.Errorf("the same bytes at %+v", g)
		}
	}
	for name, harm := range map[string]func(b []byte) []byte{
		"the IV":      func(b []byte) []byte { b[0] ^= 1; return b },
		"the content": func(b []byte) []byte { b[100] ^= 1; return b },
		"the tag":     func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"cut":         func(b []byte) []byte { return b[:len(b)-1] },
		"longer":      func(b []byte) []byte { return append(b, 0) },
		"short":       func(b []byte) []byte { return b[:segmentOverhead-1] },
		"empty":       func([]byte) []byte { return nil },
	} {
		if _, err := s.Open(here, harm(bytes.Clone(sealed))); !errors.Is(err, Malformed) {
			t.Errorf("%s: opened, %v", name, err)
		}
	}
	if _, err := other.Open(here, sealed); !errors.Is(err, Malformed) {
		t.Errorf("under another key: %v", err)
	}
}

// TestCopyKeyIsSealed: a copy key opens under its recovery key, for the group that it was sealed
// for, and under nothing else.
func TestCopyKeyIsSealed(t *testing.T) {
	mine, err := NewRecoveryKey()
	if err != nil {
		t.Fatal(err)
	}
	another, err := NewRecoveryKey()
	if err != nil {
		t.Fatal(err)
	}
	k := &CopyKey{Recovery: mine.ID(), Key: [32]byte{7}}
	sealed, err := k.SealTo(mine.Public(), "italia", "region/lazio")
	if err != nil {
		t.Fatal(err)
	}
	private, err := mine.Private()
	if err != nil {
		t.Fatal(err)
	}
	read, err := OpenRecoveryKey(private)
	if err != nil || read.ID() != mine.ID() {
		t.Fatal(err)
	}
	if got, err := read.Open(sealed, "italia", "region/lazio"); err != nil || *got != *k {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := k.SealTo(another.Public(), "italia", "region/lazio"); err == nil {
		t.Error("sealed to a key that it does not go with")
	}
	if _, err := another.Open(sealed, "italia", "region/lazio"); !errors.Is(err, Forbidden) {
		t.Errorf("another key: %v", err)
	}
	claims := *sealed
	claims.Recovery = another.ID()
	if _, err := another.Open(&claims, "italia", "region/lazio"); !errors.Is(err, Malformed) {
		t.Errorf("another key that is said to be it: %v", err)
	}
	for _, of := range [][2]string{{"italia", "region/sicilia"}, {"europa", "region/lazio"}} {
		if _, err := mine.Open(sealed, of[0], of[1]); !errors.Is(err, Malformed) {
			t.Errorf("of %v: %v", of, err)
		}
	}
	cut := SealedKey{Recovery: sealed.Recovery, Bytes: sealed.Bytes[1:]}
	if _, err := mine.Open(&cut, "italia", "region/lazio"); !errors.Is(err, Malformed) {
		t.Errorf("cut: %v", err)
	}
	for _, bad := range [][]byte{nil, make([]byte, RecoveryPublicBytes-1), mine.Public()[1:]} {
		if err := (&SetRecoveryKey{Region: "lazio", Public: bad}).Usable(); err == nil {
			t.Errorf("%d bytes are a recovery key", len(bad))
		}
	}
	if err := (&SetRecoveryKey{Region: "lazio", Public: mine.Public()}).Usable(); err != nil {
		t.Error(err)
	}
}

// TestListing: what a copy consists of cannot be put together otherwise, and a field that an older
// program does not keep is not in it.
func TestListing(t *testing.T) {
	s := (&CopyKey{Key: [32]byte{1}}).Sealer()
	head := BackupHead{Lease: 7, Federation: "italia", Group: "region/lazio", Index: 9, Files: 2}
	files := []BackupFile{{Name: "a", Size: 1, Pieces: [][]byte{make([]byte, 32)}}, {Name: "b"}}
	mac := s.Listing(&head, files)
	same := head
	same.Lease, same.Node, same.Sealed = 0, "lazio-2", &SealedKey{Bytes: []byte{1}}
	if !s.ListingHolds(mac, &same, files) {
		t.Error("the lease or the node is in it")
	}
	older, swapped := head, []BackupFile{files[1], files[0]}
	older.Index--
	if s.ListingHolds(mac, &older, files) || s.ListingHolds(mac, &head, swapped) ||
		s.ListingHolds(mac, &head, files[:1]) || s.ListingHolds(nil, &head, files) {
		t.Error("another copy has the same listing")
	}
}
