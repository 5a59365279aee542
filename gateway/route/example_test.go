package route

import (
	"context"
	"fmt"
	"testing"
)

// exampleTB stands in for a test where there is none.
type exampleTB struct {
	testing.TB
	end []func()
}

func (*exampleTB) Helper()               {}
func (t *exampleTB) Cleanup(f func())    { t.end = append(t.end, f) }
func (*exampleTB) Fatal(args ...any)     { panic(fmt.Sprint(args...)) }
func (*exampleTB) Errorf(string, ...any) {}

// A submission goes to the region that owns its recipient, and comes back with that one's verdict.
// The federation here is a fake one, behind a Caller.
func ExampleRouter_Submit() {
	t := new(exampleTB)
	defer func() {
		for _, f := range t.end {
			defer f()
		}
	}()
	w := newWorld(t, "lazio", "sicilia")
	active, other := w.citizen(1, "sicilia", true), w.citizen(2, "sicilia", false)
	r := w.router()
	o, err := r.Submit(context.Background(), record(r, active), sender)
	fmt.Println(o.Verdict.Status, err)
	o, err = r.Submit(context.Background(), record(r, other), sender)
	fmt.Println(o.Verdict.Status, o.Verdict.Reason, err)
	// Output:
	// PROCESSED <nil>
	// REJECTED USER_NOT_FOUND <nil>
}
