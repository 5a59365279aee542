package backup

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Key is a repository's secret. Whoever has it and the repository reads everything.
type Key [32]byte

const (
	keyHead     = "staffetta backup key 1"
	keyBytesMax = 1024

	// sealOverhead is what sealing adds: a magic number and the tag.
	sealMagic    = "SfO1"
	sealOverhead = len(sealMagic) + 16
	saltBytes    = 32
)

// NewKeyFile makes a key and writes it into a new file that only its owner may read. A file that
// is there already is left alone: fs.ErrExist.
func NewKeyFile(path string) (key Key, err error) {
	rand.Read(key[:])
	return key, writeKeyFile(path, keyHead, key[:], 0o600)
}

// ReadKeyFile reads what NewKeyFile wrote. Its errors do not show the file's text.
func ReadKeyFile(path string) (key Key, err error) {
	b, err := readKeyFile(path, keyHead, len(key), keyBytesMax)
	copy(key[:], b)
	return key, err
}

// writeKeyFile writes a key into a new file, durably: a line that says what it is, then the bytes.
func writeKeyFile(path, head string, key []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s\n%s\n", head, hex.EncodeToString(key))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return syncDir(filepath.Dir(path))
}

// readKeyFile reads a key of n bytes. Its errors do not show the file's text.
func readKeyFile(path, head string, n, max int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(max)))
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	is, text, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	key, err := hex.DecodeString(text)
	if is != head || err != nil || len(key) != n {
		return nil, fmt.Errorf("key file: %s is not a %s", path, keyKinds[head])
	}
	return key, nil
}

// keyKinds says what a file is that begins with a line.
var keyKinds = map[string]string{keyHead: "key of backups", recoveryHead: "recovery key",
	recoveryPublicHead: "recovery key's public half"}

// derive makes a secret of the key for one purpose and one thing.
func (k *Key) derive(purpose string, of []byte) []byte {
	h := hmac.New(sha256.New, k[:])
	h.Write(append([]byte(purpose), 0))
	h.Write(of)
	return h.Sum(nil)
}

// pieceName is where a piece with this hash lies.
func (k *Key) pieceName(hash []byte) string {
	name := hex.EncodeToString(k.derive("name", hash))
	return objectsPrefix + name[:2] + "/" + name
}

// aead seals one plain text only, so that its nonce may be zero.
func (k *Key) aead(purpose string, of []byte) cipher.AEAD {
	block, err := aes.NewCipher(k.derive(purpose, of))
	if err != nil {
		panic(err) // the derived key has a length that AES takes
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has the block size that GCM takes
	}
	return gcm
}

var zeroNonce [12]byte

// sealPiece encrypts a piece under a key made of its hash: equal pieces give equal objects.
func (k *Key) sealPiece(hash, content []byte) []byte {
	out := append(make([]byte, 0, len(content)+sealOverhead), sealMagic...)
	return k.aead("piece", hash).Seal(out, zeroNonce[:], content, []byte(sealMagic))
}

// errDamaged is an object that is not what was stored under its name.
var errDamaged = errors.New("damaged, or sealed with another key")

// openPiece decrypts a piece and holds it against its hash.
func (k *Key) openPiece(hash, object []byte) ([]byte, error) {
	if len(object) < sealOverhead || string(object[:len(sealMagic)]) != sealMagic {
		return nil, errDamaged
	}
	content, err := k.aead("piece", hash).Open(nil, zeroNonce[:], object[len(sealMagic):],
		[]byte(sealMagic))
	if sum := sha256.Sum256(content); err != nil || string(sum[:]) != string(hash) {
		return nil, errDamaged
	}
	return content, nil
}

// sealManifest encrypts a manifest for one name.
func (k *Key) sealManifest(name string, content []byte) []byte {
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	return k.aead("manifest", salt).Seal(salt, zeroNonce[:], content, []byte(name))
}

func (k *Key) openManifest(name string, object []byte) ([]byte, error) {
	if len(object) < saltBytes {
		return nil, errDamaged
	}
	content, err := k.aead("manifest", object[:saltBytes]).Open(nil, zeroNonce[:],
		object[saltBytes:], []byte(name))
	if err != nil {
		return nil, errDamaged
	}
	return content, nil
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
