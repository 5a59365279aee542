package citizen

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/staffetta/staffetta/wire"
)

const (
	// catalogueDefault is how many entries a list of the catalogue has when none is asked for,
	// catalogueMax how many it may have, catalogueOffsetMax how many may be passed over.
	catalogueDefault, catalogueMax, catalogueOffsetMax = 20, 100, 100_000
	// searchMax bounds what is looked for, in characters: no institution has a longer name.
	searchMax = 256
)

// catalogue is the list of services as it is looked through. It is made once of a list of the
// relay's, and not changed.
type catalogue struct {
	of           *wire.CataloguePage
	institutions []institution // by name
	byID         map[wire.InstitutionID]*institution
	services     map[wire.ServiceID]*wire.CatalogueService
}

type institution struct {
	id       wire.InstitutionID
	name     string
	folded   string
	services []*wire.CatalogueService // by name
}

func newCatalogue(list *wire.CataloguePage) *catalogue {
	d := &catalogue{of: list, institutions: make([]institution, 0, len(list.Institutions)),
		byID:     make(map[wire.InstitutionID]*institution, len(list.Institutions)),
		services: make(map[wire.ServiceID]*wire.CatalogueService, len(list.Services))}
	for _, i := range list.Institutions {
		d.institutions = append(d.institutions, institution{id: i.ID, name: i.Name,
			folded: words(i.Name)})
	}
	slices.SortFunc(d.institutions, func(a, b institution) int {
		return cmp.Or(strings.Compare(a.folded, b.folded), cmp.Compare(a.id, b.id))
	})
	for i := range d.institutions {
		d.byID[d.institutions[i].id] = &d.institutions[i]
	}
	for i := range list.Services {
		s := &list.Services[i]
		if of := d.byID[s.Institution]; of != nil {
			d.services[s.ID] = s
			of.services = append(of.services, s)
		}
	}
	for i := range d.institutions {
		slices.SortStableFunc(d.institutions[i].services, func(a, b *wire.CatalogueService) int {
			return strings.Compare(words(a.Name), words(b.Name))
		})
	}
	return d
}

// find returns the institutions that have a service of the scope and a name like asked, the most
// like it first. Either may be empty.
func (d *catalogue) find(asked, scope string) []*institution {
	var found [3][]*institution
	for i := range d.institutions {
		of := &d.institutions[i]
		if n := rank(of.folded, asked); (asked == "" || n > 0) && of.has(scope) {
			found[n] = append(found[n], of)
		}
	}
	return slices.Concat(found[:]...)
}

func (i *institution) has(scope string) bool {
	return scope == "" || slices.ContainsFunc(i.services, func(s *wire.CatalogueService) bool {
		return s.Scope == scope
	})
}

// catalogue is the list of services as of now, for who has a session.
func (c *call) catalogue() (*catalogue, error) {
	if err := c.alive(); err != nil {
		return nil, err
	}
	return c.api.readCatalogue(c.R.Context())
}

// readCatalogue is the list of services as of now.
func (a *API) readCatalogue(ctx context.Context) (*catalogue, error) {
	list, err := a.relay.Catalogue(ctx)
	if err != nil {
		return nil, err
	}
	if d := a.catalogue.Load(); d != nil && d.of == list {
		return d, nil
	}
	d := newCatalogue(list)
	a.catalogue.Store(d)
	return d, nil
}

// alive asks whether the session is, for what no region has to be asked for otherwise.
func (c *call) alive() error {
	var s wire.Session
	return c.ask(wire.MethodGetSession, &wire.SessionRef{Token: c.token}, &s)
}

// institutionShown is the contract's Institution.
type institutionShown struct {
	ID   wire.InstitutionID `json:"id"`
	Name string             `json:"name"`
	Code wire.InstitutionID `json:"fiscal_code"`
}

func (i *institution) shown() institutionShown { return institutionShown{i.id, i.name, i.id} }

// serviceShown is the contract's ServiceMinified, and with Organization its FeaturedService.
type serviceShown struct {
	ID           wire.ServiceID `json:"id"`
	Name         string         `json:"name"`
	Version      uint64         `json:"version"`
	Organization string         `json:"organization_name,omitzero"`
}

// span is which part of a list is asked for, as the contract tells it again.
type span struct {
	Offset int `json:"offset"`
	Limit  int `json:"limit"`
	Count  int `json:"count"`
}

// cut is the part of a list that s asks for, and notes how long the list is.
func cut[T any](s *span, list []T) []T {
	s.Count = len(list)
	from := min(s.Offset, len(list))
	return list[from:min(from+s.Limit, len(list))]
}

func (p params) span() (s span, err error) {
	if s.Limit, err = p.number("limit", catalogueDefault, 1, catalogueMax); err != nil {
		return s, err
	}
	s.Offset, err = p.number("offset", 0, 0, catalogueOffsetMax)
	return s, err
}

// number returns a parameter that is a whole number.
func (p params) number(name string, otherwise, min, max int) (int, error) {
	s, given, err := p.one(name)
	if err != nil || !given {
		return otherwise, err
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < min || n > max || s != strconv.Itoa(n) {
		return 0, badParameter(name, "integer >= "+strconv.Itoa(min)+" and <= "+strconv.Itoa(max))
	}
	return n, nil
}

// findInstitutions looks institutions up by name and scope.
func (c *call) findInstitutions() error {
	q, err := query(c.R)
	if err != nil {
		return err
	}
	asked, _, err := q.one("search")
	if err != nil {
		return err
	}
	if utf8.RuneCountInString(asked) > searchMax || !utf8.ValidString(asked) {
		return badParameter("search", "string of length <= "+strconv.Itoa(searchMax))
	}
	scope, given, err := q.one("scope")
	if err != nil {
		return err
	}
	if given && scope != "NATIONAL" && scope != "LOCAL" {
		return badParameter("scope", `"NATIONAL" or "LOCAL"`)
	}
	part, err := q.span()
	if err != nil {
		return err
	}
	d, err := c.catalogue()
	if err != nil {
		return err
	}
	out := struct {
		Institutions []institutionShown `json:"institutions"`
		span
	}{Institutions: []institutionShown{}, span: part}
	for _, i := range cut(&out.span, d.find(words(asked), scope)) {
		out.Institutions = append(out.Institutions, i.shown())
	}
	return c.Answer(out)
}

// findServices lists an institution's services. The contract has no 404 here: an institution that
// is not there has none.
func (c *call) findServices() error {
	q, err := query(c.R)
	if err != nil {
		return err
	}
	part, err := q.span()
	if err != nil {
		return err
	}
	d, err := c.catalogue()
	if err != nil {
		return err
	}
	out := struct {
		Services []serviceShown `json:"services"`
		span
	}{Services: []serviceShown{}, span: part}
	if of := d.byID[wire.InstitutionID(c.R.PathValue("institution_id"))]; of != nil {
		for _, s := range cut(&out.span, of.services) {
			out.Services = append(out.Services, serviceShown{ID: s.ID, Name: s.Name,
				Version: s.Version})
		}
	}
	return c.Answer(out)
}

// featuredServices lists the services that the operator wants to be seen first.
func (c *call) featuredServices() error {
	d, err := c.catalogue()
	if err != nil {
		return err
	}
	out := struct {
		Services []serviceShown `json:"services"`
	}{[]serviceShown{}}
	for _, id := range c.api.cfg.Featured {
		if s := d.services[id]; s != nil {
			out.Services = append(out.Services, serviceShown{ID: s.ID, Name: s.Name,
				Version: s.Version, Organization: d.byID[s.Institution].name})
		}
	}
	return c.Answer(out)
}

// featuredInstitutions lists those that the featured services belong to.
func (c *call) featuredInstitutions() error {
	d, err := c.catalogue()
	if err != nil {
		return err
	}
	out := struct {
		Institutions []institutionShown `json:"institutions"`
	}{[]institutionShown{}}
	seen := map[wire.InstitutionID]bool{}
	for _, id := range c.api.cfg.Featured {
		if s := d.services[id]; s != nil && !seen[s.Institution] {
			seen[s.Institution] = true
			out.Institutions = append(out.Institutions, d.byID[s.Institution].shown())
		}
	}
	return c.Answer(out)
}

// serviceDetails is the contract's ServiceDetails.
type serviceDetails struct {
	ID           wire.ServiceID `json:"id"`
	Name         string         `json:"name"`
	Description  string         `json:"description"`
	Organization organization   `json:"organization"`
	Metadata     metadata       `json:"metadata"`
}

type organization struct {
	Name string             `json:"name"`
	Code wire.InstitutionID `json:"fiscal_code"`
}

// metadata is the contract's ServiceMetadata.
type metadata struct {
	Scope      string `json:"scope"`
	Category   string `json:"category"`
	WebURL     string `json:"web_url,omitzero"`
	TosURL     string `json:"tos_url,omitzero"`
	PrivacyURL string `json:"privacy_url,omitzero"`
	Address    string `json:"address,omitzero"`
	Phone      string `json:"phone,omitzero"`
	Email      string `json:"email,omitzero"`
	PEC        string `json:"pec,omitzero"`
	SupportURL string `json:"support_url,omitzero"`
}

// getService shows a service. A client that cannot load the sender of a message does not open the
// message: one that is gone is shown by its substitute to who has a message of it.
func (c *call) getService() error {
	if err := c.alive(); err != nil {
		return err
	}
	id := wire.ServiceID(c.R.PathValue("service_id"))
	access, err := c.api.relay.ServiceByID(c.R.Context(), id)
	switch {
	case err == nil:
		return c.Answer(detailsOf(access))
	case !errors.Is(err, wire.NotFound):
		return err
	}
	wrote, err := c.hasMessageOf(id)
	if err != nil {
		return err
	}
	if !wrote {
		return wire.NotFound
	}
	c.api.substitutes.Inc()
	return c.Answer(serviceDetails{ID: id, Name: unknownSender.service,
		Organization: organization{unknownSender.organization, unknownSender.code},
		Metadata:     metadata{Scope: "NATIONAL", Category: "STANDARD"}})
}

func detailsOf(a *wire.ServiceAccess) serviceDetails {
	m := &a.Service.Metadata
	return serviceDetails{ID: a.Service.ID, Name: a.Service.Name, Description: m.Description,
		Organization: organization{a.Institution.Name, a.Institution.ID},
		Metadata: metadata{Scope: cmp.Or(m.Scope, "NATIONAL"), Category: "STANDARD",
			WebURL: m.WebURL, TosURL: m.TosURL, PrivacyURL: m.PrivacyURL, Address: m.Address,
			Phone: m.Phone, Email: m.Email, PEC: m.PEC, SupportURL: m.SupportURL}}
}

// passesMax bounds the pages of an inbox that are looked through for a message of a sender that is
// gone, which is rare.
const passesMax = 10

// hasMessageOf reports whether one of the citizen's latest messages is of a service.
func (c *call) hasMessageOf(id wire.ServiceID) (bool, error) {
	if !id.Valid() {
		return false, nil
	}
	for _, archived := range []bool{false, true} {
		q := &wire.ListInbox{Token: c.token, Size: wire.PageMax, Archived: archived}
		for range passesMax {
			var page wire.InboxPage
			if err := c.ask(wire.MethodListInbox, q, &page); err != nil {
				return false, err
			}
			for i := range page.Items {
				if page.Items[i].Service == id {
					return true, nil
				}
			}
			if q.Before = page.Next(); q.Before.IsZero() {
				break
			}
		}
	}
	return false, nil
}
