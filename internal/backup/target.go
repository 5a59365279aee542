package backup

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Target is where a repository lies. Its methods may be called concurrently. Names are of
// [a-z0-9/.-] and hold no empty part.
type Target interface {
	// Put stores content durably under a name, whole or not at all, in place of what was there.
	Put(ctx context.Context, name string, content []byte) error
	// Get reads an object of at most max bytes; fs.ErrNotExist when there is none.
	Get(ctx context.Context, name string, max int) ([]byte, error)
	// List calls f for every object whose name begins with prefix, in any order.
	List(ctx context.Context, prefix string, f func(Object) error) error
	// Delete removes an object; one that is not there is no error.
	Delete(ctx context.Context, name string) error
	// String names the target, for people.
	String() string
}

// Object is what a target says of one.
type Object struct {
	Name  string
	Bytes int64
	// Changed is when it was stored, by the target's clock.
	Changed time.Time
}

// OpenTarget opens the target that spec names: a directory, or s3://bucket/prefix. It neither
// makes nor looks for anything yet.
func OpenTarget(spec string, s3 S3Config) (Target, error) {
	scheme, _, isURL := strings.Cut(spec, "://")
	if !isURL {
		return openDir(spec)
	}
	if scheme != "s3" {
		return nil, fmt.Errorf("target %q is neither a directory nor s3://bucket/prefix", spec)
	}
	u, err := url.Parse(spec)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("target is not s3://bucket/prefix, without anything else")
	}
	return openS3(u.Host, strings.Trim(u.Path, "/"), s3)
}
