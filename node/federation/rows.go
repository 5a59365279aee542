package federation

import (
	"encoding/binary"
	"fmt"

	"github.com/staffetta/staffetta/wire"
)

var (
	timeKey      = []byte("t")
	confirmedKey = []byte("tc")
	mapKey       = []byte("m")
)

func institutionKey(id wire.InstitutionID) []byte { return append([]byte("i/"), id...) }
func serviceKey(id wire.ServiceID) []byte         { return append([]byte("s/"), id...) }
func keyKey(h wire.KeyHash) []byte                { return append([]byte("k/"), h[:]...) }

// appendDirectoryKey appends the key of a code's row to dst, so that a look-up needs no garbage.
func appendDirectoryKey(dst []byte, r wire.Recipient) []byte {
	return append(append(dst, "d/"...), r[:]...)
}

// directoryRow is a wire.DirectoryEntry as it is stored: there are as many as citizens, so the
// region is its tag.
//
//	state and active 1 | region tag u16 | epoch uvarint | with Moving: tag of to u16
type directoryRow struct {
	region wire.RegionTag
	epoch  wire.Epoch
	state  wire.DirectoryState
	active bool
	to     wire.RegionTag // with Moving
}

const activeBit = 0x80

func (d directoryRow) encode(dst []byte) []byte {
	flags := byte(d.state)
	if d.active {
		flags |= activeBit
	}
	dst = append(dst, flags)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(d.region))
	dst = binary.AppendUvarint(dst, uint64(d.epoch))
	if d.state == wire.Moving {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(d.to))
	}
	return dst
}

func decodeDirectoryRow(b []byte) (directoryRow, error) {
	if len(b) < 4 {
		return directoryRow{}, fmt.Errorf("directory row of %d bytes", len(b))
	}
	d := directoryRow{state: wire.DirectoryState(b[0] &^ activeBit), active: b[0]&activeBit != 0,
		region: wire.RegionTag(binary.LittleEndian.Uint16(b[1:]))}
	if d.state == wire.Moving {
		if len(b) < 6 {
			return directoryRow{}, fmt.Errorf("directory row of %d bytes", len(b))
		}
		d.to = wire.RegionTag(binary.LittleEndian.Uint16(b[len(b)-2:]))
		b = b[:len(b)-2]
	}
	epoch, n := binary.Uvarint(b[3:])
	if n <= 0 || n != len(b)-3 || d.state == wire.Unclaimed || d.state > wire.Moving ||
		d.region >= wire.RegionTags || d.to >= wire.RegionTags || epoch == 0 {
		return directoryRow{}, fmt.Errorf("damaged directory row")
	}
	d.epoch = wire.Epoch(epoch)
	return d, nil
}

// entry is the row as the wire says it, the claiming region included.
func (d directoryRow) entry(f *founding) wire.DirectoryEntry {
	if d.state == wire.Unclaimed {
		return wire.DirectoryEntry{}
	}
	e := wire.DirectoryEntry{Region: f.regions[d.region], Epoch: d.epoch, State: d.state,
		Active: d.active}
	if d.state == wire.Moving {
		e.To = f.regions[d.to]
	}
	return e
}

// resolved is the row as who looks for an owner needs it: until a claim is finished, that is the
// anchor; until a move is, the old owner.
func (d directoryRow) resolved(f *founding, r wire.Recipient) wire.DirectoryEntry {
	if d.state == wire.Moving {
		d.state, d.to = wire.Claimed, 0
	}
	if d.state == wire.Claimed {
		return d.entry(f)
	}
	return wire.DirectoryEntry{Region: f.anchor(r), State: d.state}
}
