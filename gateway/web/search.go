package web

import (
	"net/http"
	"strings"

	"github.com/staffetta/staffetta/wire"
)

// searchPage is what was looked for, and what was found.
type searchPage struct {
	*page
	Words  string
	Asked  bool
	Items  []inboxItem
	Before string // the id below which the search goes on; "": it is at its end
}

func (c *call) searchForm() error {
	return c.show("search", searchPage{page: c.page("search.title")})
}

// search looks for messages. The words are posted and the answer is the page, without a redirect:
// in an address they would be in histories and logs.
func (c *call) search() error {
	form, err := c.form()
	if err != nil {
		return err
	}
	p := searchPage{page: c.page("search.title"), Asked: true,
		Words: strings.Join(strings.Fields(plain(form.Get("words"))), " ")}
	if n := len(strings.Fields(p.Words)); n == 0 || n > wire.SearchWordsMax ||
		len(p.Words) > wire.SearchBytesMax {
		p.Asked, p.Faults = false, []fault{{"words", c.lang.text("search.wrong")}}
		return c.write(http.StatusUnprocessableEntity, "search", p)
	}
	req := &wire.SearchInbox{Token: c.token, Query: p.Words, Size: pageSize}
	if id, err := wire.ParseMessageID(form.Get("before")); err == nil {
		req.Before = id
	}
	var got wire.InboxPage
	if err := c.ask(wire.MethodSearchInbox, req, &got); err != nil {
		return err
	}
	p.Items = c.itemsOf(got.Items, "")
	if next := got.Next(); !next.IsZero() {
		p.Before = next.String()
	}
	return c.show("search", p)
}
