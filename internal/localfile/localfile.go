// Package localfile is the file that describes a running local federation: local.json.
//
// Who starts a federation on this machine writes it; tools that drive or measure the federation
// read it. It holds the keys of services, so only its owner may read it. The file appears by
// rename, so a reader sees a whole one or none, and it is written again whenever a child process
// is started again: a reader that follows processes reads it again.
package localfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Name is the file's name in the federation's directory.
const Name = "local.json"

// BytesMax bounds what Read takes in: a hundred citizens, a hundred services and a thousand
// processes fit many times over.
const BytesMax = 16 << 20

// The states of a citizen.
const (
	Active      = "active"       // has accepted the terms
	NotAccepted = "not_accepted" // has logged in, no more
	Unknown     = "unknown"      // never seen
)

// File describes a running local federation.
type File struct {
	Gateways []Gateway `json:"gateways"`
	Services []Service `json:"services"`
	Citizens []Citizen `json:"citizens"` // the first hundred; citizens.txt has all active ones
	Nodes    []Node    `json:"nodes"`
	Provider *Provider `json:"identity_provider,omitempty"`
}

// Provider is the identity provider of invented citizens.
type Provider struct {
	ID    string `json:"id"`
	URL   string `json:"url"`   // http://host:port
	Login string `json:"login"` // where a login at it begins, at the first gateway
	PID   int    `json:"pid"`
}

// Gateway is one gateway process.
type Gateway struct {
	ID    string `json:"id"`
	URL   string `json:"url"`   // http://host:port
	Admin string `json:"admin"` // http://host:port
	PID   int    `json:"pid"`
}

// Service is one provisioned service, with its keys in clear.
type Service struct {
	ServiceID              string   `json:"service_id"`
	OrganizationFiscalCode string   `json:"organization_fiscal_code"`
	PrimaryKey             string   `json:"primary_key"`
	SecondaryKey           string   `json:"secondary_key"`
	Scopes                 []string `json:"scopes"`
}

// Citizen is one synthetic citizen.
type Citizen struct {
	FiscalCode string `json:"fiscal_code"`
	Region     string `json:"region"`
	State      string `json:"state"`
}

// Node is one relay node process.
type Node struct {
	ID     string `json:"id"`
	Region string `json:"region"`
	Addr   string `json:"addr"`  // host:port of its link
	Admin  string `json:"admin"` // http://host:port
	PID    int    `json:"pid"`
	Dir    string `json:"dir"` // its data
	Log    string `json:"log"` // the file that takes its standard error
}

// Read reads the file at path; a directory stands for the file Name in it. A missing file is
// fs.ErrNotExist.
func Read(path string) (*File, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, Name)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read local federation: %w: start it with `staffetta local` and its --dir",
			err)
	}
	if err != nil {
		return nil, fmt.Errorf("read local federation: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, BytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("read local federation: %w", err)
	}
	if len(b) > BytesMax {
		return nil, fmt.Errorf("read local federation: %s is over %d bytes", path, BytesMax)
	}
	file := new(File)
	if err := json.Unmarshal(b, file); err != nil {
		return nil, fmt.Errorf("read local federation: %s: %w", path, err)
	}
	return file, nil
}

// Write replaces the file at path by rename: whoever reads meanwhile sees the old file or the
// new one. On return it is durable.
func Write(path string, file *File) (err error) {
	b, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return fmt.Errorf("write local federation: %w", err)
	}
	// CreateTemp makes it readable by its owner alone, which the keys inside ask for.
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write local federation: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write local federation: %w", err)
			os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(append(b, '\n'))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	return err
}

// Service returns the service with the given id; an empty id stands for the first.
func (f *File) Service(id string) (Service, bool) {
	for _, s := range f.Services {
		if id == "" || s.ServiceID == id {
			return s, true
		}
	}
	return Service{}, false
}
