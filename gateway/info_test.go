package gateway

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/operation"
	"github.com/staffetta/staffetta/wire"
)

// TestPublics: the app of the contract reads what it asks before a login, and stops at a backend
// that says it is not alive.
func TestPublics(t *testing.T) {
	const versions = `"min_app_version":{"ios":"0.0.0","android":"0.0.0"},` +
		`"min_app_version_pagopa":{"ios":"0.0.0","android":"0.0.0"},` +
		`"latest_released_app_version":{"ios":"0.0.0","android":"0.0.0"},` +
		`"rollout_app_version":{"ios":"0.0.0","android":"0.0.0"}}`
	for _, c := range []struct {
		path   string
		err    error
		status int
		body   string
	}{
		{"/info", nil, 200, `{"version":"` + operation.BuildVersion() + `",` + versions},
		{"/status/versionInfo.json", nil, 200, `{` + versions},
		{"/status/backend.json", nil, 200,
			`{"is_alive":true,"message":{"it-IT":"","en-EN":""}}`},
		{"/status/backend.json", wire.NotReady, 200, `{"is_alive":false,"message":{"it-IT":"` +
			notAlive.Italian + `","en-EN":"` + notAlive.English + `"}}`},
		{"/spid/idps/list.json", nil, 200, `{"items":[]}`},
		{"/api/v1/ping", wire.NotReady, 204, ""},
	} {
		mux := http.NewServeMux()
		own.Register(mux, statuses(func() error { return c.err },
			func() []identity.Info { return nil }))
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			answer := httptest.NewRecorder()
			mux.ServeHTTP(answer, httptest.NewRequest(method, c.path, nil))
			if answer.Code != c.status || answer.Body.String() != c.body {
				t.Errorf("%s %s: %d %s, want %d %s", method, c.path, answer.Code, answer.Body,
					c.status, c.body)
			}
		}
	}
}

// TestProvidersList: what a login can be begun with is listed as the contract has it, and nothing
// that is not known of it.
func TestProvidersList(t *testing.T) {
	mux := http.NewServeMux()
	own.Register(mux, statuses(nil, func() []identity.Info {
		return []identity.Info{{ID: "posteid", Name: "Poste ID", Kind: identity.SPID, Posts: true},
			{ID: "cie", Name: "CIE", Kind: identity.CIE},
			{ID: "hub", Name: "Hub", Kind: identity.OIDC},
			{ID: "lepidaid", Name: "Lepida ID", Kind: identity.SPID, Logo: "/lepida.svg"}}
	}))
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/spid/idps/list.json", nil))
	if got, want := answer.Body.String(), `{"items":[{"id":"posteid","name":"Poste ID"},`+
		`{"id":"lepidaid","name":"Lepida ID","logo":"/lepida.svg"}]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
