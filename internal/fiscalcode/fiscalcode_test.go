package fiscalcode

import (
	"regexp"
	"testing"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]bool{
		"RCCMNL83S18D969H": true, "MRNLCU00A01H501J": true, "AAAAAA00A00A000A": true,
		"RSSMRAVRELRFNLRB": true, "": false, "rccmnl83s18d969h": false,
		"RCCMNL83S18D969HX": false, "RCCMNL83S18D969": false, "RCCMNL83G18D969H": false,
		"RCCMNL8３S18D96": false, "12345678901": false, "RCCMNL83S18D969\n": false,
		"RCCMNL83S18D9691": false,
	} {
		if got := Code(in).Valid(); got != want {
			t.Errorf("Valid(%q) = %v, want %v", in, got, want)
		}
	}
}

func TestParseLogin(t *testing.T) {
	if got, err := ParseLogin("rccmnl83s18d969h"); err != nil || got != "RCCMNL83S18D969H" {
		t.Errorf("lower case ASCII: got %q, %v", got, err)
	}
	// Unicode would fold these to S and I.
	for _, in := range []string{"ſCCMNL83S18D969", "RCCMNL83ſ18D969", "ıCCMNL83S18D969"} {
		if _, err := ParseLogin(in); err == nil {
			t.Errorf("%q was folded into a code", in)
		}
	}
}

func TestCheckCharacter(t *testing.T) {
	for _, code := range []string{"RCCMNL83S18D969H", "MRNLCU00A01H501J", "RSSMRA95E05F205Z",
		"RSSMRA95E05F20RU", "RSSMRA95E05F2LRF", "RSSMRAVRELRFNLRB"} {
		if got := CheckCharacter(code[:15]); got != code[15] {
			t.Errorf("CheckCharacter(%s) = %c, want %c", code[:15], got, code[15])
		}
	}
}

func FuzzParse(f *testing.F) {
	re := regexp.MustCompile(Pattern)
	f.Add("RCCMNL83S18D969H")
	f.Add("RSSMRAVRELRFNLRB\n")
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := Code(s).Valid(), re.MatchString(s); got != want {
			t.Errorf("Valid(%q) = %v, the pattern says %v", s, got, want)
		}
	})
}
