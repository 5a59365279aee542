package citizen

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/staffetta/staffetta/internal/fiscalcode"
)

const (
	// TestCitizensMax bounds the test citizens, of some 200 bytes each.
	TestCitizensMax = 2 << 20
	// testLineMax bounds a line of their file.
	testLineMax = 1024
	// testNameMax bounds a name.
	testNameMax = 200
)

// ParseTestCitizens reads the file of citizens that may use the test login. Each line is a fiscal
// code, optionally followed by name, family name, e-mail address and date of birth (YYYY-MM-DD),
// separated by tabs; later fields may be missing or empty. Blank lines and lines that begin with
// # are skipped. The first fault ends it, named by its line, never by what the line says.
func ParseTestCitizens(r io.Reader) (map[fiscalcode.Code]TestCitizen, error) {
	list := map[fiscalcode.Code]TestCitizen{}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, testLineMax), testLineMax)
	n := 0
	for lines.Scan() {
		n++
		line := strings.TrimSuffix(lines.Text(), "\r")
		if strings.TrimSpace(line) == "" || line[0] == '#' {
			continue
		}
		code, citizen, err := parseTestCitizen(line)
		if err != nil {
			return nil, fmt.Errorf("test citizens, line %d: %w", n, err)
		}
		if _, dup := list[code]; dup {
			return nil, fmt.Errorf("test citizens, line %d: this fiscal code came before", n)
		}
		if len(list) == TestCitizensMax {
			return nil, fmt.Errorf("test citizens, line %d: more than %d", n, TestCitizensMax)
		}
		list[code] = citizen
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("test citizens, line %d: %w", n+1, err)
	}
	return list, nil
}

func parseTestCitizen(line string) (fiscalcode.Code, TestCitizen, error) {
	if !utf8.ValidString(line) {
		return "", TestCitizen{}, fmt.Errorf("not UTF-8")
	}
	fields := strings.Split(line, "\t")
	if len(fields) > 5 {
		return "", TestCitizen{}, fmt.Errorf("%d fields, at most 5 expected", len(fields))
	}
	fields = append(fields, make([]string, 5-len(fields))...)
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	code, err := fiscalcode.Parse(fields[0])
	if err != nil {
		return "", TestCitizen{}, err
	}
	c := TestCitizen{Name: fields[1], FamilyName: fields[2], Email: fields[3],
		DateOfBirth: fields[4]}
	switch {
	case len(c.Name) > testNameMax || len(c.FamilyName) > testNameMax:
		err = fmt.Errorf("a name of more than %d bytes", testNameMax)
	case c.Email != "" && !validEmail(c.Email):
		err = fmt.Errorf("not an e-mail address")
	case c.DateOfBirth != "":
		if _, bad := time.Parse(time.DateOnly, c.DateOfBirth); bad != nil {
			err = fmt.Errorf("date of birth not as YYYY-MM-DD")
		}
	}
	return code, c, err
}

// withNames fills the names that the contract requires of every profile.
func (c TestCitizen) withNames() TestCitizen {
	if c.Name == "" {
		c.Name = "Nome"
	}
	if c.FamilyName == "" {
		c.FamilyName = "Cognome"
	}
	return c
}
