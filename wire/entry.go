package wire

import (
	"encoding/binary"
	"hash/crc32"
)

// An entry's envelope, little endian.
const (
	entryMagic     = "Se"
	entryVersionAt = 2  // 1 byte
	entryKindAt    = 3  // 1
	entryTimeAt    = 4  // 8, milliseconds since the Unix epoch, the leader's clock
	entrySumAt     = 12 // 4, CRC-32C of all but itself
	entryHeader    = 16

	entryVersion = 1
)

// EntryHeader is the size of an entry's envelope.
const EntryHeader = entryHeader

// Entry is what one Raft log entry of ours carries.
type Entry struct {
	Kind EntryKind
	Time Time
	Body []byte
}

// EncodeEntry wraps body, which is copied.
func EncodeEntry(kind EntryKind, now Time, body []byte) []byte {
	b := make([]byte, entryHeader+len(body))
	copy(b, entryMagic)
	b[entryVersionAt], b[entryKindAt] = entryVersion, byte(kind)
	binary.LittleEndian.PutUint64(b[entryTimeAt:], uint64(now))
	copy(b[entryHeader:], body)
	binary.LittleEndian.PutUint32(b[entrySumAt:], entrySum(b))
	return b
}

func entrySum(b []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, b[:entrySumAt]), castagnoli, b[entryHeader:])
}

// DecodeEntry unwraps an entry; its body aliases b. Version and kind are checked, the body is
// not decoded.
func DecodeEntry(b []byte) (Entry, error) {
	if len(b) > EntryBytesMax {
		return Entry{}, Errorf(TooLarge, "entry of %d bytes, %d allowed", len(b), EntryBytesMax)
	}
	if len(b) < entryHeader || string(b[:entryVersionAt]) != entryMagic {
		return Entry{}, Malformedf("not an entry")
	}
	if binary.LittleEndian.Uint32(b[entrySumAt:]) != entrySum(b) {
		return Entry{}, Malformedf("entry checksum does not match")
	}
	if v := b[entryVersionAt]; v != entryVersion {
		return Entry{}, Errorf(UnknownKind, "entry of envelope version %d, this program knows %d", v,
			entryVersion)
	}
	kind := EntryKind(b[entryKindAt])
	if kind.Since() == 0 {
		return Entry{}, Errorf(UnknownKind, "entry kind %d is of a version above %d, the newest "+
			"that this program knows", kind, Version)
	}
	return Entry{Kind: kind, Time: Time(binary.LittleEndian.Uint64(b[entryTimeAt:])),
		Body: b[entryHeader:]}, nil
}

// LogEntry is a committed entry as Raft hands it to a group's state.
type LogEntry struct {
	Index, Term uint64
	// Configuration says that Data is the group's membership, in the consensus package's
	// encoding, to be kept with the position and not interpreted.
	Configuration bool
	// Data aliases the log's memory: it must not be changed.
	Data []byte
}

// Position is how far a group's state has come, written in the same batch as what it covers.
type Position struct {
	Index, Term uint64
	// Configuration is the membership as of ConfigurationIndex.
	Configuration      []byte
	ConfigurationIndex uint64
	// Installed says that the state was installed from a snapshot and nothing was applied since.
	Installed bool
}
