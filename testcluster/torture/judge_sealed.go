package torture

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/wire"
)

// sealedMax bounds the sealed blocks that are kept to be opened.
const sealedMax = 20_000

// sealedJudge collects the blocks that were sealed to a region and rest on the disks of others, and
// tries every key on them.
type sealedJudge struct {
	findings *findings
	regions  []string

	keys  map[string][]*wire.RegionPrivateKey
	found map[[32]byte]*sealedFound
}

type sealedFound struct {
	block wire.SealedBlock
	on    []string // the regions on whose disks it was found
}

func newSealedJudge(f *findings, regions []string) *sealedJudge {
	return &sealedJudge{findings: f, regions: regions,
		keys:  map[string][]*wire.RegionPrivateKey{},
		found: map[[32]byte]*sealedFound{}}
}

// learn takes a region's keys, as its disks have them.
func (j *sealedJudge) learn(name string, state *region.State) error {
	if j.keys[name] != nil {
		return nil
	}
	newest, err := state.NewestRegionKey()
	if err != nil || newest == nil {
		return err
	}
	for id := newest.ID; id > 0; id-- {
		k, err := state.RegionKey(id)
		if errors.Is(err, wire.NotFound) {
			return nil // the older ones are purged
		}
		if err != nil {
			return err
		}
		opened, err := k.Open()
		if err != nil {
			return err
		}
		j.keys[name] = append(j.keys[name], opened)
	}
	return nil
}

// find collects the sealed blocks anywhere in b, which lies on a disk of the region on. A sealed
// block's encoding begins with its owner, the key's number and its home.
func (j *sealedJudge) find(on string, b []byte) {
	for _, owner := range j.regions {
		begin := append([]byte{0x0a, byte(len(owner))}, owner...)
		begin = append(begin, 0x10)
		for rest := b; ; {
			i := bytes.Index(rest, begin)
			if i < 0 {
				break
			}
			if s, ok := sealedAt(rest[i:], owner, len(begin)); ok {
				j.add(on, s)
			}
			rest = rest[i+len(begin):]
		}
	}
}

// sealedAt reads the rest of a sealed block whose owner ends before at.
func sealedAt(b []byte, owner string, at int) (s wire.SealedBlock, ok bool) {
	id, n := binary.Uvarint(b[at:])
	if n <= 0 || len(b) < at+n+2 || b[at+n] != 0x1a {
		return s, false
	}
	b = b[at+n+1:]
	size := int(b[0])
	if b = b[1:]; len(b) < size+2 || b[size] != 0x22 {
		return s, false
	}
	home := string(b[:size])
	length, n := binary.Uvarint(b[size+1:])
	if b = b[size+1:]; n <= 0 || length > wire.SealedBytesMax || uint64(len(b)-n) < length {
		return s, false
	}
	s = wire.SealedBlock{Owner: wire.RegionID(owner), KeyID: uint32(id),
		Home: wire.RegionID(home), Bytes: b[n : n+int(length)]}
	return s, s.Validate() == nil
}

func (j *sealedJudge) add(on string, s wire.SealedBlock) {
	key := sha256.Sum256(s.Bytes)
	f := j.found[key]
	if f == nil {
		if len(j.found) >= sealedMax {
			return
		}
		s.Bytes = bytes.Clone(s.Bytes)
		f = &sealedFound{block: s}
		j.found[key] = f
	}
	if !slices.Contains(f.on, on) {
		f.on = append(f.on, on)
	}
}

// judge opens every block with every key: one that the owner's keys open, and no key does that
// lies with it. The answer is how many the owners opened.
func (j *sealedJudge) judge() (opened int) {
	for _, f := range j.found {
		if j.opens(string(f.block.Owner), &f.block) {
			opened++
		}
		for _, on := range f.on {
			if on != string(f.block.Owner) && j.opens(on, &f.block) {
				j.findings.add("a block sealed to %s opens with the keys of %s, where it lies",
					f.block.Owner, on)
			}
		}
	}
	if len(j.found) > 0 && opened == 0 {
		j.findings.add("%d sealed blocks are on the disks, and none opens with its owner's keys: "+
			"the judge is blind", len(j.found))
	}
	return opened
}

func (j *sealedJudge) opens(name string, s *wire.SealedBlock) bool {
	return slices.ContainsFunc(j.keys[name], func(k *wire.RegionPrivateKey) bool {
		frame, err := k.Open("local", s)
		return err == nil && len(frame) > 0
	})
}
