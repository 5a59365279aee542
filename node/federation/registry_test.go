package federation

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

// TestRegistryPages reads institutions and services by pages of several sizes: each comes once,
// in order, also when a page is closed by its bytes.
func TestRegistryPages(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	succeed(t, s, command(wire.CmdFound, testMap("lazio")))
	const institutions, services = 3, 40
	for i := range institutions {
		succeed(t, s, command(wire.CmdPutInstitution, &wire.Institution{Name: "Comune",
			ID: wire.InstitutionID(fmt.Sprintf("%011d", i))}))
	}
	long := strings.Repeat("x", metadataTextMax)
	recipients := wire.ServiceSpec{Recipients: []string{"MRNNNA36M50M981K"}}
	for i := range services {
		recipients.Service = wire.Service{ID: wire.ServiceID(fmt.Sprintf("S%02d", i)), Name: "Avvisi",
			Institution: wire.InstitutionID(fmt.Sprintf("%011d", i%institutions)),
			Metadata: wire.ServiceMetadata{Description: long, PrivacyURL: long, WebURL: long,
				TosURL: long}}
		svc, err := NewService(recipients, testHasher)
		if err != nil {
			t.Fatal(err)
		}
		succeed(t, s, command(wire.CmdPutService, svc))
	}
	for _, limit := range []uint32{0, 1, 7, 1000} {
		var got []wire.ServiceID
		for q := (wire.ListRegistry{Limit: limit}); ; {
			page, err := s.Services(&q)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(wire.Encode(page)); n > wire.RegistryPageBytesMax+1024 {
				t.Errorf("a page of %d bytes", n)
			}
			for i := range page.List {
				svc := &page.List[i]
				got = append(got, svc.ID)
				if svc.AuthorizedRecipients != nil || svc.SealedRecipients != nil {
					t.Error("a list tells recipients")
				}
			}
			if q.After = page.Next; q.After == "" {
				break
			}
		}
		if len(got) != services {
			t.Fatalf("pages of %d hold %d services, want %d", limit, len(got), services)
		}
		for i, id := range got {
			if want := wire.ServiceID(fmt.Sprintf("S%02d", i)); id != want {
				t.Fatalf("pages of %d: service %s, want %s", limit, id, want)
			}
		}
	}
	page, err := s.Services(&wire.ListRegistry{Institution: "00000000001"})
	if err != nil || len(page.List) != 13 || page.List[0].ID != "S01" {
		t.Errorf("an institution's services: %d, %v", len(page.List), err)
	}
	one, err := s.Institutions(&wire.ListRegistry{Institution: "00000000002"})
	if err != nil || len(one.List) != 1 || one.List[0].ID != "00000000002" {
		t.Errorf("one institution: %+v, %v", one, err)
	}
	all, err := s.Institutions(&wire.ListRegistry{Limit: 2})
	if err != nil || len(all.List) != 2 || all.Next != "00000000001" {
		t.Errorf("two institutions: %+v, %v", all, err)
	}
}

// TestCatalogue: the pages are all services with their institutions, and nothing that is not shown.
func TestCatalogue(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	succeed(t, s, command(wire.CmdFound, testMap("lazio")))
	for i := range 3 {
		id := wire.InstitutionID(fmt.Sprintf("%011d", i))
		succeed(t, s, command(wire.CmdPutInstitution, &wire.Institution{ID: id,
			Name: fmt.Sprintf("Comune %d", i)}))
		for n := range 4 {
			succeed(t, s, command(wire.CmdPutService, &wire.Service{Name: "Avvisi", Institution: id,
				ID:       wire.ServiceID(fmt.Sprintf("S%d%d", n, i)),
				Keys:     [2]wire.KeyHash{{byte(i), byte(n)}},
				Metadata: wire.ServiceMetadata{Scope: "LOCAL", Description: "Lunga."}}))
		}
	}
	for _, limit := range []uint32{0, 1, 5, 1000} {
		services, institutions := map[wire.ServiceID]bool{}, map[wire.InstitutionID]string{}
		for q := (wire.ListCatalogue{Limit: limit}); ; {
			page, err := s.Catalogue(&q)
			if err != nil {
				t.Fatal(err)
			}
			if page.Index != s.Position().Index {
				t.Errorf("a page of index %d, want %d", page.Index, s.Position().Index)
			}
			for _, i := range page.Institutions {
				institutions[i.ID] = i.Name
			}
			for _, svc := range page.Services {
				want := wire.CatalogueService{ID: svc.ID, Institution: svc.Institution, Name: "Avvisi",
					Scope: "LOCAL", Version: 1}
				if services[svc.ID] || svc != want || institutions[svc.Institution] == "" {
					t.Errorf("got %+v, twice or without its institution", svc)
				}
				services[svc.ID] = true
			}
			if q.After = page.Next; q.After == "" {
				break
			}
		}
		if len(services) != 12 || institutions["00000000002"] != "Comune 2" {
			t.Errorf("limit %d: %d services of %v", limit, len(services), institutions)
		}
	}
}
