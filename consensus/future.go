package consensus

import (
	"reflect"

	"github.com/hashicorp/raft"
)

// await waits for one of the library's futures, at most until ended is closed.
//
// The library answers no future that it holds in a channel when it shuts down: whoever waits for
// one waits for ever (guard "orphans"). Its own futures have an exported field ShutdownCh against
// this, on a type that is not exported; most of them are never given one. So it is set here.
// Nothing but Error reads it, and nobody else calls Error.
func await(f raft.Future, ended chan struct{}, g guards) error {
	if g.on(guardOrphans) {
		if field := shutdownField(f); field.IsValid() && field.CanSet() {
			field.Set(reflect.ValueOf(ended))
		}
	}
	return f.Error()
}

// shutdownField is invalid for futures that are answered already.
func shutdownField(f raft.Future) reflect.Value {
	v := reflect.ValueOf(f)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return reflect.Value{}
	}
	field := v.Elem().FieldByName("ShutdownCh")
	if !field.IsValid() || field.Type() != reflect.TypeFor[chan struct{}]() {
		return reflect.Value{}
	}
	return field
}
