package federation

import (
	"strings"

	"github.com/staffetta/staffetta/wire"
)

func init() { corpora["v3-remote"] = (*writer).version3Remote }

// version3Remote is what operators do with configurations of remote content.
func (c *writer) version3Remote() {
	c.found()
	c.command(wire.CmdFinalise, &wire.RaiseVersion{Version: 3})
	for n := range 2 {
		c.command(wire.CmdPutInstitution, &wire.Institution{ID: institutionOf(n), Name: "Comune"})
	}
	const id = wire.RemoteContentID("01ARZ3NDEKTSV4RRFFQ69G5FAV")
	put := func(change func(*wire.RemoteContent)) {
		r := &wire.RemoteContent{ID: id, Institution: institutionOf(0), Name: "Atti",
			Description: "Gli atti del comune.", Precondition: "ONCE",
			Production: &wire.RemoteServer{BaseURL: "https://atti.comune.example/v1",
				Header: "X-Api-Key", Key: []byte("sealed")}}
		change(r)
		c.command(wire.CmdAudit, &wire.Audited{Operator: "operator", Action: "remote-content put",
			Subject: r.AuditSubject(), Command: command(wire.CmdPutRemoteContent, r)})
	}
	put(func(*wire.RemoteContent) {})
	put(func(*wire.RemoteContent) {}) // so already
	for _, change := range []func(*wire.RemoteContent){
		func(r *wire.RemoteContent) { r.ID = "01arz3ndektsv4rrffq69g5fav" },
		func(r *wire.RemoteContent) { r.Institution = institutionOf(1) },
		func(r *wire.RemoteContent) { r.Institution = institutionOf(7) },
		func(r *wire.RemoteContent) { r.Precondition = "" },
		func(r *wire.RemoteContent) { r.Production = nil },
		func(r *wire.RemoteContent) { r.Name = strings.Repeat("x", 2000) },
		func(r *wire.RemoteContent) { r.Production.BaseURL = "https://atti.comune.example/?x" },
		func(r *wire.RemoteContent) { r.Production.Header = "Host" },
		func(r *wire.RemoteContent) { r.Production.Key = nil },
		func(r *wire.RemoteContent) { r.TestUsers = make([]wire.Recipient, wire.ListMax+1) },
		func(r *wire.RemoteContent) {
			r.Test, r.TestUsers = r.Production, []wire.Recipient{{1}}
			r.Lollipop, r.LollipopOff = true, []wire.Recipient{{2}}
		},
	} {
		put(change)
	}
	remove := func(id wire.RemoteContentID) {
		r := &wire.RemoteContentRef{ID: id}
		c.command(wire.CmdAudit, &wire.Audited{Operator: "operator", Action: "remote-content remove",
			Subject: r.AuditSubject(), Command: command(wire.CmdRemoveRemoteContent, r)})
	}
	remove("01ARZ3NDEKTSV4RRFFQ69G5FAW")
	remove("none")
	remove(id)
	remove(id)
	put(func(*wire.RemoteContent) {})
}
