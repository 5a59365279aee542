package backup

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// s3Signer signs requests by AWS's Signature Version 4, as stores that speak S3 expect.
type s3Signer struct{ accessKey, secretKey, sessionToken string }

const (
	s3Algorithm  = "AWS4-HMAC-SHA256"
	s3TimeFormat = "20060102T150405Z"
)

// sign adds what a store checks: the time, the digest of the content, and a signature of them, of
// every header that is there already, the path and the query.
func (s s3Signer) sign(req *http.Request, region string, content []byte, now time.Time) {
	digest := sha256.Sum256(content)
	s.signDigest(req, region, hex.EncodeToString(digest[:]), now)
}

// signDigest is sign for the content of a digest.
func (s s3Signer) signDigest(req *http.Request, region, digest string, now time.Time) {
	stamp := now.UTC().Format(s3TimeFormat)
	req.Header.Set("X-Amz-Date", stamp)
	req.Header.Set("X-Amz-Content-Sha256", digest)
	if s.sessionToken != "" {
		req.Header.Set("X-Amz-Security-Token", s.sessionToken)
	}
	names := []string{"host"}
	for name := range req.Header {
		names = append(names, strings.ToLower(name))
	}
	slices.Sort(names)
	var headers strings.Builder
	for _, name := range names {
		value := req.Header.Get(name)
		if name == "host" {
			value = req.URL.Host
		}
		headers.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	signed := strings.Join(names, ";")
	canonical := strings.Join([]string{req.Method, s3Escape(req.URL.Path, true), req.URL.RawQuery,
		headers.String(), signed, digest}, "\n")
	scope := stamp[:8] + "/" + region + "/s3/aws4_request"
	sum := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4" + s.secretKey)
	for _, part := range strings.Split(scope, "/") {
		key = s3MAC(key, part)
	}
	signature := s3MAC(key, s3Algorithm+"\n"+stamp+"\n"+scope+"\n"+hex.EncodeToString(sum[:]))
	req.Header.Set("Authorization", s3Algorithm+" Credential="+s.accessKey+"/"+scope+
		", SignedHeaders="+signed+", Signature="+hex.EncodeToString(signature))
}

func s3MAC(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// s3Query writes a query as it is signed: sorted, and escaped by S3's rules, which are not those
// of forms.
func s3Query(query url.Values) string {
	var parts []string
	for name, values := range query {
		for _, v := range values {
			parts = append(parts, s3Escape(name, false)+"="+s3Escape(v, false))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "&")
}

// s3Escape escapes every byte but unreserved ones of RFC 3986; in a path / stands for itself.
func s3Escape(text string, path bool) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			strings.IndexByte("-._~", c) >= 0, path && c == '/':
			b.WriteByte(c)
		default:
			b.WriteString("%" + string(hexDigits[c>>4]) + string(hexDigits[c&15]))
		}
	}
	return b.String()
}
