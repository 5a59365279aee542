package web

import (
	"net/url"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

// TestProfile: what is saved is what was chosen, and nothing that was changed elsewhere is lost.
func TestProfile(t *testing.T) {
	b := entered(t)
	b.fed.profile.Reminder, b.fed.profile.PushContent = wire.Yes, "FULL"
	b.want(b.get("/profile"), 200, "Maria Rossi", string(codeA), "non ancora confermata",
		`name="version" value="0"`, `value="auto" aria-describedby="mode-auto-what" checked`)
	form := url.Values{"version": {"0"}, "mode": {"manual"}, "language": {"de"}}
	b.wantAt(b.post("/profile", form), "/profile?done=saved")
	p := &b.fed.profile
	if p.Mode != wire.Manual || p.InboxEnabled || len(p.Languages) != 1 ||
		p.Languages[0] != "de_DE" || p.Reminder != wire.Yes || p.PushContent != "FULL" {
		t.Errorf("stored %+v", p)
	}
	b.want(b.get("/profile?done=saved"), 200, `<html lang="de">`, "gespeichert")
	b.want(b.post("/profile", form), 409) // of a page that is too old
	form.Set("version", "1")
	form.Del("mode")
	b.want(b.post("/profile", form), 422, `href="#mode-auto"`)
	b.want(b.post("/profile", url.Values{"version": {"x"}}), 400)
}

// TestMove: the home region changes only for who chose one and said so twice.
func TestMove(t *testing.T) {
	b := entered(t)
	b.want(b.get("/profile"), 200, `<option value="sicilia">`, "lazio.")
	b.want(b.post("/profile/region", url.Values{"region": {"veneto"}, "sure": {"yes"}}), 422,
		`href="#region"`)
	b.want(b.post("/profile/region", url.Values{"region": {"sicilia"}}), 422, `href="#sure"`)
	if b.fed.move.State != wire.MoveNone {
		t.Error("the move began")
	}
	b.wantAt(b.post("/profile/region", url.Values{"region": {"sicilia"}, "sure": {"yes"}}),
		"/profile?done=moving")
	got := b.want(b.get("/profile?done=moving"), 200, "verso sicilia è in corso")
	if strings.Contains(got.body, `action="/profile/region"`) {
		t.Error("a second move is offered")
	}
}

func TestService(t *testing.T) {
	b := entered(t)
	path := "/services/" + string(serviceA)
	b.want(b.get(path), 200, "Anagrafe", "Comune di Prova", `id="inbox" name="inbox" value="yes"`)
	form := url.Values{"version": {"0"}, "inbox": {"yes"}, "webhook": {"yes"}}
	b.wantAt(b.post(path, form), path+"?done=saved")
	if c := b.fed.choice; !c.Inbox || c.Email || !c.Webhook || c.ReadStatus != wire.No ||
		c.Service != serviceA {
		t.Errorf("stored %+v", c)
	}
	b.fed.profile.SettingsVersion = 1
	b.want(b.post(path, form), 409)
	b.fed.profile.Mode = wire.Legacy
	b.want(b.get(path), 200, `href="/profile"`)
	b.want(b.get("/services/x"), 404)
	b.want(b.get("/services/01GQQDPM127KFGG6T3660D5TXE"), 404)
}

func TestDevices(t *testing.T) {
	b := entered(t)
	hostile := `<script>alert(1)</script>`
	b.fed.others = []wire.SessionView{{ID: wire.SessionID{1}, Device: hostile, Provider: hostile},
		{ID: wire.SessionID{2}, Device: "iPhone"}, {ID: wire.SessionID{3}}}
	got := b.want(b.get("/devices"), 200, "Firefox", "iPhone", "Dispositivo senza nome")
	checkPage(t, "/devices", got.body)
	if n := strings.Count(got.body, `name="session"`); n != 4 { // three others, and all of them
		t.Errorf("%d sessions can be ended, want 3 and all", n)
	}
	b.wantAt(b.post("/devices", url.Values{"session": {wire.SessionID{2}.String()}}),
		"/devices?done=ended")
	b.want(b.post("/devices", url.Values{"session": {wire.SessionID{2}.String()}}), 404)
	b.want(b.post("/devices", url.Values{"session": {"x"}}), 400)
	b.wantAt(b.post("/devices", url.Values{"session": {"all"}}), "/devices?done=ended")
	if len(b.fed.others) != 0 || len(b.fed.sessions) != 1 {
		t.Errorf("%d others and %d of ours are left", len(b.fed.others), len(b.fed.sessions))
	}
}

// TestUnread: what is read leaves the part of the list that has what is not.
func TestUnread(t *testing.T) {
	b := entered(t)
	id := b.fed.deliver(wire.Content{Subject: "Un avviso qualunque", Markdown: "Testo."})
	b.want(b.get("/inbox?view=unread"), 200, "Un avviso qualunque", `aria-current="page"`)
	b.want(b.get("/inbox/"+id.String()+"?view=unread"), 200, `<a href="/inbox?view=unread">`)
	b.want(b.get("/inbox?view=unread"), 200, "Hai letto tutto")
}

// TestServices: institutions with their services, found by name.
func TestServices(t *testing.T) {
	b := entered(t)
	b.want(b.get("/services"), 200, "Comune di Prova", `href="/services/`+string(serviceA)+`"`)
	b.want(b.get("/services?q=PROVA"), 200, "Comune di Prova", `value="PROVA"`)
	b.want(b.get("/services?q=Palermo"), 200, "Nessun ente con questo nome")
	hostile := `"><script>alert(1)</script>`
	got := b.want(b.get("/services?from=-1&q="+url.QueryEscape(hostile)), 200)
	checkPage(t, "/services", got.body)
	b.fed.fault = wire.Unavailable
	b.want(b.get("/services"), 503)
}

// TestSearch: what is looked for is in no address, and is text on the page.
func TestSearch(t *testing.T) {
	b := entered(t)
	b.fed.deliver(wire.Content{Subject: "Carta d’identità pronta", Markdown: "Testo."})
	b.want(b.get("/search"), 200, `<form method="post" action="/search"`)
	b.want(b.post("/search", url.Values{"words": {"Carta"}}), 200, "Carta d’identità pronta")
	b.want(b.post("/search", url.Values{"words": {"nulla"}}), 200, "Nessun messaggio con queste")
	for _, wrong := range []string{"", " ", "1 2 3 4 5 6 7 8 9", strings.Repeat("x", 300)} {
		b.want(b.post("/search", url.Values{"words": {wrong}}), 422, `href="#words"`)
	}
	got := b.want(b.post("/search", url.Values{"words": {`"><script>alert(1)</script>`}}), 200)
	checkPage(t, "/search", got.body)
}

func TestDelete(t *testing.T) {
	b := entered(t)
	id := b.fed.deliver(wire.Content{Subject: "Un avviso qualunque", Markdown: "Testo."})
	b.want(b.get("/inbox/"+id.String()), 200, "non si può recuperare")
	b.wantAt(b.post("/inbox/"+id.String()+"/delete", nil), "/inbox?done=deleted")
	b.want(b.get("/inbox?done=deleted"), 200, "è stato cancellato")
	b.want(b.get("/inbox/"+id.String()), 404)
}
