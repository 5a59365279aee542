package problem

import (
	"net/http"
	"strconv"
	"strings"
)

// Accepts reports whether a request accepts a media type by its name; that it accepts all of them
// says nothing.
func Accepts(r *http.Request, mediaType string) bool {
	return Quality(r.Header["Accept"], mediaType) > 0
}

// Quality is how much a client wants a thing, from 0 to 1, by the values of a header of the Accept
// family (RFC 9110, 12.4.2 and 12.5): 1 where no weight is given. A name that is not listed is
// wanted 0; wildcards are the caller's business.
func Quality(values []string, name string) float64 {
	for _, line := range values {
		for item := range strings.SplitSeq(line, ",") {
			item, parameters, _ := strings.Cut(item, ";")
			if !strings.EqualFold(strings.TrimSpace(item), name) {
				continue
			}
			for p := range strings.SplitSeq(parameters, ";") {
				if k, v, ok := strings.Cut(strings.TrimSpace(p), "="); ok &&
					strings.EqualFold(k, "q") {
					q, err := strconv.ParseFloat(v, 64)
					if err != nil || q < 0 || q > 1 {
						return 0
					}
					return q
				}
			}
			return 1
		}
	}
	return 0
}
