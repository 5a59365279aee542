package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkPost measures a message from its HTTP request to its 201 over 128 connections, with a
// node that decides at once and a client that writes bytes made beforehand, both in this process.
func BenchmarkPost(b *testing.B) {
	_, s := running(b)
	body := strings.Replace(testBody, "A text that is", strings.Repeat("A text that is ", 90), 1)
	request := fmt.Sprintf("POST /api/v1/messages HTTP/1.1\r\nHost: gateway\r\n"+
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
				io.WriteString(c, request)
				resp, err := http.ReadResponse(r, nil)
				if err != nil || resp.StatusCode != 201 {
					b.Errorf("got %v, %v, want 201", resp, err)
					return
				}
				io.Copy(io.Discard, resp.Body)
			}
		})
	}
	wg.Wait()
}
