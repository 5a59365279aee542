package oidc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// fetchWait bounds one exchange with a provider, whole.
	fetchWait = 5 * time.Second
	// bodyMax bounds what a provider answers.
	bodyMax = 256 << 10
)

// NewClient makes a client for providers: bounded in time, without redirects, which would lead
// beyond the address that an operator named.
func NewClient() *http.Client {
	return &http.Client{Timeout: fetchWait,
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
			TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:   fetchWait,
			ResponseHeaderTimeout: fetchWait, MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}}
}

// CheckAddress checks that an address is one over TLS, or of this machine.
func CheckAddress(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || len(address) > 1024:
		return errors.New("not an address as https://host/path")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	}
	return errors.New("an address without TLS, of another machine")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// answer is what a provider's server said.
type answer struct {
	status int
	kind   string // the media type, without parameters
	body   []byte
}

// fetch makes one exchange. The error says what failed and names no address: a code may be in it.
func fetch(client *http.Client, r *http.Request) (*answer, error) {
	resp, err := client.Do(r)
	if err != nil {
		return nil, errors.New("no answer")
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, bodyMax+1))
	if err != nil {
		return nil, errors.New("half an answer")
	}
	if len(b) > bodyMax {
		return nil, fmt.Errorf("an answer of more than %d bytes", bodyMax)
	}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	return &answer{resp.StatusCode, strings.ToLower(strings.TrimSpace(kind)), b}, nil
}

// Get fetches a document.
func Get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	if err := CheckAddress(address); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("no address")
	}
	r.Header.Set("Accept", "application/json, */*;q=0.1")
	a, err := fetch(client, r)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, fmt.Errorf("status %d", a.status)
	}
	return a.body, nil
}
