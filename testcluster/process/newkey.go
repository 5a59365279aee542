package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/staffetta/staffetta/internal/localfile"
	"github.com/staffetta/staffetta/wire"
)

// ReplaceKey makes the files of the federation in dir name a service's new key, which an operator
// gave it; empty: a key that was revoked. A service that was not made with the federation is in no
// file, and nothing changes.
func ReplaceKey(dir, service string, name wire.KeyName, key string) error {
	c := &Config{Dir: dir}
	b, err := os.ReadFile(c.path(servicesFile))
	if err != nil {
		return fmt.Errorf("replace a key: %w", err)
	}
	p := new(provisioned)
	if err := json.Unmarshal(b, p); err != nil {
		return fmt.Errorf("replace a key: %s: %w", c.path(servicesFile), err)
	}
	if !replaceKey(p.Services, service, name, key) {
		return nil
	}
	// First the file that a running federation writes the other one from.
	if err := c.writeProvisioned(p); err != nil {
		return fmt.Errorf("replace a key: %w", err)
	}
	file, err := localfile.Read(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it does not run
	}
	if err != nil {
		return err
	}
	replaceKey(file.Services, service, name, key)
	return localfile.Write(filepath.Join(dir, localfile.Name), file)
}

func replaceKey(list []localfile.Service, service string, name wire.KeyName, key string) bool {
	for i := range list {
		if list[i].ServiceID != service {
			continue
		}
		if name == wire.PrimaryKey {
			list[i].PrimaryKey = key
		} else {
			list[i].SecondaryKey = key
		}
		return true
	}
	return false
}

// services are those of services.json, whose keys may have been replaced since the start.
func (f *Federation) services() []localfile.Service {
	p := new(provisioned)
	b, err := os.ReadFile(f.cfg.path(servicesFile))
	if err != nil || json.Unmarshal(b, p) != nil || len(p.Services) == 0 {
		return f.provisioned.Services
	}
	return p.Services
}
