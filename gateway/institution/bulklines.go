package institution

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/staffetta/staffetta/internal/problem"
)

const (
	// lineBytesMax bounds a line without its end: a body, and the member idempotency_key.
	lineBytesMax = problem.BodyBytesMax + 512
	// lineReadBytes is how much is read at a time: some forty typical messages.
	lineReadBytes = 64 << 10
)

// errLongLine says that a line is longer than lineBytesMax. It has been passed over.
var errLongLine = errors.New("line too long")

// lines cuts a stream into lines, without copying them. Memory stays below twice lineBytesMax,
// whatever is sent.
type lines struct {
	in   io.Reader
	err  error // of in
	buf  []byte
	from int // of what was not returned yet: buf[from:]
	seen int // buf[from:seen] has no end of line
}

func newLines(in io.Reader) *lines { return &lines{in: in, buf: make([]byte, 0, lineReadBytes)} }

// next returns the next line without its end, valid until the next call; errLongLine in the place
// of one that is too long; then in's error. What follows the last end of line is a line at io.EOF,
// unless it is empty. At any other error it was cut off, and is dropped.
func (l *lines) next() ([]byte, error) {
	long := false
	for {
		if end := bytes.IndexByte(l.buf[l.seen:], '\n'); end >= 0 {
			return l.cut(l.seen+end, 1, long)
		}
		l.seen = len(l.buf)
		if l.seen-l.from > lineBytesMax {
			long, l.from = true, l.seen
		}
		if l.err == io.EOF && (long || l.seen > l.from) {
			return l.cut(l.seen, 0, long)
		}
		if l.err != nil {
			return nil, l.err
		}
		l.read()
	}
}

// cut returns the line that ends at end, where an end of line of the given length follows.
func (l *lines) cut(end, length int, long bool) ([]byte, error) {
	line := l.buf[l.from:end]
	l.from = end + length
	l.seen = l.from
	if long || len(line) > lineBytesMax {
		return nil, errLongLine
	}
	return line, nil
}

// read adds what comes next to the buffer, in the place of what was returned.
func (l *lines) read() {
	if l.from > 0 {
		n := copy(l.buf, l.buf[l.from:])
		l.buf, l.from, l.seen = l.buf[:n], 0, l.seen-l.from
	}
	if len(l.buf) == cap(l.buf) {
		l.buf = slices.Grow(l.buf, min(len(l.buf), lineBytesMax+1-len(l.buf)))
	}
	var n int
	n, l.err = l.in.Read(l.buf[len(l.buf):cap(l.buf)])
	l.buf = l.buf[:len(l.buf)+n]
}
