package gateway

import (
	"net/http"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/operation"
)

// publics are what the app of the contract asks before anybody has logged in: whether its backend
// is there, which of its own versions may go on, and whom it can log in with, of idps. Nothing of
// it is a person's. What is a file there has no operation of a document: the catalogue's rules for
// paths have no room for its name.
func publics(ready func() error, idps func() []identity.Info) []operation.Row[*operation.Call] {
	return []operation.Row[*operation.Call]{
		public("getInfo", "/info", info{Version: operation.BuildVersion(), versions: anyVersion}),
		public("", "/status/versionInfo.json", anyVersion),
		{Operation: operation.Operation{Method: http.MethodGet, Path: "/spid/idps/list.json",
			Answers: []int{200}},
			Serve: func(c *operation.Call) error { return c.Answer(providersOf(idps())) }},
		{Operation: operation.Operation{Method: http.MethodGet,
			Path: "/status/backend.json", Answers: []int{200}},
			Serve: func(c *operation.Call) error {
				b := backendStatus{Alive: ready() == nil}
				if !b.Alive {
					b.Message = notAlive
				}
				return c.Answer(b)
			}},
		{Operation: operation.Operation{ID: "ping", Method: http.MethodGet, Path: "/api/v1/ping",
			Answers: []int{204}},
			Serve: func(c *operation.Call) error {
				c.W.WriteHeader(http.StatusNoContent)
				return nil
			}},
	}
}

// public is an operation that always answers v.
func public(id, path string, v any) operation.Row[*operation.Call] {
	return operation.Row[*operation.Call]{Operation: operation.Operation{ID: id,
		Method: http.MethodGet, Path: path, Answers: []int{200}},
		Serve: func(c *operation.Call) error { return c.Answer(v) }}
}

// version is a version of the app for each of its platforms.
type version struct {
	Ios     string `json:"ios"`
	Android string `json:"android"`
}

// versions are the oldest version of the app that may go on, the newest that there is, and the one
// that is being rolled out.
type versions struct {
	Min       version `json:"min_app_version"`
	MinPagoPA version `json:"min_app_version_pagopa"`
	Latest    version `json:"latest_released_app_version"`
	Rollout   version `json:"rollout_app_version"`
}

// anyVersion turns no version of a client away: who publishes clients is not who runs gateways.
var anyVersion = versions{version{"0.0.0", "0.0.0"}, version{"0.0.0", "0.0.0"},
	version{"0.0.0", "0.0.0"}, version{"0.0.0", "0.0.0"}}

type info struct {
	Version string `json:"version"`
	versions
}

// providers are SPID's that a login can be begun with.
type providers struct {
	Items []provider `json:"items"`
}

// provider is one of them. The contract has the address of a profile beside these, which no gateway
// holds.
type provider struct {
	ID   string `json:"id"` // what a login calls entityID
	Name string `json:"name"`
	Logo string `json:"logo,omitzero"`
}

func providersOf(all []identity.Info) providers {
	list := providers{Items: []provider{}}
	for _, p := range all {
		if p.Kind == identity.SPID {
			list.Items = append(list.Items, provider{p.ID, p.Name, p.Logo})
		}
	}
	return list
}

// backendStatus is what the app shows instead of its first page where the backend is not alive.
type backendStatus struct {
	Alive   bool      `json:"is_alive"`
	Message localised `json:"message"`
}

type localised struct {
	Italian string `json:"it-IT"`
	English string `json:"en-EN"`
}

var notAlive = localised{Italian: "Il servizio non è disponibile in questo momento.",
	English: "The service is not available at the moment."}
