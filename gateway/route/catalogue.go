package route

import (
	"context"
	"sync"
	"time"

	"github.com/staffetta/staffetta/wire"
)

const (
	// catalogueEvery is how often the catalogue is fetched anew while services keep changing.
	catalogueEvery = 2 * time.Second
	// catalogueWait bounds a fetch of it: as many pages as there may be, each within milliseconds.
	catalogueWait = 30 * time.Second
)

// catalogue keeps the list of services that citizens look through. It is fetched by who asks for
// it, when the feed has named a service or an institution since, and is whole or not at all. Safe
// for concurrent use.
type catalogue struct {
	// Guarded by mu.
	mu       sync.Mutex
	list     *wire.CataloguePage // nil: never fetched
	asOf     uint64              // list has what the feed said up to here
	said     uint64              // the last index at which the feed named anything of it
	fetched  time.Time           // the last try
	fetching chan struct{}       // closed when the fetch under way ends; nil: none is
	err      error               // of the last try
}

// changed notes that the feed said something of services or institutions at index.
func (c *catalogue) changed(index uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = max(c.said, index)
}

// begin notes that the feed begins anew: what it said before may have been lost.
func (c *catalogue) begin(index uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said, c.asOf = index, 0
}

// Catalogue returns all services as a list shows them, with their institutions, as of a few seconds
// ago at most while a home node answers: shared, not to be changed, and the same value as long as
// nothing has changed.
func (r *Router) Catalogue(ctx context.Context) (*wire.CataloguePage, error) {
	c := &r.catalogue
	for {
		c.mu.Lock()
		list, wait := c.list, c.fetching
		switch {
		case list != nil && (c.asOf >= c.said || wait != nil ||
			time.Since(c.fetched) < catalogueEvery):
			c.mu.Unlock()
			return list, nil
		case wait == nil:
			c.fetching, c.fetched = make(chan struct{}), time.Now()
			c.mu.Unlock()
			return r.fetchCatalogue(ctx)
		}
		c.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, wire.Errorf(wire.Unavailable, "the catalogue was not fetched in time")
		}
		c.mu.Lock()
		list, err := c.list, c.err
		c.mu.Unlock()
		if list == nil && err != nil {
			return nil, err
		}
	}
}

// fetchCatalogue fetches it, and keeps what there was where that fails.
func (r *Router) fetchCatalogue(ctx context.Context) (*wire.CataloguePage, error) {
	c := &r.catalogue
	// Others wait for it, too: it does not end with who asked first.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), catalogueWait)
	defer cancel()
	list, err := r.readCatalogue(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.fetching)
	c.fetching, c.err = nil, err
	if err == nil {
		c.list, c.asOf = list, list.Index
	}
	if c.list == nil {
		return nil, err
	}
	return c.list, nil
}

func (r *Router) readCatalogue(ctx context.Context) (*wire.CataloguePage, error) {
	if _, err := r.known(); err != nil {
		return nil, err
	}
	all := new(wire.CataloguePage)
	named := map[wire.InstitutionID]bool{}
	for q := (wire.ListCatalogue{}); ; {
		answer, err := r.home.call(ctx, wire.MethodCatalogue, wire.Encode(&q))
		if err != nil {
			return nil, err
		}
		var page wire.CataloguePage
		if err := wire.Decode(answer, &page); err != nil {
			return nil, err
		}
		// Pages may come from several nodes: the list is as new as the oldest.
		if q.After == "" || page.Index < all.Index {
			all.Index = page.Index
		}
		all.Services = append(all.Services, page.Services...)
		for _, i := range page.Institutions {
			if !named[i.ID] {
				named[i.ID] = true
				all.Institutions = append(all.Institutions, i)
			}
		}
		switch {
		case page.Next == "":
			return all, nil
		case page.Next <= q.After || len(all.Services) > wire.CatalogueMax:
			return nil, wire.Errorf(wire.Overloaded, "the catalogue has no end within %d services",
				wire.CatalogueMax)
		}
		q.After = page.Next
	}
}
