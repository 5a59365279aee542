package gateway

import (
	"strings"
	"testing"

	"github.com/staffetta/staffetta/internal/contract"
)

// Every operation of the contract is either served or answers that it is not, and says so to
// nobody else: no status that has a meaning there is used for that.
func TestContractOperations(t *testing.T) {
	_, s := running(t)
	served := 0
	for _, list := range [][]contract.Operation{contract.Institutions, contract.Citizens} {
		for _, o := range list {
			path := strings.NewReplacer("{", "", "}", "", "...", "/a.pdf").Replace(o.Path)
			paths := []string{path}
			if strings.HasPrefix(path, "/api/v1/") {
				paths = append(paths, path+"/")
			}
			for _, path := range paths {
				resp, body := s.do(t, o.Method, path, "{}", "Ocp-Apim-Subscription-Key", testKey)
				not := resp.StatusCode == 501 &&
					strings.Contains(body, `"urn:staffetta:problem:not-served"`)
				if not == (o.Answer != "") || resp.StatusCode == 404 || resp.StatusCode == 405 {
					t.Errorf("%s %s: %d %s", o.Method, path, resp.StatusCode, body)
				}
			}
			if o.Answer != "" {
				served++
			}
		}
	}
	if served < 5+9 {
		t.Errorf("%d operations of the contract are served, want 14 at least", served)
	}
	// Who has no valid key learns that first, as of every operation.
	for _, o := range contract.Institutions {
		resp, _ := s.do(t, o.Method, o.Path, "{}", "Ocp-Apim-Subscription-Key", "no")
		if resp.StatusCode != 401 {
			t.Errorf("%s under a wrong key: %d", o.Pattern(), resp.StatusCode)
		}
	}
}
