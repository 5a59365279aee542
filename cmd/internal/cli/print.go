package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Unfinished is a report that can tell of work that was ordered and is not done. What is not done
// is no success, however much of it is.
type Unfinished interface {
	// Failure says what is not done; nil: nothing.
	Failure() error
}

// PrintReport prints what a command has to say, report as indented JSON or what text writes, and
// returns what is not done by the report's own word.
func PrintReport(out io.Writer, asJSON bool, report any, text func(io.Writer) error) error {
	var failure error
	if r, ok := report.(Unfinished); ok {
		failure = r.Failure()
	}
	if !asJSON {
		return errors.Join(text(out), failure)
	}
	b, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("the report cannot be written as JSON: %w", err)
	}
	_, err = fmt.Fprintf(out, "%s\n", b)
	return errors.Join(err, failure)
}
