package strictjson

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// Scanner reads, in one pass, the objects that nearly all clients write, and gives up on all else:
// a text that it gave up on, for whatever reason, is read again by a Reader, which alone says what
// is wrong. So it need not take all that a Reader takes; but what it takes, a Reader takes too,
// with the same values. Where that is not obvious it gives up.
//
//	s.Begin(text)
//	var seen Seen
//	for s.Enter(); s.Member(); {
//		switch string(s.Name) {
//		case "subject":
//			s.Once(&seen, 0)
//			s.Text(&m.Subject, &subjectRule)
//		default:
//			s.GiveUp()
//		}
//	}
//	s.Need(seen, 0)
//	if !s.End() { … }
//
// The caller names every member that may come, each Once, and gives up on others. A text longer
// than keptBytesMax is left to the Reader, so that being read twice costs next to nothing. The zero
// Scanner is ready for use.
type Scanner struct {
	Name []byte // of the member whose value comes next, written without escapes

	text   []byte
	at     int
	first  bool // no member of the object was read yet
	failed bool
	kept   []byte // of Text, unquoted, one after the other; as much room as the text needs
	spans  []span
}

// scannedBytes is the room for strings that a Scanner begins with.
const scannedBytes = 4 << 10

// span says which part of what is kept is whose.
type span struct {
	to        *string
	from, end int
}

// Seen are the members of an object that came, by numbers below 32 that the caller gives them.
type Seen uint32

// Begin starts on a text.
func (s *Scanner) Begin(text []byte) {
	s.text, s.at = text, 0
	s.kept, s.spans = s.kept[:0], s.spans[:0]
	if s.failed = len(text) > keptBytesMax || !utf8.Valid(text); s.failed {
		return
	}
	if cap(s.kept) < len(text) {
		s.kept = make([]byte, 0, max(len(text), scannedBytes))
	}
}

// End reports whether the text was one value and nothing else, all of which was taken. Only then
// are the strings of Text in their places.
func (s *Scanner) End() bool {
	s.space()
	if s.failed || s.at < len(s.text) {
		return false
	}
	all := string(s.kept) // one object for all of them
	for _, p := range s.spans {
		*p.to = all[p.from:p.end]
	}
	return true
}

// Reset forgets the text, and whatever was read from it.
func (s *Scanner) Reset() {
	s.text, s.Name = nil, nil
	clear(s.spans[:cap(s.spans)])
}

// GiveUp leaves the text to a Reader.
func (s *Scanner) GiveUp() { s.failed = true }

// Once notes that a member came, and gives up if it came before.
func (s *Scanner) Once(seen *Seen, number int) {
	if *seen&(1<<number) != 0 {
		s.failed = true
	}
	*seen |= 1 << number
}

// Need gives up unless all these members came.
func (s *Scanner) Need(seen Seen, numbers ...int) {
	for _, n := range numbers {
		if seen&(1<<n) == 0 {
			s.failed = true
		}
	}
}

// Enter begins an object.
func (s *Scanner) Enter() {
	s.need('{')
	s.first = true
}

// Member moves to the value of the object's next member, or past the object's end.
func (s *Scanner) Member() bool {
	if s.failed {
		return false
	}
	first := s.first
	s.first = false
	if s.take('}') {
		return false
	}
	if !first {
		s.need(',')
	}
	s.need('"')
	name := s.text[s.at:]
	name = name[:plain(name)]
	s.at += len(name)
	s.Name = name
	if s.at >= len(s.text) || s.text[s.at] != '"' {
		s.failed = true
		return false
	}
	s.at++
	s.need(':')
	return !s.failed
}

// Text reads a string that keeps a rule. It is in its place at a successful End.
func (s *Scanner) Text(to *string, rule *Rule) {
	from := len(s.kept)
	s.unquote()
	if !s.failed && rule.Keeps(s.kept[from:]) {
		s.spans = append(s.spans, span{to, from, len(s.kept)})
	} else {
		s.failed = true
	}
}

// Value reads a string, whatever it is; valid until the next string is read, and nothing after
// giving up.
func (s *Scanner) Value() []byte {
	from := len(s.kept)
	s.unquote()
	if s.failed {
		return nil
	}
	value := s.kept[from:]
	s.kept = s.kept[:from]
	return value
}

// Integer reads a whole number from min to max that is written in at most fifteen digits, as
// nearly all are.
func (s *Scanner) Integer(min, max uint64) (n uint64) {
	s.space()
	from := s.at
	for s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' && s.at-from < 15 {
		n = 10*n + uint64(s.text[s.at]-'0')
		s.at++
	}
	digits := s.at - from
	// A digit more, a fraction or an exponent is not what may follow a value.
	if digits == 0 || digits > 1 && s.text[from] == '0' || n < min || n > max {
		s.failed = true
	}
	return n
}

// Bool reads true or false.
func (s *Scanner) Bool() bool {
	s.space()
	switch rest := s.text[s.at:]; {
	case bytes.HasPrefix(rest, []byte("true")):
		s.at += len("true")
		return true
	case bytes.HasPrefix(rest, []byte("false")):
		s.at += len("false")
	default:
		s.failed = true
	}
	return false
}

func (s *Scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// take passes over white space, and over c if it comes then.
func (s *Scanner) take(c byte) bool {
	s.space()
	if s.at >= len(s.text) || s.text[s.at] != c {
		return false
	}
	s.at++
	return true
}

// need passes over white space and c, which must come then.
func (s *Scanner) need(c byte) {
	if !s.take(c) {
		s.failed = true
	}
}

// unquote appends the text of a string to what is kept, which has room for it: no escape is shorter
// than what it stands for.
func (s *Scanner) unquote() {
	s.need('"')
	for !s.failed {
		end := s.at + plain(s.text[s.at:])
		s.kept = append(s.kept, s.text[s.at:end]...)
		s.at = end
		rest := s.text[end:]
		switch {
		case len(rest) > 0 && rest[0] == '"':
			s.at++
			return
		case len(rest) > 1 && rest[0] == '\\' && short[rest[1]] != 0:
			s.kept = append(s.kept, short[rest[1]])
			s.at += 2
		default:
			r, size := character(rest)
			s.kept = utf8.AppendRune(s.kept, r)
			s.at += size
			s.failed = size == 0
		}
	}
}

// plain is the number of bytes in front of the first quote, backslash or control character, looked
// for in eight bytes at a time. Subtracting from a word sets the top bit of each byte that is
// smaller than what is subtracted; bytes above such a one may be wrong, so the lowest counts.
func plain(b []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i : i+8])
		quote, backslash := w^'"'*ones, w^'\\'*ones
		found := (w-' '*ones)&^w | (quote-ones)&^quote | (backslash-ones)&^backslash
		if found &= tops; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// short are the escapes of one character.
var short = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r',
	't': '\t'}

// character reads \uXXXX, or two of them that are one character, and its size; 0: it is neither,
// nor half a character, which the Reader knows what to do with.
func character(b []byte) (r rune, size int) {
	r, ok := unit(b)
	if ok && !utf16.IsSurrogate(r) {
		return r, len(`\uXXXX`)
	}
	if ok {
		low, _ := unit(b[len(`\uXXXX`):])
		if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
			return r, len(`\uXXXX\uXXXX`)
		}
	}
	return 0, 0
}

// unit reads \uXXXX.
func unit(b []byte) (r rune, ok bool) {
	if len(b) < len(`\uXXXX`) || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch lower := c | 0x20; {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case lower >= 'a' && lower <= 'f':
			r = r<<4 | rune(lower-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
