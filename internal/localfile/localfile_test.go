package localfile

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func sample() *File {
	return &File{
		Gateways: []Gateway{{"gateway-1", "http://127.0.0.1:8080", "http://127.0.0.1:9", 41}},
		Services: []Service{{"S1", "00000000001", "k1", "k2", []string{"ApiMessageWrite"}}},
		Citizens: []Citizen{{"AAAAAA00A00A000A", "lazio", Active}},
		Nodes: []Node{{"lazio-1", "lazio", "127.0.0.1:7001", "http://127.0.0.1:8", 42,
			"/d/lazio-1", "/d/lazio-1.log"}},
	}
}

func TestWriteRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, Name)
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a missing file: got %v", err)
	}
	for range 2 { // the second time it replaces
		if err := Write(path, sample()); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []string{path, dir} {
		if got, err := Read(p); err != nil || !reflect.DeepEqual(got, sample()) {
			t.Errorf("Read(%s) = %+v, %v", p, got, err)
		}
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 {
		t.Errorf("%d files are left in the directory, want 1", len(entries))
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600: the file holds keys", info.Mode())
	}
}

// The names of the fields are an interface for other programs.
func TestFormat(t *testing.T) {
	b, err := json.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"gateways":[{"id":"gateway-1","url":"http://127.0.0.1:8080",` +
		`"admin":"http://127.0.0.1:9","pid":41}],` +
		`"services":[{"service_id":"S1","organization_fiscal_code":"00000000001",` +
		`"primary_key":"k1","secondary_key":"k2","scopes":["ApiMessageWrite"]}],` +
		`"citizens":[{"fiscal_code":"AAAAAA00A00A000A","region":"lazio","state":"active"}],` +
		`"nodes":[{"id":"lazio-1","region":"lazio","addr":"127.0.0.1:7001",` +
		`"admin":"http://127.0.0.1:8","pid":42,"dir":"/d/lazio-1","log":"/d/lazio-1.log"}]}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

func TestReadRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), Name)
	for content, want := range map[string]string{
		"{":                               "unexpected end",
		strings.Repeat(" ", BytesMax+1):   "is over",
		`{"nodes":[{"pid":"forty-two"}]}`: "cannot unmarshal",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("content of %d bytes: got %v, want %q", len(content), err, want)
		}
	}
}

func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, Name)
	if err := os.Mkdir(path, 0o700); err != nil { // a rename onto it fails
		t.Fatal(err)
	}
	if err := Write(path, sample()); err == nil {
		t.Error("no error when the file cannot be replaced")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d files are left, want only the obstacle", len(entries))
	}
}

func TestService(t *testing.T) {
	f := sample()
	if s, ok := f.Service(""); !ok || s.ServiceID != "S1" {
		t.Errorf("the first service: got %+v, %v", s, ok)
	}
	if _, ok := f.Service("S2"); ok {
		t.Error("found a service that is not there")
	}
}
