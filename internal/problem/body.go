package problem

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// BodyBytesMax bounds a request's body in every API: the largest message of the contract is some
// 70 KB of JSON, when its markdown is all escapes.
const BodyBytesMax = 256 << 10

// firstBytes is the room that a body gets before anything of it has come. Nine of ten messages
// fit; what is larger costs a client bytes sent before it costs us memory.
const firstBytes = 8 << 10

// ReadBody reads a request's body, at most max bytes of it, appending to buf[:0] where that has
// room and otherwise growing as bytes arrive, whatever length was announced. Errors are problems:
// UnsupportedMediaType for one that is encoded, BodyTooLarge, before anything is read when the
// announced length says so, BodyUnreadable when the client does not send what it announced.
func ReadBody(w http.ResponseWriter, r *http.Request, buf []byte, max int64) ([]byte, error) {
	if err := CheckEncoding(w, r); err != nil {
		return nil, err
	}
	if r.ContentLength > max {
		return nil, tooLarge(max)
	}
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, room(r.ContentLength, len(buf)))
		}
		n, err := r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > max:
			return nil, tooLarge(max)
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return nil, BodyUnreadable
		}
	}
}

// CheckEncoding refuses a body that is compressed or otherwise encoded, and says what is taken
// instead (RFC 7694): what such a body holds is no JSON before it is decoded.
func CheckEncoding(w http.ResponseWriter, r *http.Request) error {
	for _, coding := range r.Header["Content-Encoding"] {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			w.Header()["Accept-Encoding"] = []string{"identity"}
			return UnsupportedMediaType.With("The request body has a Content-Encoding. It is taken " +
				"without one only.")
		}
	}
	return nil
}

// room is by how much a full buffer grows: to what was announced, and a byte to see the end
// without growing, but at most to twice what has come.
func room(announced int64, have int) int {
	grow := max(firstBytes, have)
	if rest := announced + 1 - int64(have); rest > 0 && rest < int64(grow) {
		return int(rest)
	}
	return grow
}

func tooLarge(max int64) Problem {
	return BodyTooLarge.With(fmt.Sprintf("The request body may have up to %d bytes.", max))
}
