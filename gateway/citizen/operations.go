package citizen

import "net/http"

// operation is one row of the API: what it is called in the OpenAPI document, where it is
// served, and the only statuses that it answers.
type operation struct {
	id       string
	method   string
	paths    []string
	open     bool // no session is needed
	statuses []int
	// missing and conflict are the details of 404 and 409 when the region gives none.
	missing  string
	conflict string
}

// The operations. The statuses are the contract's, without those that nothing here can cause
// (412: the uniqueness of e-mail addresses is not checked). The contract's test login knows 200,
// 401 and 500 only; ours adds 400 for a body that is none, 404 where it is switched off, and 409
// for another home region than the citizen's. The home region is ours; the contract knows none.
var (
	opTestLogin = &operation{id: "testLogin", method: http.MethodPost, open: true,
		paths:    []string{"/test-login", "/api/auth/v1/test-login"},
		statuses: []int{200, 400, 401, 404, 409, 500},
		missing:  "The test login is not enabled here.",
		conflict: "The citizen belongs to another region."}
	opSession = &operation{id: "getSession", method: http.MethodGet,
		paths:    []string{"/api/auth/v1/session"},
		statuses: []int{200, 400, 401, 500}}
	opLogout = &operation{id: "logout", method: http.MethodPost,
		paths: []string{"/api/auth/v1/logout"}, statuses: []int{200, 401, 500}}
	opGetProfile = &operation{id: "getUserProfile", method: http.MethodGet,
		paths:    []string{"/api/identity/v1/profile"},
		statuses: []int{200, 400, 401, 429, 500}}
	opSetProfile = &operation{id: "updateProfile", method: http.MethodPost,
		paths:    []string{"/api/identity/v1/profile"},
		statuses: []int{200, 400, 401, 404, 409, 429, 500},
		missing:  "The citizen has no profile.",
		conflict: "The profile does not allow this change."}
	opGetPreference = &operation{id: "getServicePreferences", method: http.MethodGet,
		paths:    []string{"/api/identity/v1/services/{service_id}/preferences"},
		statuses: []int{200, 400, 401, 404, 409, 429, 500},
		missing:  "No service has this id.",
		conflict: "The profile is not in the right preference mode."}
	opSetPreference = &operation{id: "upsertServicePreferences", method: http.MethodPost,
		paths:    []string{"/api/identity/v1/services/{service_id}/preferences"},
		statuses: []int{200, 400, 401, 404, 409, 429, 500},
		missing:  "No service has this id.",
		conflict: "The profile is not in the right preference mode, or its settings changed."}
	opGetHome = &operation{id: "getHomeRegion", method: http.MethodGet,
		paths:    []string{"/api/identity/v1/home-region"},
		statuses: []int{200, 401, 429, 500}}
	opSetHome = &operation{id: "moveToRegion", method: http.MethodPost,
		paths:    []string{"/api/identity/v1/home-region"},
		statuses: []int{202, 400, 401, 404, 409, 429, 500},
		missing:  "This federation has no such region.",
		conflict: "Another move is under way."}
	opListMessages = &operation{id: "getUserMessages", method: http.MethodGet,
		paths:    []string{"/api/communication/v1/messages"},
		statuses: []int{200, 400, 401, 404, 429, 500},
		missing:  "The citizen has no inbox."}
	opGetMessage = &operation{id: "getUserMessage", method: http.MethodGet,
		paths:    []string{"/api/communication/v1/messages/{id}"},
		statuses: []int{200, 400, 401, 404, 429, 500},
		missing:  "No message of the citizen has this id."}

	operations = []*operation{opTestLogin, opSession, opLogout, opGetProfile, opSetProfile,
		opGetPreference, opSetPreference, opGetHome, opSetHome, opListMessages, opGetMessage}
)

// success is the status of an answer that is no problem: the first that the operation lists.
func (o *operation) success() int { return o.statuses[0] }

// answers reports whether the contract lets the operation answer a status.
func (o *operation) answers(status int) bool {
	for _, s := range o.statuses {
		if s == status {
			return true
		}
	}
	return false
}
