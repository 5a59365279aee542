package gateway

import (
	"io"
	"net/http"
	"time"
)

// A client that is still writing its body when its connection is closed gets a reset, and loses
// the answer that was on its way: it learns neither that its body is too large nor that its key is
// wrong, and tries again. So whatever of a body nobody read is heard, behind the answer, before
// the connection ends. HTTP/2 has no such fault: only the stream ends.
const (
	// leftBytesMax is how much of an unread body the server takes before it answers, to keep the
	// connection: a few packets, which are on their way anyhow.
	leftBytesMax = 16 << 10
	// lingerBytes is how much is heard, lingerWait for how long, and lingerSilence how long when
	// nothing comes. All of it fits into a gateway's drain.
	lingerBytes   = 16 << 20
	lingerWait    = 10 * time.Second
	lingerSilence = 2 * time.Second
	// lingerBuffer is what a connection that lingers costs in memory.
	lingerBuffer = 8 << 10
)

// incoming is the body of an HTTP/1 request, and knows whether anything of it is still to come.
type incoming struct {
	io.ReadCloser
	ended bool // read to its end, or nothing can be read any more
}

// Read is io.Reader's.
func (b *incoming) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.ended = true
	}
	return n, err
}

var closing = []string{"close"}

// watch has the answer know how far the body of its request was read. The server's own request
// keeps its body: it looks at its type.
func (a *answer) watch(r *http.Request) {
	if r.ProtoMajor != 1 || r.ContentLength == 0 {
		return
	}
	a.body.ReadCloser = r.Body
	a.watched = *r
	a.watched.Body = &a.body
	a.request = &a.watched
}

// EnableFullDuplex is http.ResponseController's: who reads while it answers ends its connection
// by itself.
func (a *answer) EnableFullDuplex() error {
	a.body.ended = true
	return http.NewResponseController(a.ResponseWriter).EnableFullDuplex()
}

// leave is called before the header is written. It has the connection end behind the answer when
// much of the body may be left: the next request would come after it.
func (a *answer) leave() {
	r := a.request
	if a.body.ReadCloser == nil || a.body.ended ||
		r.ContentLength >= 0 && r.ContentLength <= leftBytesMax {
		return
	}
	a.Header()["Connection"] = closing
	// A client that waits to be told to continue sends nothing.
	a.lingers = r.Header.Get("Expect") == ""
}

// linger is called when all is written. It hears the rest of the body, within its bounds.
func (a *answer) linger() {
	if !a.lingers {
		return
	}
	server := http.NewResponseController(a.ResponseWriter)
	if server.Flush() != nil {
		return
	}
	end := time.Now().Add(lingerWait)
	buf := make([]byte, lingerBuffer)
	for heard := 0; heard < lingerBytes && !a.body.ended; {
		next := time.Now().Add(lingerSilence)
		if next.After(end) {
			next = end
		}
		if server.SetReadDeadline(next) != nil {
			return
		}
		n, _ := a.body.Read(buf) // an error ends it
		heard += n
	}
}
