package server

import "testing"

func TestWatermark(t *testing.T) {
	for text, want := range map[string]watermark{
		"1GiB,15%": {1 << 30, 15}, "512MiB": {512 << 20, 0}, "8%": {0, 8}, "8%,1KiB": {1 << 10, 8},
		"0": {}, "12345": {12345, 0}, "100%": {0, 100},
	} {
		var got, again watermark
		if err := got.Set(text); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
		if err := again.Set(got.String()); err != nil || again != got {
			t.Errorf("%s: written as %q and read as %+v, %v", text, got.String(), again, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "101%", "1GiB,", "1GiB,2GiB", "1%,2%", "1TiB",
		"1.5GiB", "99999999999GiB", "%"} {
		if err := new(watermark).Set(text); err == nil {
			t.Errorf("%q is a watermark", text)
		}
	}
}
