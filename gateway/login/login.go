package login

import (
	"net/http"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/operation"
	"github.com/staffetta/staffetta/internal/problem"
)

// Flow serves logins. Its methods are safe for concurrent use.
type Flow struct {
	// Set at construction.
	cfg    Config
	byID   map[string]identity.Provider
	places chan struct{} // one element for each answer that is worked on
}

// New makes a Flow. It asks no provider anything.
func New(cfg Config) (*Flow, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	f := &Flow{cfg: cfg, byID: map[string]identity.Provider{},
		places: make(chan struct{}, inFlightMax)}
	for _, p := range cfg.Providers {
		f.byID[p.Info().ID] = p
	}
	return f, nil
}

// Providers are those that a citizen may choose among, in the order in which they are shown. One is
// begun at /login?provider=<its ID>&to=<a path of this gateway>.
func (f *Flow) Providers() []identity.Info {
	list := make([]identity.Info, len(f.cfg.Providers))
	for i, p := range f.cfg.Providers {
		list[i] = p.Info()
	}
	return list
}

// Register serves logins on mux.
func (f *Flow) Register(mux *http.ServeMux) {
	api := operation.API[*call]{
		Begin:  func(c operation.Call) *call { return &call{Call: c, flow: f} },
		Admit:  (*call).admit,
		Refuse: (*call).refuse,
	}
	api.Register(mux, served)
	for pattern, h := range f.cfg.Published {
		mux.Handle(pattern, h)
	}
}

// Operations are what the flow declares.
func Operations() []operation.Operation { return operation.Of(served) }

type row = operation.Row[*call]

const (
	pageType     = "text/html; charset=utf-8"
	metadataType = "application/samlmetadata+xml"
)

// formBody is a provider's answer that its site posts.
var formBody = operation.Body{Type: "application/x-www-form-urlencoded",
	Max: identity.AnswerMax, Insists: "An identity provider's answer"}

// served are the operations. The first is the app's way in, by the contract; the second the
// contract's place for SAML's answers. The others are for browsers.
var served = []row{
	{Serve: (*call).beginApp, Operation: operation.Operation{ID: "login",
		Method: http.MethodGet, Path: "/api/auth/v1/login", Answers: []int{302, 200, 400, 500}}},
	{Serve: (*call).finish, Operation: operation.Operation{
		Method: http.MethodPost, Path: "/api/auth/v1/assertionConsumerService", Body: formBody,
		Answers: []int{302, 303, 400, 413, 415, 500}}},
	{Serve: (*call).finish, Operation: operation.Operation{ // before the contract had base paths
		Method: http.MethodPost, Path: "/assertionConsumerService", Body: formBody,
		Answers: []int{302, 303, 400, 413, 415, 500}}},
	{Serve: (*call).metadata, Operation: operation.Operation{
		Method: http.MethodGet, Path: "/api/auth/v1/metadata", Type: metadataType,
		Answers: []int{200, 501}}},
	{Serve: (*call).metadata, Operation: operation.Operation{
		Method: http.MethodGet, Path: "/metadata", Type: metadataType, Answers: []int{200, 501}}},
	{Serve: (*call).loggedOut, Operation: operation.Operation{
		Method: http.MethodPost, Path: "/slo", Body: formBody,
		Answers: []int{303, 400, 413, 415}}},
	{Serve: (*call).beginBrowser, Operation: operation.Operation{
		Method: http.MethodGet, Path: "/login", Answers: []int{200, 302, 303, 400, 500}}},
	{Serve: (*call).finish, Operation: operation.Operation{
		Method: http.MethodGet, Path: "/login/callback/{provider}",
		Answers: []int{302, 303, 500}}},
	{Serve: (*call).finish, Operation: operation.Operation{
		Method: http.MethodPost, Path: "/login/callback/{provider}", Body: formBody,
		Answers: []int{302, 303, 400, 413, 415, 500}}},
	{Serve: (*call).showArrived, Operation: operation.Operation{
		Method: http.MethodGet, Path: arrivedPath, Answers: []int{200}}},
	{Serve: (*call).showRefused, Operation: operation.Operation{
		Method: http.MethodGet, Path: refusedPath, Answers: []int{200}}},
}

// call is one request.
type call struct {
	operation.Call
	flow *Flow
}

// The problems of this API, documented in docs/problems.md. The contract has no 503 here.
var (
	problemParameter = problem.Problem{Type: "login-parameter", Status: 400, Title: "Bad request"}
	problemNotReady  = problem.Problem{Type: "login-not-ready", Status: 500,
		Title: "Internal server error", RetryAfter: retryAfter}

	problems = []problem.Problem{problemParameter, problemNotReady}
)

// Problems lists what this API can answer, beside package problem's of request bodies.
func Problems() []problem.Problem { return problems }

func (c *call) admit() error {
	c.W.Header().Set("Cache-Control", "no-store")
	return nil
}

// loggedOut is the address of SAML's single logout, which metadata has to name. A login leaves no
// session at the provider that could be ended with ours: nothing is read, nothing ends.
func (c *call) loggedOut() error {
	c.leave(false, "/")
	return nil
}

// metadata shows what SAML's providers have to know of the federation.
func (c *call) metadata() error {
	if len(c.flow.cfg.Metadata) == 0 {
		return problem.NotServed
	}
	c.W.Header().Set("Content-Type", metadataType)
	c.W.Write(c.flow.cfg.Metadata) // what fails is the client's connection: nobody is left to tell
	return nil
}

func (c *call) refuse(err error) { problem.Write(c.W, problem.From(err)) }
