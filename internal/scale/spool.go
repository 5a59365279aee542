package scale

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/staffetta/staffetta/wire"
)

// spoolHeader is the index, little endian, and the length of an entry's data.
const spoolHeader = 12

// source makes entries by index and says how many units (citizens, messages, codes) each brings.
type source interface {
	entry(index uint64) (e wire.LogEntry, units int)
}

// spool writes entries from index first on to the file at path, in place of what it held, until
// enough says that it is.
func spool(ctx context.Context, path string, from source, first uint64,
	enough func(entries, bytes int) bool) (units int, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	var header [spoolHeader]byte
	for entries, bytes := 0, 0; !enough(entries, bytes); entries++ {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		e, n := from.entry(first + uint64(entries))
		binary.LittleEndian.PutUint64(header[:], e.Index)
		binary.LittleEndian.PutUint32(header[8:], uint32(len(e.Data)))
		w.Write(header[:]) // a bufio.Writer keeps its first error for Flush
		w.Write(e.Data)
		units, bytes = units+n, bytes+len(e.Data)
	}
	return units, w.Flush()
}

// spooled reads the file back.
type spooled struct {
	f *os.File
	r *bufio.Reader
}

func openSpool(path string) (*spooled, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &spooled{f: f, r: bufio.NewReaderSize(f, 1<<20)}, nil
}

func (s *spooled) close() error { return s.f.Close() }

// next reads up to limit entries; none at the end. Their data is theirs.
func (s *spooled) next(limit int) (entries []wire.LogEntry, err error) {
	for len(entries) < limit {
		var header [spoolHeader]byte
		if _, err := io.ReadFull(s.r, header[:]); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
		size := binary.LittleEndian.Uint32(header[8:])
		if size > wire.EntryBytesMax {
			return nil, fmt.Errorf("spool: entry of %d bytes", size)
		}
		data := make([]byte, size)
		if _, err := io.ReadFull(s.r, data); err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
		entries = append(entries, wire.LogEntry{
			Index: binary.LittleEndian.Uint64(header[:]), Term: 1, Data: data})
	}
	return entries, nil
}
