package web

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/staffetta/staffetta/wire"
)

const (
	// institutionsShown is how many institutions a page has.
	institutionsShown = 20
	// askedMax bounds what is looked for, in bytes.
	askedMax = 200
	// offsetMax bounds how far a list is paged.
	offsetMax = 100_000
)

// servicesPage lists institutions with their services.
type servicesPage struct {
	*page
	Asked        string
	Institutions []institution
	Newest, Next string // addresses; "": none
}

type institution struct {
	Name     string
	Services []*wire.CatalogueService
}

// services lists who may write, by institution.
func (c *call) services() error {
	q := c.R.URL.Query()
	asked := strings.TrimSpace(plain(q.Get("q")))
	if len(asked) > askedMax {
		asked = strings.ToValidUTF8(asked[:askedMax], "")
	}
	offset, err := strconv.Atoi(q.Get("from"))
	if err != nil || offset < 0 || offset > offsetMax {
		offset = 0
	}
	list, count, err := c.web.cfg.Citizens.Institutions(c.R.Context(), asked, offset,
		institutionsShown)
	if err != nil {
		return err
	}
	p := servicesPage{page: c.page("services.title"), Asked: asked}
	for _, i := range list {
		p.Institutions = append(p.Institutions, institution{plain(i.Name), i.Services})
	}
	at := func(from int) string {
		v := url.Values{}
		if asked != "" {
			v.Set("q", asked)
		}
		if from > 0 {
			v.Set("from", strconv.Itoa(from))
		}
		if len(v) == 0 {
			return pathServices
		}
		return pathServices + "?" + v.Encode()
	}
	if offset > 0 {
		p.Newest = at(0)
	}
	if next := offset + institutionsShown; next < count {
		p.Next = at(next)
	}
	return c.show("services", p)
}

// Plain is a text of others, for templates.
func (p *page) Plain(s string) string { return plain(s) }
