package institution

import (
	"net/http"

	"github.com/staffetta/staffetta/gateway/operation"
	"github.com/staffetta/staffetta/internal/contract"
	"github.com/staffetta/staffetta/internal/problem"
)

type row = operation.Row[*call]

var (
	messageBody = operation.Body{Type: "application/json", Max: problem.BodyBytesMax}
	// profileBody has one fiscal code; its bound is ample, since unknown members are tolerated.
	profileBody = operation.Body{Type: "application/json", Max: 16 << 10}

	writers  = []string{scopeMessageWrite, scopeLimitedMessageWrite}
	readers  = []string{scopeMessageRead}
	profiles = []string{scopeLimitedProfileRead}
)

// served are the operations.
var served = []row{
	{Serve: (*call).submitByBody, Operation: operation.Operation{
		ID:     "submitMessageforUserWithFiscalCodeInBody",
		Method: http.MethodPost, Path: "/api/v1/messages", By: operation.Key, Scopes: writers,
		Metered: true, Body: messageBody,
		Answers: []int{201, 400, 401, 403, 404, 409, 413, 415, 429, 500, 501, 503}}},
	{Serve: (*call).submitBulk, Operation: operation.Operation{ID: "submitMessagesInBulk",
		Method: http.MethodPost, Path: "/api/v1/messages/bulk", By: operation.Key, Scopes: writers,
		Body: operation.Body{Type: bulkType, Insists: "A bulk request"}, Type: bulkType,
		Answers: []int{200, 400, 401, 403, 415, 429, 500, 503}}},
	// That who may send certificates may not name the recipient in the path is a rule of the
	// contract's gateway.
	{Serve: (*call).submitByPath, Operation: operation.Operation{ID: "submitMessageforUser",
		Method: http.MethodPost, Path: "/api/v1/messages/{fiscal_code}", By: operation.Key,
		Bars: scopeWriteEUCovidCert, Scopes: writers, Metered: true, Body: messageBody,
		Answers: []int{201, 400, 401, 403, 404, 409, 413, 415, 429, 500, 501, 503}}},
	{Serve: (*call).readMessage, Operation: operation.Operation{ID: "getMessage",
		Method: http.MethodGet, Path: "/api/v1/messages/{fiscal_code}/{id}", By: operation.Key,
		Scopes: readers, Answers: []int{200, 400, 401, 403, 404, 429, 500, 503}}},
	{Serve: (*call).profileByBody, Operation: operation.Operation{ID: "getProfileByPOST",
		Method: http.MethodPost, Path: "/api/v1/profiles", By: operation.Key, Scopes: profiles,
		Body:    profileBody,
		Answers: []int{200, 400, 401, 403, 404, 413, 415, 429, 500, 503}}},
	{Serve: (*call).profileByPath, Operation: operation.Operation{ID: "getProfile",
		Method: http.MethodGet, Path: "/api/v1/profiles/{fiscal_code}", By: operation.Key,
		Scopes: profiles, Answers: []int{200, 400, 401, 403, 404, 429, 500, 503}}},
}

// rows are the operations served, and those of the contract that are not.
func rows() []row { return operation.Complete(served, contract.Institutions, operation.Key) }

// Operations are what the API declares.
func Operations() []operation.Operation { return operation.Of(rows()) }
