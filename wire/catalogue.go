package wire

import "github.com/staffetta/staffetta/internal/codec"

// CatalogueMax bounds the services that a gateway keeps of the catalogue: more than there are
// services in Italy, at a few hundred bytes each.
const CatalogueMax = 1 << 18

// ListCatalogue asks for services as citizens see them in a list, in order of their ids.
type ListCatalogue struct {
	After ServiceID // the first page has none
	Limit uint32    // 0: RegistryPageMax
}

// Fields declares the message.
func (q *ListCatalogue) Fields(c *codec.Codec) {
	codec.String(c, 1, &q.After)
	codec.Uint(c, 2, &q.Limit)
}

// CataloguePage answers ListCatalogue, as of an index of the federation's log or later. Its
// institutions are those of its services. Next is the After of the page that follows; empty: there
// is none.
type CataloguePage struct {
	Index        uint64
	Services     []CatalogueService
	Institutions []CatalogueInstitution
	Next         ServiceID
}

// Fields declares the message.
func (p *CataloguePage) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &p.Index)
	codec.Repeated(c, 2, &p.Services)
	codec.Repeated(c, 3, &p.Institutions)
	codec.String(c, 4, &p.Next)
}

// CatalogueService is what a list says of a service.
type CatalogueService struct {
	ID          ServiceID
	Institution InstitutionID
	Name        string
	Scope       string // NATIONAL, LOCAL or nothing
	Version     uint64
}

// Fields declares the message.
func (s *CatalogueService) Fields(c *codec.Codec) {
	codec.String(c, 1, &s.ID)
	codec.String(c, 2, &s.Institution)
	codec.String(c, 3, &s.Name)
	codec.String(c, 4, &s.Scope)
	codec.Uint(c, 5, &s.Version)
}

// CatalogueInstitution is what a list says of an institution.
type CatalogueInstitution struct {
	ID   InstitutionID
	Name string
}

// Fields declares the message.
func (i *CatalogueInstitution) Fields(c *codec.Codec) {
	codec.String(c, 1, &i.ID)
	codec.String(c, 2, &i.Name)
}
