package citizen

import "github.com/staffetta/staffetta/gateway/operation"

// backendVersion is the contract's BackendVersion.
type backendVersion struct {
	Version string `json:"version"`
}

// healthcheck says that logins are answered here, and by which version.
func (c *call) healthcheck() error { return c.Answer(backendVersion{operation.BuildVersion()}) }
