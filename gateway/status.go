package gateway

import (
	"net/http"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/operation"
	"github.com/staffetta/staffetta/internal/problem"
)

// statuses serve /status to clients, beside either API: whether calls are answered here now, and
// nothing else; and what the contract's app asks before a login. The operator's /status says how
// the gateway is, elsewhere.
func statuses(ready func() error, idps func() []identity.Info) []operation.Row[*operation.Call] {
	var list []operation.Row[*operation.Call]
	for _, path := range []string{"/status", "/api/v1/status"} {
		list = append(list, operation.Row[*operation.Call]{
			Operation: operation.Operation{ID: "getStatus", Method: http.MethodGet, Path: path,
				Answers: []int{200, 503}},
			Serve: func(c *operation.Call) error {
				if err := ready(); err != nil {
					return err
				}
				return c.Answer(publicStatus{"ready"})
			}})
	}
	return append(list, publics(ready, idps)...)
}

type publicStatus struct {
	Status string `json:"status"`
}

// own are the operations that belong to no API: everybody may call them.
var own = operation.API[*operation.Call]{
	Begin:  func(c operation.Call) *operation.Call { return &c },
	Admit:  func(*operation.Call) error { return nil },
	Refuse: func(c *operation.Call, err error) { problem.Write(c.W, problem.From(err)) },
}
