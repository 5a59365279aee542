package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
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
	line    []byte // request line and host
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
		line: fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\n",
			"/"+strings.TrimPrefix(u.JoinPath("api/v1/messages").RequestURI(), "/"), u.Host)}, nil
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

// post sends a request and returns status and body, which is valid until the next one. After
// an error the connection is to be dialled again.
func (c *conn) post(request []byte) (status int, body []byte, err error) {
	c.net.SetDeadline(time.Now().Add(answerTimeout))
	if _, err = c.net.Write(request); err == nil {
		status, body, err = c.read()
	}
	if err != nil {
		c.close()
	}
	return status, body, err
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
func (c *conn) read() (status int, body []byte, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 13 || string(line[:9]) != "HTTP/1.1 " {
		return 0, nil, errAnswer
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil || status < 200 {
		return 0, nil, errAnswer // nobody was asked for a 100 Continue
	}
	length, chunked, last := -1, false, false
	for total := 0; ; {
		if line, err = c.in.ReadSlice('\n'); err != nil {
			return 0, nil, err
		}
		if total += len(line); total > http.DefaultMaxHeaderBytes {
			return 0, nil, errAnswer
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case equalFold(name, "Content-Length"):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 {
				return 0, nil, errAnswer
			}
		case equalFold(name, "Transfer-Encoding"):
			chunked = equalFold(value, "chunked")
		case equalFold(name, "Connection"):
			last = equalFold(value, "close")
		}
	}
	if err = c.readBody(length, chunked, last); err != nil {
		return 0, nil, err
	}
	if last {
		c.close()
	}
	return status, c.body, nil
}

func (c *conn) readBody(length int, chunked, last bool) (err error) {
	switch {
	case chunked:
		if err = c.readAll(httputil.NewChunkedReader(c.in)); err == nil {
			_, err = c.in.ReadSlice('\n') // behind the last chunk; gateways send no trailers
		}
		return err
	case length < 0 && last:
		return c.readAll(c.in)
	}
	if length < 0 || length > answerBytesMax {
		return errAnswer
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
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
