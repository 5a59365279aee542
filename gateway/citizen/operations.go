package citizen

import (
	"net/http"
	"slices"

	"github.com/staffetta/staffetta/gateway/operation"
	"github.com/staffetta/staffetta/internal/contract"
	"github.com/staffetta/staffetta/internal/problem"
)

type row = operation.Row[*call]

// jsonBody is the body of every operation that has one.
var jsonBody = operation.Body{Type: "application/json", Max: problem.BodyBytesMax}

// served are the operations. Their statuses are the contract's, without those that nothing here can
// cause (412: the uniqueness of e-mail addresses is not checked; 403: a message of another citizen
// is one that is not there). The contract's test login knows 200, 401 and 500 only; ours adds 400
// for a body that is none, 403 for who has locked access, 404 where it is switched off, and 409 for
// another home region than the citizen's. The home region is ours; the contract knows none.
var served = []row{
	testLogin("testLogin", "/test-login"),
	testLogin("testLoginUnderAuth", "/api/auth/v1/test-login"),
	{Serve: (*call).session, Operation: operation.Operation{ID: "getSession",
		Method: http.MethodGet, Path: "/api/auth/v1/session", By: operation.Session,
		Answers: []int{200, 400, 401, 500}}},
	{Serve: (*call).logout, Operation: operation.Operation{ID: "logout",
		Method: http.MethodPost, Path: "/api/auth/v1/logout", By: operation.Session,
		Answers: []int{200, 401, 500}}},
	{Serve: (*call).getIdentity, Operation: operation.Operation{ID: "getUserIdentity",
		Method: http.MethodGet, Path: "/api/auth/v1/user-identity", By: operation.Session,
		Answers: []int{200, 401, 500}}},
	{Serve: (*call).listSessions, Operation: operation.Operation{ID: "listSessions",
		Method: http.MethodGet, Path: "/api/auth/v1/sessions", By: operation.Session,
		Answers: []int{200, 401, 429, 500}}},
	{Serve: (*call).endSession, Operation: operation.Operation{ID: "endSession",
		Method: http.MethodDelete, Path: "/api/auth/v1/sessions/{session_id}", By: operation.Session,
		Answers: []int{200, 401, 404, 429, 500},
		Missing: "The citizen has no session of this id."}},
	{Serve: (*call).endSessions, Operation: operation.Operation{ID: "endSessions",
		Method: http.MethodDelete, Path: "/api/auth/v1/sessions", By: operation.Session,
		Answers: []int{200, 400, 401, 429, 500}}},
	{Serve: (*call).healthcheck, Operation: operation.Operation{ID: "healthcheck",
		Method: http.MethodGet, Path: "/api/auth/v1/healthcheck", By: operation.Anyone,
		Answers: []int{200, 500}}},
	{Serve: (*call).getAccess, Operation: operation.Operation{ID: "getSessionAccess",
		Method: http.MethodGet, Path: "/ioweb/backend/api/v1/session-state", By: operation.Session,
		Answers: []int{200, 401, 429, 500}}},
	{Serve: (*call).lockAccess, Operation: operation.Operation{ID: "lockSession",
		Method: http.MethodPost, Path: "/ioweb/backend/api/v1/lock-session", By: operation.Session,
		Body: jsonBody, Answers: []int{204, 400, 401, 409, 429, 500},
		Conflict: "Access is locked already."}},
	{Serve: (*call).unlockAccess, Operation: operation.Operation{ID: "unlockSession",
		Method: http.MethodPost, Path: "/ioweb/backend/api/v1/unlock-session",
		By: operation.Session, Body: jsonBody, Answers: []int{204, 400, 401, 403, 429, 500}}},
	{Serve: (*call).getProfile, Operation: operation.Operation{ID: "getUserProfile",
		Method: http.MethodGet, Path: "/api/identity/v1/profile", By: operation.Session,
		Answers: []int{200, 400, 401, 429, 500}}},
	{Serve: (*call).setProfile, Operation: operation.Operation{ID: "updateProfile",
		Method: http.MethodPost, Path: "/api/identity/v1/profile", By: operation.Session,
		Body: jsonBody, Answers: []int{200, 400, 401, 404, 409, 429, 500},
		Missing:  "The citizen has no profile.",
		Conflict: "The profile does not allow this change."}},
	{Serve: (*call).signMessage, Operation: operation.Operation{ID: "signMessage",
		Method: http.MethodPost, Path: "/api/identity/v1/first-lollipop/sign",
		By: operation.Session, Body: jsonBody, Answers: []int{200, 400, 401, 500}}},
	{Serve: (*call).getPreference, Operation: operation.Operation{ID: "getServicePreferences",
		Method: http.MethodGet, Path: "/api/identity/v1/services/{service_id}/preferences",
		By: operation.Session, Answers: []int{200, 400, 401, 404, 409, 429, 500},
		Missing:  "No service has this id.",
		Conflict: "The profile is not in the right preference mode."}},
	{Serve: (*call).setPreference, Operation: operation.Operation{ID: "upsertServicePreferences",
		Method: http.MethodPost, Path: "/api/identity/v1/services/{service_id}/preferences",
		By: operation.Session, Body: jsonBody, Answers: []int{200, 400, 401, 404, 409, 429, 500},
		Missing:  "No service has this id.",
		Conflict: "The profile is not in the right preference mode, or its settings changed."}},
	{Serve: (*call).getHome, Operation: operation.Operation{ID: "getHomeRegion",
		Method: http.MethodGet, Path: "/api/identity/v1/home-region", By: operation.Session,
		Answers: []int{200, 401, 429, 500}}},
	{Serve: (*call).setHome, Operation: operation.Operation{ID: "moveToRegion",
		Method: http.MethodPost, Path: "/api/identity/v1/home-region", By: operation.Session,
		Body: jsonBody, Answers: []int{202, 400, 401, 404, 409, 429, 500},
		Missing:  "This federation has no such region.",
		Conflict: "Another move is under way."}},
	{Serve: (*call).listMessages, Operation: operation.Operation{ID: "getUserMessages",
		Method: http.MethodGet, Path: "/api/communication/v1/messages", By: operation.Session,
		Answers: []int{200, 400, 401, 404, 429, 500},
		Missing: "The citizen has no inbox."}},
	{Serve: (*call).getMessage, Operation: operation.Operation{ID: "getUserMessage",
		Method: http.MethodGet, Path: "/api/communication/v1/messages/{id}", By: operation.Session,
		Answers: []int{200, 400, 401, 404, 429, 500},
		Missing: "No message of the citizen has this id."}},
	{Serve: (*call).deleteMessage, Operation: operation.Operation{ID: "deleteMessage",
		Method: http.MethodDelete, Path: "/api/communication/v1/messages/{id}",
		By: operation.Session, Answers: []int{204, 400, 401, 404, 429, 500},
		Missing: "No message of the citizen has this id."}},
	{Serve: (*call).searchMessages, Operation: operation.Operation{ID: "searchMessages",
		Method: http.MethodPost, Path: "/api/communication/v1/message-search",
		By: operation.Session, Body: jsonBody, Reads: true,
		Answers: []int{200, 400, 401, 429, 500}}},
	{Serve: (*call).countMessages, Operation: operation.Operation{ID: "countMessages",
		Method: http.MethodGet, Path: "/api/communication/v1/message-counts",
		By: operation.Session, Answers: []int{200, 401, 429, 500}}},
	{Serve: (*call).setStatus, Operation: operation.Operation{ID: "upsertMessageStatusAttributes",
		Method: http.MethodPut, Path: "/api/communication/v1/messages/{id}/status",
		By: operation.Session, Body: jsonBody, Answers: []int{200, 400, 401, 404, 429, 500},
		Missing: "No message of the citizen has this id."}},
	{Serve: (*call).getPrecondition, Operation: operation.Operation{
		ID: "getThirdPartyMessagePrecondition", Method: http.MethodGet,
		Path: "/api/communication/v1/third-party-messages/{id}/precondition",
		By:   operation.Session, Answers: []int{200, 204, 400, 401, 403, 404, 410, 429, 500, 504},
		Missing: "No message of the citizen has this id."}},
	{Serve: (*call).getThirdParty, Operation: operation.Operation{ID: "getThirdPartyMessage",
		Method: http.MethodGet, Path: "/api/communication/v1/third-party-messages/{id}",
		By:      operation.Session,
		Answers: []int{200, 400, 401, 403, 404, 410, 429, 500, 502, 504},
		Missing: "No message of the citizen has this id."}},
	// 503 is no status of the contract's document: its client waits for an attachment by it.
	{Serve: (*call).getAttachment, Operation: operation.Operation{
		ID: "getThirdPartyMessageAttachment", Method: http.MethodGet,
		Path: "/api/communication/v1/third-party-messages/{id}/attachments/{attachment_url...}",
		By:   operation.Session, Type: "application/octet-stream",
		Answers: []int{200, 400, 401, 403, 404, 410, 415, 429, 500, 503, 504},
		Missing: "No message of the citizen has this id."}},
	{Serve: (*call).findInstitutions, Operation: operation.Operation{ID: "findInstitutions",
		Method: http.MethodGet, Path: "/api/catalog/v1/institutions", By: operation.Session,
		Answers: []int{200, 400, 401, 500}}},
	{Serve: (*call).featuredInstitutions, Operation: operation.Operation{
		ID: "getFeaturedInstitutions", Method: http.MethodGet,
		Path: "/api/catalog/v1/institutions/featured", By: operation.Session,
		Answers: []int{200, 401, 500}}},
	{Serve: (*call).findServices, Operation: operation.Operation{ID: "findInstitutionServices",
		Method: http.MethodGet, Path: "/api/catalog/v1/institutions/{institution_id}/services",
		By: operation.Session, Answers: []int{200, 400, 401, 500}}},
	{Serve: (*call).featuredServices, Operation: operation.Operation{ID: "getFeaturedServices",
		Method: http.MethodGet, Path: "/api/catalog/v1/services/featured", By: operation.Session,
		Answers: []int{200, 401, 500}}},
	{Serve: (*call).getService, Operation: operation.Operation{ID: "getServiceById",
		Method: http.MethodGet, Path: "/api/catalog/v1/services/{service_id}",
		By: operation.Session, Answers: []int{200, 401, 404, 500},
		Missing: "No service has this id."}},
}

func testLogin(id, path string) row {
	return row{Serve: (*call).testLogin, Operation: operation.Operation{ID: id,
		Method: http.MethodPost, Path: path, By: operation.Anyone, Body: jsonBody,
		Answers:  []int{200, 400, 401, 403, 404, 409, 500},
		Missing:  "The test login is not enabled here.",
		Conflict: "The citizen belongs to another region."}}
}

// elsewhere are operations of the contract that package login serves.
var elsewhere = []string{"GET /api/auth/v1/login", "POST /api/auth/v1/assertionConsumerService",
	"GET /api/auth/v1/metadata"}

// rows are the operations served, and those of the contract that nobody serves.
func rows() []row {
	ours := slices.DeleteFunc(slices.Clone(contract.Citizens), func(o contract.Operation) bool {
		return slices.Contains(elsewhere, o.Pattern())
	})
	return operation.Complete(served, ours, operation.Anyone)
}

// Operations are what the API declares.
func Operations() []operation.Operation { return operation.Of(rows()) }
