//go:build !unix

package consensus

import "os"

// lockDir relies on the system's refusal to open a file twice for writing, where there is one.
func lockDir(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return f.Close, nil
}
