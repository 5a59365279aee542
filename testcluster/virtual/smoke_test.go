package virtual

import (
	"testing"
	"testing/synctest"
)

func TestFounding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, 3, "lazio", "sicilia")
		w.Gateway("lazio")
	})
}
