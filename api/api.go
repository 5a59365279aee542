// Package api holds the OpenAPI documents of the HTTP interfaces. The gateway serves them under
// /openapi/, and tests hold every request and answer to them.
package api

import "embed"

// Documents are the OpenAPI documents, by file name: institutions.yaml, citizens.yaml.
//
//go:embed *.yaml
var Documents embed.FS
