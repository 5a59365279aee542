package gateway

import (
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/staffetta/staffetta/internal/problem"
)

// Answers that are written whole are compressed for clients that ask for it: a page of an inbox
// becomes an eighth. Streams are not, since their lines must not wait for each other, nor short
// answers: what fits into a packet gains nothing, and a session's token, which is one, is never
// compressed beside something that a stranger chose.
const (
	// compressBytesMin is the shortest answer that is compressed.
	compressBytesMin = 2 << 10
	// compressorsMax bounds the compressors of each kind that are at work, and so their memory,
	// some 300 KiB each. When all are, an answer goes as it is.
	compressorsMax = 32
	// zstdWindow bounds what a client has to keep to read us, and what we keep to write.
	zstdWindow = 128 << 10
)

// compressor is gzip's or zstd's writer.
type compressor interface {
	io.WriteCloser
	Reset(io.Writer)
}

// coding is a content coding that we have.
type coding struct {
	name    string
	busy    chan struct{} // an element for each compressor at work
	writers sync.Pool     // of compressor
}

// codings are those that a gateway has, the one it likes best first.
type codings []*coding

func newCodings() codings {
	all := codings{{name: "zstd"}, {name: "gzip"}}
	for _, c := range all {
		c.busy = make(chan struct{}, compressorsMax)
	}
	all[0].writers.New = func() any {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow),
			zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic("gateway: zstd: " + err.Error()) // options that are constants
		}
		return w
	}
	all[1].writers.New = func() any {
		w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // a level that there is
		return w
	}
	return all
}

// negotiate returns the coding that the client likes best of those we have; nil: none. It is named
// or not meant: a wildcard of a client that knows none of ours would break it.
func (all codings) negotiate(accept []string) *coding {
	var best *coding
	most := 0.0
	for _, c := range all {
		if q := problem.Quality(accept, c.name); q > most {
			best, most = c, q
		}
	}
	return best
}

// compress is called before the header is written, and has the body compressed when it is whole,
// long enough and wanted so.
func (a *answer) compress() {
	h := a.Header()
	announced := h.Get("Content-Length") // short answers have none
	if announced == "" || h.Get("Content-Encoding") != "" {
		return
	}
	if length, err := strconv.Atoi(announced); err != nil || length < compressBytesMin {
		return
	}
	h.Add("Vary", "Accept-Encoding")
	c := a.codings.negotiate(a.request.Header["Accept-Encoding"])
	if c == nil || a.request.Method == http.MethodHead {
		return
	}
	select {
	case c.busy <- struct{}{}:
	default:
		return
	}
	h.Del("Content-Length")
	h.Set("Content-Encoding", c.name)
	a.coding = c
	a.compressor = c.writers.Get().(compressor)
	a.compressor.Reset(a.ResponseWriter)
}

// finish writes what the compressor holds back, or, of an answer that was cut off, drops it.
func (a *answer) finish(whole bool) {
	if a.compressor == nil {
		return
	}
	if whole {
		a.compressor.Close() // a client that left is nobody to tell
	}
	a.compressor.Reset(nil)
	a.coding.writers.Put(a.compressor)
	<-a.coding.busy
	a.compressor, a.coding = nil, nil
}
