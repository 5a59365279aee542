package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// conn is one persistent HTTP/1.1 connection, one request at a time.
type conn struct {
	url     *url.URL
	addr    string
	base    string // of paths, without a slash at its end
	connect func(ctx context.Context, network, addr string) (net.Conn, error)

	net   net.Conn // nil: to be dialled
	in    *bufio.Reader
	body  []byte
	unarm func() bool // ends the watch over an interruption
}

func newConn(gateway string,
	connect func(context.Context, string, string) (net.Conn, error)) (*conn, error) {
	u, err := url.Parse(gateway)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return &conn{url: u, connect: connect, addr: net.JoinHostPort(u.Hostname(), port),
		base: strings.TrimRight(u.EscapedPath(), "/")}, nil
}

// appendStart appends request line and host.
func (c *conn) appendStart(dst []byte, method, path string) []byte {
	for _, s := range []string{method, " ", c.base, path, " HTTP/1.1\r\nHost: ", c.url.Host, "\r\n"} {
		dst = append(dst, s...)
	}
	return dst
}

// dial connects, unless that has been done. Once interrupted ends, answers come within
// drainTimeout or not at all.
func (c *conn) dial(ctx, interrupted context.Context) error {
	if c.net != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	n, err := c.connect(ctx, "tcp", c.addr)
	if err != nil {
		return err
	}
	if c.url.Scheme == "https" {
		secure := tls.Client(n, &tls.Config{ServerName: c.url.Hostname(),
			NextProtos: []string{"http/1.1"}})
		if err := secure.HandshakeContext(ctx); err != nil {
			n.Close()
			return err
		}
		n = secure
	}
	c.net = n
	c.unarm = context.AfterFunc(interrupted, func() {
		n.SetDeadline(time.Now().Add(drainTimeout))
	})
	if c.in == nil {
		c.in = bufio.NewReaderSize(c.net, 4<<10)
	} else {
		c.in.Reset(c.net)
	}
	return nil
}

// answer is a gateway's to one message.
type answer struct {
	status     int
	retryAfter bool   // it says when to come again
	body       []byte // valid until the next answer
}

// exchange sends a request and returns its answer. After an error the connection is to be
// dialled again.
func (c *conn) exchange(request []byte) (a answer, err error) {
	c.net.SetDeadline(time.Now().Add(answerTimeout))
	if _, err = c.net.Write(request); err == nil {
		a, err = c.read()
	}
	if err != nil {
		c.close()
	}
	return a, err
}

func (c *conn) close() {
	if c.net != nil {
		c.unarm()
		c.net.Close()
		c.net = nil
	}
}

var errAnswer = errors.New("an answer that is not HTTP/1.1")

// read reads one answer.
func (c *conn) read() (a answer, err error) {
	h, err := c.readHead()
	if err != nil {
		return a, err
	}
	if err = c.readBody(h); err != nil {
		return a, err
	}
	if h.last {
		c.close()
	}
	return answer{h.status, h.retryAfter, c.body}, nil
}

// head is what stands before an answer's body.
type head struct {
	status                    int
	length                    int // -1: not told
	chunked, last, retryAfter bool
}

func (c *conn) readHead() (h head, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return h, err
	}
	if len(line) < 13 || string(line[:9]) != "HTTP/1.1 " {
		return h, errAnswer
	}
	if h.status, err = strconv.Atoi(string(line[9:12])); err != nil || h.status < 200 {
		return h, errAnswer // nobody was asked for a 100 Continue
	}
	h.length = -1
	for total := 0; ; {
		if line, err = c.in.ReadSlice('\n'); err != nil {
			return h, err
		}
		if total += len(line); total > http.DefaultMaxHeaderBytes {
			return h, errAnswer
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			return h, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case equalFold(name, "Content-Length"):
			if h.length, err = strconv.Atoi(string(value)); err != nil || h.length < 0 {
				return h, errAnswer
			}
		case equalFold(name, "Transfer-Encoding"):
			h.chunked = equalFold(value, "chunked")
		case equalFold(name, "Connection"):
			h.last = equalFold(value, "close")
		case equalFold(name, "Retry-After"):
			h.retryAfter = len(value) > 0
		}
	}
}

func (c *conn) readBody(h head) (err error) {
	switch {
	case h.chunked:
		if err = c.readAll(httputil.NewChunkedReader(c.in)); err == nil {
			_, err = c.in.ReadSlice('\n') // behind the last chunk; gateways send no trailers
		}
		return err
	case h.length < 0 && h.last:
		return c.readAll(c.in)
	}
	if h.length < 0 || h.length > answerBytesMax {
		return errAnswer
	}
	if cap(c.body) < h.length {
		c.body = make([]byte, h.length)
	}
	c.body = c.body[:h.length]
	_, err = io.ReadFull(c.in, c.body)
	return err
}

func (c *conn) readAll(r io.Reader) (err error) {
	c.body, err = io.ReadAll(io.LimitReader(r, answerBytesMax+1))
	if len(c.body) > answerBytesMax {
		return errAnswer
	}
	return err
}

// equalFold compares with an ASCII name without making a string of it.
func equalFold(b []byte, name string) bool {
	return len(b) == len(name) && bytes.EqualFold(b, []byte(name))
}
