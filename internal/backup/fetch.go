package backup

import (
	"context"
	"fmt"
	"io"

	"github.com/staffetta/staffetta/wire"
)

// piece reads one piece and holds it against its hash.
func (r *Repository) piece(ctx context.Context, hash []byte) ([]byte, error) {
	name := r.key.pieceName(hash)
	object, err := r.target.Get(ctx, name, wire.PieceBytes+sealOverhead)
	if isNotExist(err) {
		return nil, fmt.Errorf("%s is missing", name)
	}
	if err != nil {
		return nil, err
	}
	content, err := r.key.openPiece(hash, object)
	if err != nil {
		return nil, fmt.Errorf("%s is %w", name, err)
	}
	return content, nil
}

// Files calls write for every file of a copy, in order. Every piece is held against its hash
// before write sees it; an error ends the reading.
func (r *Repository) Files(ctx context.Context, m *Manifest, progress func(done, total uint64),
	write func(name string, size int64, content io.Reader) error) error {
	var done uint64
	for i := range m.Files {
		f := &m.Files[i]
		content := &pieceReader{ctx: ctx, r: r, pieces: f.Pieces, read: func(n int) {
			if done += uint64(n); progress != nil {
				progress(done, m.Bytes)
			}
		}}
		if err := write(f.Name, int64(f.Size), content); err != nil {
			return fmt.Errorf("file %s: %w", f.Name, err)
		}
	}
	return nil
}

// pieceReader reads a file piece by piece.
type pieceReader struct {
	ctx    context.Context
	r      *Repository
	pieces [][]byte
	left   []byte
	read   func(n int)
}

// Read reads from the piece at hand, or fetches the next.
func (p *pieceReader) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		if len(p.pieces) == 0 {
			return 0, io.EOF
		}
		var err error
		if p.left, err = p.r.piece(p.ctx, p.pieces[0]); err != nil {
			return 0, err
		}
		p.pieces = p.pieces[1:]
		p.read(len(p.left))
	}
	n := copy(b, p.left)
	p.left = p.left[n:]
	return n, nil
}
