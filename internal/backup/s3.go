package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// s3Tries is how often the client tries a request that failed in a way that may pass.
const s3Tries = 5

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

// s3 is a target in a bucket that exists.
type s3 struct {
	client         *minio.Client
	bucket, prefix string
}

func openS3(bucket, prefix string, c S3Config) (*s3, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" ||
		strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("S3 endpoint %q is not https://host", c.Endpoint)
	}
	if c.AccessKey == "" || c.SecretKey == "" {
		return nil, errors.New("no access key and secret key of the S3 store")
	}
	client, err := minio.New(u.Host, &minio.Options{Secure: u.Scheme == "https",
		Creds:  credentials.NewStaticV4(c.AccessKey, c.SecretKey, c.SessionToken),
		Region: c.Region, MaxRetries: s3Tries, Transport: c.Transport})
	if err != nil {
		return nil, fmt.Errorf("S3: %w", err)
	}
	if prefix != "" {
		prefix += "/"
	}
	return &s3{client: client, bucket: bucket, prefix: prefix}, nil
}

func (s *s3) String() string {
	return "s3://" + strings.TrimSuffix(s.bucket+"/"+s.prefix, "/")
}

// fail puts an error of the client into words that tell what was asked.
func (s *s3) fail(doing, name string, err error) error {
	if r := minio.ToErrorResponse(err); r.Code == minio.NoSuchKey ||
		r.Code == "" && r.StatusCode == http.StatusNotFound {
		return fmt.Errorf("S3: %s %s: %w", doing, name, fs.ErrNotExist)
	}
	return fmt.Errorf("S3: %s %s: %w", doing, name, err)
}

func (s *s3) Put(ctx context.Context, name string, content []byte) error {
	_, err := s.client.PutObject(ctx, s.bucket, s.prefix+name, bytes.NewReader(content),
		int64(len(content)), minio.PutObjectOptions{DisableMultipart: true,
			ContentType: "application/octet-stream"})
	if err != nil {
		return s.fail("put", name, err)
	}
	return nil
}

func (s *s3) Get(ctx context.Context, name string, max int) ([]byte, error) {
	o, err := s.client.GetObject(ctx, s.bucket, s.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, s.fail("get", name, err)
	}
	defer o.Close()
	b, err := io.ReadAll(io.LimitReader(o, int64(max)+1))
	if err != nil {
		return nil, s.fail("get", name, err)
	}
	if len(b) > max {
		return nil, fmt.Errorf("S3: %s is larger than %d bytes", name, max)
	}
	return b, nil
}

func (s *s3) List(ctx context.Context, prefix string, f func(Object) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the client's goroutine
	for o := range s.client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{
		Prefix: s.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return s.fail("list", prefix, o.Err)
		}
		err := f(Object{Name: strings.TrimPrefix(o.Key, s.prefix), Bytes: o.Size,
			Changed: o.LastModified})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (s *s3) Delete(ctx context.Context, name string) error {
	err := s.client.RemoveObject(ctx, s.bucket, s.prefix+name, minio.RemoveObjectOptions{})
	if err != nil && !isNotExist(s.fail("remove", name, err)) {
		return s.fail("remove", name, err)
	}
	return nil
}
