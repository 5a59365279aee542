package operation

import (
	"net/http"

	"github.com/staffetta/staffetta/internal/asof"
	"github.com/staffetta/staffetta/internal/problem"
)

// API is what the operations of one kind of client share. A citizen's reads may be answered as of
// an earlier time, which the answer then says; see package asof.
type API[C any] struct {
	// Begin makes what checks and handler are given.
	Begin func(Call) C
	// Admit lets a request in, or returns why not.
	Admit func(C) error
	// Refuse answers an error.
	Refuse func(C, error)
	// Slash has every path served with a slash at its end too.
	Slash bool
}

// Register serves the rows on mux. The rows are the API's from here on.
func (a *API[C]) Register(mux *http.ServeMux, rows []Row[C]) {
	for i := range rows {
		h := a.handler(&rows[i])
		mux.Handle(rows[i].Pattern(), h)
		if a.Slash {
			mux.Handle(rows[i].Pattern()+"/{$}", h)
		}
	}
}

func (a *API[C]) handler(row *Row[C]) http.Handler {
	reads := row.By != Key && (row.Method == http.MethodGet || row.Reads)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if reads {
			r = r.WithContext(asof.Allow(r.Context(), w.Header()))
		}
		c := a.Begin(Call{W: w, R: r, Op: &row.Operation})
		if err := a.serve(c, row); err != nil {
			a.Refuse(c, err)
		}
	})
}

func (a *API[C]) serve(c C, row *Row[C]) error {
	if err := a.Admit(c); err != nil {
		return err
	}
	if row.Serve == nil {
		return problem.NotServed
	}
	return row.Serve(c)
}
