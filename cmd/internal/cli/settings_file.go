package cli

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// settingsBytesMax bounds a file of settings: some thousand times what one holds.
const settingsBytesMax = 1 << 20

// Setting is one line of a file of settings:
//
//	# a comment
//	name = value
//	[section]
//	name = "value with \t escapes"
//
// What stands before the first section has the section "".
type Setting struct {
	Section, Name, Value string
	Line                 int
}

// SettingsFile is the content of such a file, in its order.
type SettingsFile struct {
	Path     string
	All      []Setting
	Sections map[string]int // and the line in which each begins
}

// ReadSettings reads the file at path. Its errors name the line, and never show its text: a value
// may be a secret. A missing file is fs.ErrNotExist.
func ReadSettings(path string) (*SettingsFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, settingsBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(b) > settingsBytesMax {
		return nil, fmt.Errorf("%s is over %d bytes", path, settingsBytesMax)
	}
	file := &SettingsFile{Path: path, Sections: map[string]int{}}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, settingsBytesMax+1)
	section := ""
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		switch {
		case text == "" || text[0] == '#':
		case text[0] == '[':
			if section, err = file.begin(text, n); err != nil {
				return nil, err
			}
		default:
			if err := file.add(section, text, n); err != nil {
				return nil, err
			}
		}
	}
	return file, nil
}

// begin takes in the line [section].
func (f *SettingsFile) begin(text string, line int) (section string, err error) {
	section, ok := strings.CutSuffix(text[1:], "]")
	section = strings.Join(strings.Fields(section), " ")
	if !ok || section == "" {
		return "", f.Fail(line, "not [section]")
	}
	if first, ok := f.Sections[section]; ok {
		return "", f.Fail(line, "[%s] begins in line %d already", section, first)
	}
	f.Sections[section] = line
	return section, nil
}

// add takes in the line name = value.
func (f *SettingsFile) add(section, text string, line int) error {
	name, value, ok := strings.Cut(text, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || name == "" {
		return f.Fail(line, "neither [section] nor name = value")
	}
	if strings.HasPrefix(value, `"`) {
		var err error
		if value, err = strconv.Unquote(value); err != nil {
			return f.Fail(line, "the quotes of %s do not end, or hold an unknown escape", name)
		}
	}
	f.All = append(f.All, Setting{section, name, value, line})
	return nil
}

// Fail is an error of a line.
func (f *SettingsFile) Fail(line int, format string, args ...any) error {
	return fmt.Errorf("%s, line %d: %s", f.Path, line, fmt.Sprintf(format, args...))
}

// QuoteSetting writes a value so that add reads it back.
func QuoteSetting(value string) string {
	if value == "" || strings.TrimSpace(value) != value || strings.HasPrefix(value, `"`) ||
		strings.ContainsFunc(value, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(value)
	}
	return value
}
