package backup

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// The client's patience with a store, and what it takes in of its answers.
const (
	s3Tries    = 5 // how often a request is made that failed in a way that may pass
	s3Pause    = 200 * time.Millisecond
	s3PauseMax = 5 * time.Second
	s3Wait     = 2 * time.Minute // for one answer, its body included
	s3ListMax  = 8 << 20         // bytes of a page, which names a thousand objects at most
	s3ErrorMax = 64 << 10
)

// S3Config says where a bucket is and who asks.
type S3Config struct {
	// Endpoint is the store's URL, such as https://s3.example.it.
	Endpoint string
	Region   string // of the store; empty: the client asks
	// AccessKey and SecretKey are the account's; SessionToken may be empty.
	AccessKey, SecretKey, SessionToken string
	// Transport replaces the client's own; nil: the default one.
	Transport http.RoundTripper
}

// s3 is a target in a bucket that exists. It makes five requests of S3's protocol: put, get, delete
// and list an object, and where the bucket is; the bucket is in the path, which every store takes.
type s3 struct {
	client         *http.Client
	base           *url.URL
	signer         s3Signer
	bucket, prefix string

	// Guarded by mu.
	mu     sync.Mutex
	region string // empty: not asked for yet
}

func openS3(bucket, prefix string, c S3Config) (*s3, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil ||
		u.RawQuery != "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("S3 endpoint %q is not https://host", c.Endpoint)
	}
	if c.AccessKey == "" || c.SecretKey == "" {
		return nil, errors.New("no access key and secret key of the S3 store")
	}
	if prefix != "" {
		prefix += "/"
	}
	return &s3{client: &http.Client{Transport: c.Transport, Timeout: s3Wait,
		// A signature is for one host: who follows elsewhere is refused there.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		base: &url.URL{Scheme: u.Scheme, Host: u.Host}, bucket: bucket, prefix: prefix,
		region: c.Region, signer: s3Signer{c.AccessKey, c.SecretKey, c.SessionToken}}, nil
}

func (s *s3) String() string {
	return "s3://" + strings.TrimSuffix(s.bucket+"/"+s.prefix, "/")
}

// s3Error is a store's refusal.
type s3Error struct {
	Status  int    `xml:"-"`
	Code    string // such as NoSuchKey
	Message string
	Region  string // where the bucket is, when the request went elsewhere
}

func (e *s3Error) Error() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", e.Status, e.Code, e.Message))
}

// passes reports whether the same request may succeed later.
func (e *s3Error) passes() bool {
	return e.Status >= 500 && e.Status != http.StatusNotImplemented ||
		e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestTimeout ||
		e.Code == "RequestTimeout" || e.Code == "SlowDown"
}

// fail puts an error into words that tell what was asked.
func (s *s3) fail(doing, name string, err error) error {
	var e *s3Error
	if errors.As(err, &e) && e.Status == http.StatusNotFound &&
		(e.Code == "NoSuchKey" || e.Code == "") {
		return fmt.Errorf("S3: %s %s: %w", doing, name, fs.ErrNotExist)
	}
	return fmt.Errorf("S3: %s %s: %w", doing, name, err)
}

func (s *s3) Put(ctx context.Context, name string, content []byte) error {
	if _, err := s.call(ctx, http.MethodPut, s.prefix+name, nil, content, s3ErrorMax); err != nil {
		return s.fail("put", name, err)
	}
	return nil
}

func (s *s3) Get(ctx context.Context, name string, max int) ([]byte, error) {
	b, err := s.call(ctx, http.MethodGet, s.prefix+name, nil, nil, max)
	if err != nil {
		return nil, s.fail("get", name, err)
	}
	return b, nil
}

func (s *s3) Delete(ctx context.Context, name string) error {
	_, err := s.call(ctx, http.MethodDelete, s.prefix+name, nil, nil, s3ErrorMax)
	if err != nil && !isNotExist(s.fail("remove", name, err)) {
		return s.fail("remove", name, err)
	}
	return nil
}

func (s *s3) List(ctx context.Context, prefix string, f func(Object) error) error {
	for token := ""; ; {
		query := url.Values{"list-type": {"2"}, "prefix": {s.prefix + prefix}}
		if token != "" {
			query.Set("continuation-token", token)
		}
		b, err := s.call(ctx, http.MethodGet, "", query, nil, s3ListMax)
		if err != nil {
			return s.fail("list", prefix, err)
		}
		var page struct {
			IsTruncated           bool
			NextContinuationToken string
			Contents              []struct {
				Key          string
				LastModified time.Time
				Size         int64
			}
		}
		if err := xml.Unmarshal(b, &page); err != nil {
			return s.fail("list", prefix, err)
		}
		for _, c := range page.Contents {
			err := f(Object{Name: strings.TrimPrefix(c.Key, s.prefix), Bytes: c.Size,
				Changed: c.LastModified})
			if err != nil {
				return err
			}
		}
		if !page.IsTruncated {
			return nil
		}
		if page.NextContinuationToken == "" || page.NextContinuationToken == token {
			return s.fail("list", prefix, errors.New("the store does not say where to go on"))
		}
		token = page.NextContinuationToken
	}
}

// where is the store's region, which is asked for once. A store without regions, and an account
// that may not ask, are met with the one that stands for none.
func (s *s3) where(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.region != "" {
		return s.region, nil
	}
	const none = "us-east-1"
	b, err := s.try(ctx, none, http.MethodGet, "", url.Values{"location": {""}}, nil, s3ErrorMax)
	var refused *s3Error
	if errors.As(err, &refused) && !refused.passes() {
		if s.region = refused.Region; s.region == "" {
			s.region = none
		}
		return s.region, nil
	}
	if err != nil {
		return "", err
	}
	var location string
	if err := xml.Unmarshal(b, &location); err != nil {
		return "", fmt.Errorf("where the bucket is: %w", err)
	}
	switch location {
	case "":
		location = none
	case "EU": // an old name
		location = "eu-west-1"
	}
	s.region = location
	return location, nil
}

// call makes a request, again while it fails in a way that may pass, and returns the answer's body
// of at most max bytes. All requests may be made twice.
func (s *s3) call(ctx context.Context, method, key string, query url.Values, content []byte,
	max int) (b []byte, err error) {
	pause := s3Pause
	for try := 1; ; try++ {
		var region string
		if region, err = s.where(ctx); err == nil {
			b, err = s.try(ctx, region, method, key, query, content, max)
		}
		var refused *s3Error
		if err == nil || try == s3Tries || ctx.Err() != nil || errors.Is(err, errTooLarge) ||
			errors.As(err, &refused) && !refused.passes() {
			return b, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		pause = min(2*pause, s3PauseMax)
	}
}

var errTooLarge = errors.New("larger than it may be")

// try makes a request once.
func (s *s3) try(ctx context.Context, region, method, key string, query url.Values, content []byte,
	max int) ([]byte, error) {
	u := *s.base
	u.Path = "/" + s.bucket + "/" + key
	u.RawPath, u.RawQuery = s3Escape(u.Path, true), s3Query(query) // as they are signed
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	if method == http.MethodPut {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	s.signer.sign(req, region, content, time.Now())
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		e := &s3Error{Status: resp.StatusCode}
		b, _ := io.ReadAll(io.LimitReader(resp.Body, s3ErrorMax))
		xml.Unmarshal(b, e) // an answer to delete and head has none
		if e.Region == "" {
			e.Region = resp.Header.Get("X-Amz-Bucket-Region")
		}
		return nil, e
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, int64(max)+1))
	if err != nil {
		return nil, err
	}
	if len(b) > max {
		return nil, fmt.Errorf("%w: %d bytes", errTooLarge, max)
	}
	return b, nil
}
