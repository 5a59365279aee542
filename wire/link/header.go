package link

import (
	"encoding/binary"
	"io"

	"github.com/staffetta/staffetta/wire"
)

// A stream begins with a header, little endian, followed by the federation's name, the group's
// name and, in a call, the request.
const (
	headerMagic        = "SfL1"
	headerMagicAt      = 0  // 4 bytes
	headerVersionAt    = 4  // 1
	headerPurposeAt    = 5  // 1
	headerMethodAt     = 6  // 2, zero in a raft stream
	headerFederationAt = 8  // 1, length of the federation's name
	headerGroupAt      = 9  // 1, length of the group's name, zero in a call
	headerLengthAt     = 10 // 4, length of the request, zero in a raft stream
	headerSize         = 14

	headerVersion = 1
)

type purpose uint8

// What a stream is for.
const (
	purposeRaft   purpose = 1 // header, then Raft's own protocol both ways
	purposeCall   purpose = 2 // header, request; one answer
	purposeStream purpose = 3 // header, request; answers until the end
)

type header struct {
	purpose    purpose
	method     wire.Method
	federation string
	group      string
	length     int
}

// append appends the encoded header to dst.
func (h *header) append(dst []byte) []byte {
	dst = append(dst, headerMagic...)
	dst = append(dst, headerVersion, byte(h.purpose))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(h.method))
	dst = append(dst, byte(len(h.federation)), byte(len(h.group)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.length))
	dst = append(dst, h.federation...)
	return append(dst, h.group...)
}

// readHeader reads exactly a header. A *wire.Error says that the bytes are not one; any other
// error is the stream's.
func readHeader(r io.Reader) (header, error) {
	var fixed [headerSize + wire.NameBytesMax + groupBytesMax]byte
	if _, err := io.ReadFull(r, fixed[:headerSize]); err != nil {
		return header{}, err
	}
	if string(fixed[headerMagicAt:headerVersionAt]) != headerMagic {
		return header{}, wire.Malformedf("not a stream of this protocol")
	}
	if v := fixed[headerVersionAt]; v != headerVersion {
		return header{}, wire.Errorf(wire.UnknownKind, "stream header version %d", v)
	}
	h := header{
		purpose: purpose(fixed[headerPurposeAt]),
		method:  wire.Method(binary.LittleEndian.Uint16(fixed[headerMethodAt:])),
	}
	federation, group := int(fixed[headerFederationAt]), int(fixed[headerGroupAt])
	length := binary.LittleEndian.Uint32(fixed[headerLengthAt:])
	if federation > wire.NameBytesMax || group > groupBytesMax {
		return header{}, wire.Malformedf("name in a stream header too long")
	}
	if length > wire.FrameBytesMax {
		return header{}, wire.Errorf(wire.TooLarge, "request of %d bytes, %d allowed",
			length, wire.FrameBytesMax)
	}
	h.length = int(length)
	names := fixed[headerSize : headerSize+federation+group]
	if _, err := io.ReadFull(r, names); err != nil {
		return header{}, err
	}
	h.federation, h.group = string(names[:federation]), string(names[federation:])
	return h, h.check()
}

// check refuses what no writer produces.
func (h *header) check() error {
	ok := false
	switch h.purpose {
	case purposeRaft:
		ok = h.group != "" && h.method == 0 && h.length == 0
	case purposeCall, purposeStream:
		ok = h.group == "" && h.method != 0
	default:
		return wire.Errorf(wire.UnknownKind, "stream purpose %d", h.purpose)
	}
	if !ok || h.federation == "" {
		return wire.Malformedf("contradictory stream header")
	}
	return nil
}

// An answer is a sequence of frames, little endian: status, 1 byte; length, 4 bytes; body.
const frameSize = 5

type status uint8

// What a frame of an answer is. statusOK and statusError are the last one of a call,
// statusEnd and statusError the last one of a stream.
const (
	statusOK    status = 1
	statusError status = 2 // the body is a wire.Error
	statusFrame status = 3
	statusEnd   status = 4 // no body
)

// appendFrame appends a whole frame to dst.
func appendFrame(dst []byte, s status, body []byte) []byte {
	dst = append(dst, byte(s))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(body)))
	return append(dst, body...)
}

// readFrame reads a frame into fresh memory. A *wire.Error, other than an answered one, says
// that the bytes are no frame.
func readFrame(r io.Reader) (status, []byte, error) {
	var head [frameSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	s, length := status(head[0]), binary.LittleEndian.Uint32(head[1:])
	max := uint32(wire.FrameBytesMax)
	switch s {
	case statusOK, statusFrame:
	case statusError:
		max = errorBytesMax
	case statusEnd:
		max = 0
	default:
		return 0, nil, wire.Errorf(wire.UnknownKind, "answer status %d", s)
	}
	if length > max {
		return 0, nil, wire.Errorf(wire.TooLarge, "answer of %d bytes, %d allowed", length, max)
	}
	if length == 0 {
		return s, nil, nil
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, err
	}
	return s, body, nil
}
