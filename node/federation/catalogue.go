package federation

import (
	"github.com/cockroachdb/pebble/v2"
	"github.com/staffetta/staffetta/wire"
)

// Catalogue returns a page of the services as citizens see them in a list, with their institutions.
func (s *State) Catalogue(q *wire.ListCatalogue) (*wire.CataloguePage, error) {
	page := &wire.CataloguePage{Index: s.Position().Index}
	services, err := s.Services(&wire.ListRegistry{After: string(q.After), Limit: q.Limit})
	if err != nil {
		return nil, err
	}
	page.Next = wire.ServiceID(services.Next)
	named := map[wire.InstitutionID]bool{}
	err = s.db.View(func(r pebble.Reader) error {
		for i := range services.List {
			svc := &services.List[i]
			page.Services = append(page.Services, wire.CatalogueService{ID: svc.ID,
				Institution: svc.Institution, Name: svc.Name, Scope: svc.Metadata.Scope,
				Version: svc.Version})
			if named[svc.Institution] {
				continue
			}
			named[svc.Institution] = true
			var of wire.Institution
			if err := read(r, institutionKey(svc.Institution), &of, "no such institution"); err != nil {
				return err
			}
			page.Institutions = append(page.Institutions,
				wire.CatalogueInstitution{ID: of.ID, Name: of.Name})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}
