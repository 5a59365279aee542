package problem

import (
	"errors"
	"fmt"
	"io"
	"net/http"
)

// BodyBytesMax bounds a request's body in every API: the largest message of the contract is some
// 70 KB of JSON, when its markdown is all escapes.
const BodyBytesMax = 256 << 10

// ReadBody reads a request's body, at most max bytes of it, appending to buf[:0] where that has
// room. Errors are problems: BodyTooLarge before anything is read when the announced length says
// so, BodyUnreadable when the client does not send what it announced.
func ReadBody(w http.ResponseWriter, r *http.Request, buf []byte, max int64) ([]byte, error) {
	if r.ContentLength > max {
		return nil, tooLarge(max)
	}
	buf = buf[:0]
	if n := int(r.ContentLength) + 1; n > cap(buf) { // one more to see the end without growing
		buf = make([]byte, 0, n)
	}
	body := http.MaxBytesReader(w, r.Body, max)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			var limit *http.MaxBytesError
			if errors.As(err, &limit) {
				return nil, tooLarge(max)
			}
			return nil, BodyUnreadable
		}
	}
}

func tooLarge(max int64) Problem {
	return BodyTooLarge.With(fmt.Sprintf("The request body may have up to %d bytes.", max))
}
