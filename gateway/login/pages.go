package login

import (
	"bytes"
	"html/template"
	"net/http"

	"github.com/staffetta/staffetta/gateway/identity"
)

// The contract's pages at the end of a login. The app recognises them by their paths.
const (
	arrivedPath = "/profile.html"
	refusedPath = "/error.html"
)

// PageKind is what a page is about.
type PageKind uint8

// The pages.
const (
	PageProviders PageKind = iota // whom to log in with
	PagePost                      // a form that leads to the provider
	PageArrived                   // the app has its session
	PageRefused                   // the login failed
)

// Page is what a browser is shown in a login.
type Page struct {
	Kind      PageKind
	Providers []identity.Info
	To        string // where the login leads
	Post      *identity.Started
	Reason    identity.Reason // of PageRefused: one that is known, or empty
}

func (c *call) showArrived() error {
	c.flow.cfg.Show(c.W, c.R, &Page{Kind: PageArrived})
	return nil
}

// showRefused shows why a login failed. The address may say anything: only what is a reason counts,
// and nothing of it is shown.
func (c *call) showRefused() error {
	page := &Page{Kind: PageRefused, To: "/", Providers: c.flow.Providers()}
	q := c.R.URL.Query()
	if reason := identity.Reason(q.Get("errorMessage")); texts[reason] != "" {
		page.Reason = reason
	}
	c.flow.cfg.Show(c.W, c.R, page)
	return nil
}

// texts say what happened, and what to do.
var texts = map[identity.Reason]string{
	"":             "Non è stato possibile completare l'accesso. Riprova.",
	identity.Young: "Non hai ancora l'età minima per usare questo servizio.",
	identity.Locked: "L'accesso è bloccato. Per sbloccarlo entra con il livello 3 della tua " +
		"identità digitale.",
	identity.Stray: "L'accesso è durato troppo a lungo, oppure è iniziato in un'altra finestra. " +
		"Riprova da capo.",
	identity.Another: "L'identità usata è di un'altra persona. Esci, poi entra con la tua.",
	identity.NotPerson: "Si può entrare solo con l'identità digitale di una persona, con il " +
		"codice fiscale di 16 caratteri: non con quella di un'impresa.",
	identity.Incomplete: "Il gestore dell'identità non ha trasmesso tutti i dati che servono. " +
		"Rivolgiti a lui.",
	identity.Weak: "L'accesso richiede un livello di sicurezza più alto. Riprova con un metodo " +
		"più sicuro, come l'app del gestore.",
	identity.Invalid: "La risposta del gestore dell'identità non è valida. Riprova; se succede " +
		"ancora, segnalacelo.",
	identity.Denied:      "Il gestore dell'identità non ha confermato l'accesso. Riprova.",
	identity.Away:        "Il servizio non è raggiungibile in questo momento. Riprova tra poco.",
	identity.Credentials: "Autenticazione fallita per ripetuta sottomissione di credenziali errate.",
	identity.NoLevel: "Utente privo di credenziali compatibili con il livello richiesto dal " +
		"fornitore del servizio.",
	identity.Timeout:   "Timeout durante l'autenticazione utente.",
	identity.NoConsent: "Utente nega il consenso all'invio di dati al fornitore del servizio.",
	identity.Suspended: "Utente con identità sospesa/revocata o con credenziali bloccate.",
	identity.Cancelled: "Processo di autenticazione annullato dall'utente.",
}

var plain = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="it"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title></head><body><main><h1>{{.Title}}</h1>
{{with .Text}}<p role="status">{{.}}</p>{{end}}
{{with .Post}}<form method="post" action="{{.URL}}">
{{range $name, $value := .Fields}}<input type="hidden" name="{{$name}}" value="{{$value}}">
{{end}}<button>Continua</button></form>{{end}}
{{if .Providers}}<ul>{{range .Providers}}
<li><a href="/login?provider={{.ID}}&amp;to={{$.To}}">Entra con {{.Name}}</a></li>{{end}}
</ul>{{end}}</main></body></html>
`))

// showPlain draws a page with nothing but what it says.
func showPlain(w http.ResponseWriter, _ *http.Request, p *Page) {
	view := struct {
		Page
		Title, Text string
	}{Page: *p, Title: "Accesso"}
	switch p.Kind {
	case PageProviders:
		if len(p.Providers) == 0 {
			view.Text = "Qui non si può ancora entrare: nessun gestore di identità è configurato."
		}
	case PagePost:
		view.Text = "Prosegui presso il gestore della tua identità digitale."
	case PageArrived:
		view.Title, view.Text = "Accesso riuscito", "Puoi tornare all'app."
	case PageRefused:
		view.Title, view.Text = "Accesso non riuscito", texts[p.Reason]
	}
	var b bytes.Buffer
	if err := plain.Execute(&b, view); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", pageType)
	w.Write(bytes.TrimLeft(b.Bytes(), "\n"))
}
