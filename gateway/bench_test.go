package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkPost measures a message from its HTTP request to its 201 over 128 connections, with a
// node that decides at once and clients that write bytes made beforehand and make no garbage,
// both in this process.
func BenchmarkPost(b *testing.B) {
	_, s := running(b)
	body := strings.Replace(testBody, "A text that is", strings.Repeat("A text that is ", 90), 1)
	request := fmt.Appendf(nil, "POST /api/v1/messages HTTP/1.1\r\nHost: gateway\r\n"+
		"Ocp-Apim-Subscription-Key: %s\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\n\r\n%s", testKey, len(body), body)
	var next atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range 128 {
		wg.Go(func() {
			c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			for next.Add(1) <= int64(b.N) {
				c.Write(request)
				if err := created(r); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// created reads one answer, which has to be a 201 of an announced length.
func created(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil || !bytes.HasPrefix(line, []byte("HTTP/1.1 201 ")) {
		return fmt.Errorf("got %q, %v, want 201", line, err)
	}
	length := -1
	for len(line) > 2 {
		if line, err = r.ReadSlice('\n'); err != nil {
			return err
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return fmt.Errorf("an answer of no announced length")
	}
	_, err = r.Discard(length)
	return err
}
