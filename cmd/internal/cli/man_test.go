package cli

import "testing"

func TestManualText(t *testing.T) {
	for text, want := range map[string]string{".TH": `\&.TH`, `a\b-c`: `a\eb\-c`, "'x": `\(aqx`} {
		if got := manText(text); got != want {
			t.Errorf("manText(%q) is %q, want %q", text, got, want)
		}
	}
}
