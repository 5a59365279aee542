package ca

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"syscall"
)

// pemBytesMax bounds a file that is read: a certificate with intermediates, or a key.
const pemBytesMax = 64 << 10

// next is what the names of the files end in that are to take the places of a pair's.
const next = ".next"

// Pair is a certificate's file and its key's, on the machine where the key was made, which it never
// leaves. A new key waits beside the old one until its certificate is there.
type Pair struct{ Cert, Key string }

// Request makes a request for the certificate of the holder that id names, PKCS #10 in DER. On
// return the request's key is on disk, beside the one in use if there is one; the same call again
// asks for a certificate of the same key.
func (p Pair) Request(id *url.URL) ([]byte, error) {
	key, err := readKey(p.Key + next)
	if errors.Is(err, fs.ErrNotExist) {
		var text []byte
		if key, text, err = newKey(); err == nil {
			err = ReplaceFile(p.Key+next, text, 0o600)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("ca: key of %s: %w", id, err)
	}
	return requestFor(id, key)
}

// Install puts a certificate (PEM) and the key that was made for it in place of what is there. It
// refuses, and changes nothing, when the key waits nowhere. On return both are on disk; when it is
// interrupted, Install or Recover goes on.
func (p Pair) Install(cert []byte) error {
	waiting, err := ReadFile(p.Key + next)
	if errors.Is(err, fs.ErrNotExist) {
		if key, err := ReadFile(p.Key); err == nil && pairs(cert, key) {
			return errors.Join(ReplaceFile(p.Cert, cert, 0o644), p.forget())
		}
		return fmt.Errorf("%s is not there: the certificate's key was not made here", p.Key+next)
	}
	if err != nil {
		return err
	}
	if !pairs(cert, waiting) {
		return fmt.Errorf("the certificate is not for the key in %s", p.Key+next)
	}
	if err := ReplaceFile(p.Cert+next, cert, 0o644); err != nil {
		return err
	}
	if err := ReplaceFile(p.Key, waiting, 0o600); err != nil {
		return err
	}
	if err := ReplaceFile(p.Cert, cert, 0o644); err != nil {
		return err
	}
	return p.forget()
}

// forget removes what waited, the key first: Recover goes by the certificate.
func (p Pair) forget() error {
	for _, file := range []string{p.Key + next, p.Cert + next} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Recover ends an Install that was interrupted between the two files, which a process that starts
// could not use as they are. Where nothing was interrupted it does nothing.
func (p Pair) Recover() error {
	cert, err := ReadFile(p.Cert + next)
	if err != nil {
		return nil // what is wrong with the files in use, whoever loads them says
	}
	if waiting, err := ReadFile(p.Key + next); err != nil || !pairs(cert, waiting) {
		if key, err := ReadFile(p.Key); err != nil || !pairs(cert, key) {
			return os.Remove(p.Cert + next) // both were replaced otherwise since
		}
	}
	return p.Install(cert)
}

func pairs(cert, key []byte) bool {
	_, err := tls.X509KeyPair(cert, key)
	return err == nil
}

func readKey(file string) (*ecdsa.PrivateKey, error) {
	text, err := ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM private key", file)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: no ECDSA key", file)
	}
	return key, nil
}

func requestFor(id *url.URL, key *ecdsa.PrivateKey) ([]byte, error) {
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: path.Base(id.Path)},
		URIs: []*url.URL{id}}
	request, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, fmt.Errorf("ca: request for %s: %w", id, err)
	}
	return request, nil
}

// RequestPEM is a request as a file holds it.
func RequestPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// ParseRequestPEM reads what RequestPEM gave, DER.
func ParseRequestPEM(text []byte) ([]byte, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("no PEM certificate request")
	}
	return block.Bytes, nil
}

// ReadFile reads a file of a certificate, request or key, which is small.
func ReadFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, pemBytesMax+1))
	if err == nil && len(b) > pemBytesMax {
		err = fmt.Errorf("%s has more than %d bytes", file, pemBytesMax)
	}
	return b, err
}

// ReplaceFile puts text in a file's place by a rename, so that nobody reads half of it. On return
// it is on disk, with owner and mode of the file that was there, or mode.
func ReplaceFile(file string, text []byte, mode fs.FileMode) error {
	dir := filepath.Dir(file)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // gone by then, unless something failed
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	if old, err := os.Stat(file); err == nil { // whoever could read it can read the new one
		if stat, ok := old.Sys().(*syscall.Stat_t); ok {
			err = os.Chown(tmp.Name(), int(stat.Uid), int(stat.Gid))
		}
		if err := errors.Join(err, os.Chmod(tmp.Name(), old.Mode().Perm())); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
