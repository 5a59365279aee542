package store

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// The store's own keys begin with a zero byte; a state's keys begin with a printable one.
var (
	identityKey      = []byte("\x00i")
	positionKey      = []byte("\x00p")
	configurationKey = []byte("\x00c")
	originKey        = []byte("\x00o")
)

// ReservedPrefix begins every key of the store itself. A state must not write below it.
const ReservedPrefix = 0x00

// applied is a position with the digest of everything written up to it.
type applied struct {
	pos    wire.Position
	digest [32]byte
}

// positionRow is written in every batch. The configuration, which is larger and changes rarely,
// has a row of its own.
type positionRow struct {
	Index, Term        uint64
	ConfigurationIndex uint64
	Installed          bool
	Digest             [32]byte
}

func (p *positionRow) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &p.Index)
	codec.Uint(c, 2, &p.Term)
	codec.Uint(c, 3, &p.ConfigurationIndex)
	codec.Bool(c, 4, &p.Installed)
	codec.Fixed(c, 5, p.Digest[:])
}

type configurationRow struct {
	Index uint64
	Data  []byte
}

func (r *configurationRow) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &r.Index)
	codec.Bytes(c, 2, &r.Data)
}

// Fields declares the identity as it is stored and sent.
func (i *Identity) Fields(c *codec.Codec) {
	codec.String(c, 1, &i.Federation)
	codec.String(c, 2, &i.Group)
	codec.Fixed(c, 3, i.Key[:])
	codec.Uint(c, 4, &i.Format)
	codec.Uint(c, 5, &i.Incarnation)
}

// Origin is the copy that an incarnation began from; zero for a group that was never restored.
type Origin struct {
	Index, Term uint64
	Taken       wire.Time // when the copy was made
}

// Fields declares the row.
func (o *Origin) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &o.Index)
	codec.Uint(c, 2, &o.Term)
	codec.Int(c, 3, &o.Taken)
}

// check explains how got differs from i, the identity that this process expects. Incarnations
// are not compared.
func (i Identity) check(got Identity) error {
	switch {
	case got.Federation != i.Federation:
		return fmt.Errorf("state of federation %q, not %q", got.Federation, i.Federation)
	case got.Group != i.Group:
		return fmt.Errorf("state of group %q, not %q", got.Group, i.Group)
	case got.Key != i.Key:
		return fmt.Errorf("state built under directory key %x, not %x", got.Key, i.Key)
	case got.Format != i.Format:
		return fmt.Errorf("state of format %d, this version reads %d", got.Format, i.Format)
	}
	return nil
}

// putApplied writes a position and its digest into b; the configuration only when it is not the
// one of before.
func putApplied(b *pebble.Batch, a *applied, before *applied) error {
	row := positionRow{Index: a.pos.Index, Term: a.pos.Term, Digest: a.digest,
		ConfigurationIndex: a.pos.ConfigurationIndex, Installed: a.pos.Installed}
	if before == nil || before.pos.ConfigurationIndex != a.pos.ConfigurationIndex {
		conf := configurationRow{Index: a.pos.ConfigurationIndex, Data: a.pos.Configuration}
		if err := b.Set(configurationKey, wire.Encode(&conf), nil); err != nil {
			return err
		}
	}
	return b.Set(positionKey, wire.Encode(&row), nil)
}

// readApplied reads what putApplied wrote, zero when nothing was ever applied.
func readApplied(r pebble.Reader, opts *pebble.IterOptions) (*applied, error) {
	var row positionRow
	var conf configurationRow
	if err := readRow(r, opts, positionKey, &row); err != nil {
		return nil, err
	}
	if err := readRow(r, opts, configurationKey, &conf); err != nil {
		return nil, err
	}
	if conf.Index != row.ConfigurationIndex {
		return nil, fmt.Errorf("position names configuration %d, %d is stored",
			row.ConfigurationIndex, conf.Index)
	}
	return &applied{digest: row.Digest, pos: wire.Position{Index: row.Index, Term: row.Term,
		Configuration: conf.Data, ConfigurationIndex: conf.Index, Installed: row.Installed}}, nil
}

// readRow decodes the value of key into m, which stays zero when there is none. It goes through
// an iterator because only these can leave out what is not yet durable.
func readRow(r pebble.Reader, opts *pebble.IterOptions, key []byte, m codec.Message) error {
	it, err := r.NewIter(opts)
	if err != nil {
		return err
	}
	if it.SeekGE(key) && string(it.Key()) == string(key) {
		var v []byte
		if v, err = it.ValueAndErr(); err == nil {
			err = wire.Decode(append([]byte(nil), v...), m)
		}
		if err != nil {
			it.Close()
			return fmt.Errorf("key %x: %w", key, err)
		}
	}
	return it.Close()
}
