package main

import (
	"encoding/json"
	"fmt"
	"io"
)

// printReport prints what a command has to say: report as indented JSON, or what text writes.
func printReport(out io.Writer, asJSON bool, report any, text func(io.Writer) error) error {
	if !asJSON {
		return text(out)
	}
	b, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("the report can not be written as JSON: %w", err)
	}
	_, err = fmt.Fprintf(out, "%s\n", b)
	return err
}
