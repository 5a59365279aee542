package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// Salt hides a record behind its leaf once the record is erased.
type Salt [32]byte

// Leaf is the commitment to one record of a block, a leaf of the block's Merkle tree.
type Leaf [32]byte

// Salt returns the salt of the record at position: HMAC-SHA-256 of the position (four bytes, big
// endian) under the block's seed, or the kept one when the block was rewritten. An erased
// record's salt is gone, and its leaf says nothing about it any more.
func (b *Block) Salt(position int) Salt {
	if b.Erased {
		return b.Salts[position]
	}
	mac := hmac.New(sha256.New, b.Seed[:])
	var p [4]byte
	binary.BigEndian.PutUint32(p[:], uint32(position))
	mac.Write(p[:])
	return Salt(mac.Sum(nil))
}

// IsErased reports whether the record at position was erased.
func (b *Block) IsErased(position int) bool {
	return b.Erased && b.Leaves[position] != Leaf{}
}

// Leaf returns the leaf of the record at position: SHA-256(0x00 ‖ salt ‖ record's encoding), as
// in RFC 6962 §2.1 with the salt in front. It is the same before and after a rewrite.
func (b *Block) Leaf(position int) Leaf {
	if b.IsErased(position) {
		return b.Leaves[position]
	}
	return LeafOf(b.Salt(position), b.raw[position])
}

// LeafOf computes a leaf from a record's encoding and its salt.
func LeafOf(salt Salt, record []byte) Leaf {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(salt[:])
	h.Write(record)
	return Leaf(h.Sum(nil))
}

// Authority is the block's Merkle tree hash over its leaves (RFC 6962 §2.1).
func (b *Block) Root() [32]byte {
	leaves := make([]Leaf, len(b.Records))
	for i := range leaves {
		leaves[i] = b.Leaf(i)
	}
	return treeHash(leaves)
}

// Proof is the audit path of the record at position (RFC 6962 §2.1.1).
func (b *Block) Proof(position int) [][32]byte {
	leaves := make([]Leaf, len(b.Records))
	for i := range leaves {
		leaves[i] = b.Leaf(i)
	}
	return auditPath(position, leaves)
}

// VerifyInclusion reports whether leaf stands at position of size leaves under root.
func VerifyInclusion(leaf Leaf, position, size int, path [][32]byte, root [32]byte) bool {
	got, rest, ok := foldPath([32]byte(leaf), position, size, path)
	return ok && len(rest) == 0 && got == root
}

func treeHash(leaves []Leaf) [32]byte {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := splitPoint(len(leaves))
	return nodeHash(treeHash(leaves[:k]), treeHash(leaves[k:]))
}

func auditPath(m int, leaves []Leaf) [][32]byte {
	if len(leaves) == 1 {
		return nil
	}
	k := splitPoint(len(leaves))
	if m < k {
		return append(auditPath(m, leaves[:k]), treeHash(leaves[k:]))
	}
	return append(auditPath(m-k, leaves[k:]), treeHash(leaves[:k]))
}

// foldPath recomputes the hash of a tree of size leaves from the leaf at m; it consumes path.
func foldPath(leaf [32]byte, m, size int, path [][32]byte) (h [32]byte, rest [][32]byte, ok bool) {
	if m < 0 || m >= size {
		return h, nil, false
	}
	if size == 1 {
		return leaf, path, true
	}
	k := splitPoint(size)
	if m < k {
		h, rest, ok = foldPath(leaf, m, k, path)
	} else {
		h, rest, ok = foldPath(leaf, m-k, size-k, path)
	}
	if !ok || len(rest) == 0 {
		return h, nil, false
	}
	if m < k {
		return nodeHash(h, rest[0]), rest[1:], true
	}
	return nodeHash(rest[0], h), rest[1:], true
}

// splitPoint is the largest power of two smaller than n.
func splitPoint(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}

func nodeHash(l, r [32]byte) [32]byte {
	var in [65]byte
	in[0] = 1
	copy(in[1:], l[:])
	copy(in[33:], r[:])
	return sha256.Sum256(in[:])
}

// Elements of a rewritten block's body: a tag, then a leaf, or a salt and a record.
const (
	elementErased = 0 // 32 bytes of leaf
	elementKept   = 1 // 32 bytes of salt, 3 of length, the record
)

// Erase returns the frame of b without the records at positions. The seed is dropped, the other
// records keep their salts, and root and proofs stay what they were.
func (b *Block) Erase(c *Coder, positions ...int) []byte {
	gone := make(map[int]bool, len(positions))
	for _, p := range positions {
		gone[p] = true
	}
	var body []byte
	for i := range b.Records {
		if gone[i] || b.IsErased(i) {
			leaf := b.Leaf(i)
			body = append(append(body, elementErased), leaf[:]...)
			continue
		}
		body = b.appendKept(body, i)
	}
	return frameBlock(c, body, len(b.Records), blockErased)
}

// splitErased cuts a rewritten body.
func (b *Block) splitErased(body []byte) error {
	n := len(b.Records)
	b.Erased, b.Salts, b.Leaves = true, make([]Salt, n), make([]Leaf, n)
	for i := range b.Records {
		if len(body) < 33 {
			return Malformedf("rewritten block is truncated")
		}
		tag, value := body[0], body[1:33]
		body = body[33:]
		switch tag {
		case elementErased:
			copy(b.Leaves[i][:], value)
			if b.Leaves[i] == (Leaf{}) {
				return Malformedf("rewritten block with an empty leaf")
			}
		case elementKept:
			copy(b.Salts[i][:], value)
			raw, rest, err := cutRecord(body)
			if err != nil {
				return err
			}
			if err := Decode(raw, &b.Records[i]); err != nil {
				return err
			}
			b.raw[i], body = raw, rest
		default:
			return Errorf(UnknownKind, "rewritten block with element %d", tag)
		}
	}
	if len(body) != 0 {
		return Malformedf("%d bytes after the last record", len(body))
	}
	return nil
}
