package datadir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/staffetta/staffetta/wire"
)

// Owner is the content of a data directory's owner.json: whose it is. It is written last when a
// directory is made and checked first when it is opened.
type Owner struct {
	Format     int           `json:"format"`
	Federation string        `json:"federation"`
	Region     wire.RegionID `json:"region"`
	Node       wire.NodeID   `json:"node"`
}

// ownerSum ends the file of an owner: a checksum of all before it, in hexadecimal digits. Without
// one, as older programs wrote it, the file is taken by its form alone.
const ownerSum = `,"sum":"`

func encodeOwner(o Owner) ([]byte, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	b = b[:len(b)-1]
	return fmt.Appendf(b, ownerSum+`%08x"}`, crc32.ChecksumIEEE(b)), nil
}

// decodeOwner says that the file is damaged rather than that it is another's.
func decodeOwner(b []byte) (o Owner, err error) {
	if at := bytes.LastIndex(b, []byte(ownerSum)); at >= 0 {
		if want := fmt.Sprintf(ownerSum+`%08x"}`, crc32.ChecksumIEEE(b[:at])); string(b[at:]) != want {
			return Owner{}, errors.New("its checksum is wrong")
		}
		b = append(bytes.Clone(b[:at]), '}')
		return o, json.Unmarshal(b, &o)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return Owner{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Owner{}, errors.New("there is more behind it")
	}
	return o, nil
}
