package citizen

import (
	"net/http"
	"strings"
)

// bearer returns the token of the Authorization header (RFC 6750; the scheme's case is free), or
// nothing when there is not exactly one.
func bearer(h http.Header) string {
	values := h.Values("Authorization")
	if len(values) != 1 || len(values[0]) > tokenTextMax {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
