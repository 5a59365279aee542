package sender

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
)

// LineBytesMax bounds a line, as the gateway bounds a body.
const LineBytesMax = 256 << 10

// line is one line of the input.
type line struct {
	number int64
	text   []byte // without the blanks around it; nil when too long
	hash   lineHash
	end    int64 // bytes of the input up to here
}

// lines cuts the input.
type lines struct {
	in     *bufio.Reader
	number int64
	read   int64
}

func newLines(r io.Reader) *lines { return &lines{in: bufio.NewReaderSize(r, 64<<10)} }

// next returns the next line, which owns its text, or io.EOF. A line that is too long is read
// through without being kept.
func (l *lines) next() (line, error) {
	var text []byte
	long := false
	hash := sha256.New()
	for {
		part, err := l.in.ReadSlice('\n')
		l.read += int64(len(part))
		if err != nil && err != bufio.ErrBufferFull && err != io.EOF {
			return line{}, err
		}
		if len(part) == 0 && err == io.EOF && text == nil && !long {
			return line{}, io.EOF
		}
		if !long && len(text)+len(part) > LineBytesMax+2 { // an end of line is not counted
			hash.Write(text)
			text, long = nil, true
		}
		if long {
			hash.Write(part)
		} else {
			text = append(text, part...)
		}
		if err == nil || errors.Is(err, io.EOF) {
			break
		}
	}
	l.number++
	out := line{number: l.number, end: l.read}
	if l.number == 1 {
		text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // as some editors begin a file
	}
	text = bytes.TrimSpace(text)
	if long || len(text) > LineBytesMax {
		hash.Write(text)
		hash.Sum(out.hash[:0])
		return out, nil
	}
	out.text, out.hash = append(make([]byte, 0, len(text)), text...), hashLine(text)
	return out, nil
}
