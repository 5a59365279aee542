package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// A file of a sealed copy is a row of segments, each sealed by itself:
//
//	synthetic IV 32 | AES-256-GCM of the content, with its tag of 16
//
// The IV is a MAC of the content and of its place (file, number, whether it is the last), and the
// segment's key is made of the IV: equal content at the same place gives equal bytes, so that the
// next copy of a replica stores only what changed, and no key ever seals two contents. Who sees two
// copies learns from that which segments of which files are the same, as from any incremental
// backup; content that is the same in two places shows in neither.
const (
	// SegmentBytes is the size of a sealed segment, all but the last of a file: what one read asks
	// for, so that a node seals each of them once for a backup. Pieces are whole numbers of them.
	SegmentBytes = BackupReadMax
	// SegmentContent is the content of such a one.
	SegmentContent = SegmentBytes - segmentOverhead

	segmentIV       = 32
	segmentOverhead = segmentIV + 16
)

// SealedSize is the size of a file's segments. Even an empty file has one, which is the last.
func SealedSize(content uint64) uint64 { return content + segmentOverhead*segments(content) }

// segments is how many a file of that content has.
func segments(content uint64) uint64 { return max(1, (content+SegmentContent-1)/SegmentContent) }

// ContentSize is the size of the content of a file whose segments have that size; false when there
// is none.
func ContentSize(sealed uint64) (uint64, bool) {
	n := (sealed + SegmentBytes - 1) / SegmentBytes
	if n == 0 || sealed < n*segmentOverhead {
		return 0, false
	}
	content := sealed - n*segmentOverhead
	return content, SealedSize(content) == sealed
}

// CopySealer seals the segments of a copy, and opens them. It is safe for concurrent use.
type CopySealer struct{ iv, key, list [32]byte }

// Sealer is what seals under the key.
func (k *CopyKey) Sealer() *CopySealer {
	s := new(CopySealer)
	for purpose, of := range map[string]*[32]byte{"segment iv": &s.iv, "segment key": &s.key,
		"listing": &s.list} {
		h := hmac.New(sha256.New, k.Key[:])
		h.Write([]byte("staffetta copy 1 " + purpose))
		h.Sum(of[:0])
	}
	return s
}

// Segment says where in a copy one is.
type Segment struct {
	File string
	// Size is that of the file's content, Number counts from 0.
	Size, Number uint64
}

// Bounds are those of the segment's content within the file's.
func (g Segment) Bounds() (offset, bytes uint64) {
	offset = g.Number * SegmentContent
	return offset, min(SegmentContent, g.Size-offset)
}

// Last reports whether no other follows in its file.
func (g Segment) Last() bool { return g.Number+1 == segments(g.Size) }

// place is what a segment is bound to. The file's size is not in it, but for the last one's end, so
// that a file that grew keeps its segments.
func (g Segment) place() []byte {
	b := append([]byte{byte(len(g.File))}, g.File...)
	b = binary.BigEndian.AppendUint64(b, g.Number)
	if g.Last() {
		return append(b, 1)
	}
	return append(b, 0)
}

// Seal appends the sealed segment with this content to dst.
func (s *CopySealer) Seal(dst []byte, g Segment, content []byte) []byte {
	place := g.place()
	mac := hmac.New(sha256.New, s.iv[:])
	mac.Write(place)
	mac.Write(content)
	iv := mac.Sum(nil)
	return s.aead(iv).Seal(append(dst, iv...), segmentNonce[:], content, place)
}

// Open returns the content of a sealed segment; Malformed when it is not the one of this place.
func (s *CopySealer) Open(g Segment, sealed []byte) ([]byte, error) {
	if len(sealed) < segmentOverhead {
		return nil, Malformedf("segment %d of %s is damaged", g.Number, g.File)
	}
	iv := sealed[:segmentIV]
	content, err := s.aead(iv).Open(nil, segmentNonce[:], sealed[segmentIV:], g.place())
	if err != nil {
		return nil, Malformedf("segment %d of %s is damaged, or of another copy", g.Number, g.File)
	}
	return content, nil
}

// segmentNonce may be zero, since a key made of an IV seals one content only.
var segmentNonce [12]byte

func (s *CopySealer) aead(iv []byte) cipher.AEAD {
	h := hmac.New(sha256.New, s.key[:])
	h.Write(iv)
	block, err := aes.NewCipher(h.Sum(nil))
	if err != nil {
		panic(err) // the derived key has a length that AES takes
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has the block size that GCM takes
	}
	return gcm
}

// Listing is a MAC over what a copy consists of: whose state it is, as of when, and its files with
// the hashes of their pieces. Nobody without the copy key makes another copy of parts of several.
func (s *CopySealer) Listing(h *BackupHead, files []BackupFile) []byte {
	mac := hmac.New(sha256.New, s.list[:])
	// What a later version adds, an older program does not keep: it is not covered.
	mac.Write(Encode(&BackupHead{Federation: h.Federation, Group: h.Group, Key: h.Key,
		Format: h.Format, Incarnation: h.Incarnation, Index: h.Index, Term: h.Term,
		Digest: h.Digest, Taken: h.Taken, Files: h.Files, Bytes: h.Bytes}))
	for _, f := range files {
		mac.Write(Encode(&BackupFile{Name: f.Name, Size: f.Size, Pieces: f.Pieces}))
	}
	return mac.Sum(nil)
}

// ListingHolds reports whether mac is the Listing of head and files.
func (s *CopySealer) ListingHolds(mac []byte, h *BackupHead, files []BackupFile) bool {
	return hmac.Equal(mac, s.Listing(h, files))
}
