package web

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/staffetta/staffetta/internal/asof"
	"github.com/staffetta/staffetta/wire"
)

// pages are the templates by the names of their files, each within the layout.
type pages map[string]*template.Template

func parsePages() (pages, error) {
	layout, err := template.ParseFS(files, "templates/layout.html")
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	entries, err := files.ReadDir("templates")
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	all := pages{}
	for _, e := range entries {
		name, _ := strings.CutSuffix(e.Name(), ".html")
		if name == "layout" {
			continue
		}
		t, err := layout.Clone()
		if err == nil {
			t, err = t.ParseFS(files, "templates/"+e.Name())
		}
		if err != nil {
			return nil, fmt.Errorf("web: %w", err)
		}
		all[name] = t
	}
	return all, nil
}

// page is what every page shows. The data of a page embeds it.
type page struct {
	Lang     *lang
	Langs    []*lang
	Title    string // names nobody and nothing of a citizen: it ends up in histories
	Assets   *assets
	SignedIn bool
	Nav      []navItem
	Back     string    // this page's address, for the choice of a language; "": none
	Notice   string    // what the last form did
	AsOf     wire.Time // of when the page is; 0: of now
	Faults   []fault
	Index    bool // false: search engines are to leave the page out
	Contact  string
}

// navItem is an entry of the menu.
type navItem struct {
	Path, Text string
	Here       bool
}

// fault is a field that was filled in wrongly: where it is, and what is wrong.
type fault struct{ Field, Text string }

// page makes the frame of a page with a title's key.
func (c *call) page(title string) *page {
	p := &page{Lang: c.lang, Langs: langs, Title: c.lang.text(title), Assets: c.web.assets,
		SignedIn: c.profile.FiscalCode != "" && c.profile.AcceptedTos != 0,
		Contact:  c.web.cfg.Contact}
	if at := asof.From(c.R.Context()).Time(); !at.IsZero() {
		p.AsOf = wire.TimeOf(at)
	}
	if c.R.Method == http.MethodGet {
		p.Back = c.R.URL.RequestURI()
	}
	if !p.SignedIn {
		return p
	}
	for _, item := range menu {
		p.Nav = append(p.Nav, navItem{item.path, c.lang.text(item.text),
			c.Op != nil && (c.Op.Path == item.path || strings.HasPrefix(c.Op.Path, item.path+"/"))})
	}
	return p
}

// menu is the menu of who is signed in.
var menu = []struct{ path, text string }{
	{pathInbox, "nav.inbox"},
	{pathServices, "nav.services"},
	{pathProfile, "nav.profile"},
	{pathDevices, "nav.devices"},
	{pathHelp, "nav.help"},
}

// T is a text of the page's language, see catalogue.
func (p *page) T(key string, pairs ...any) string { return p.Lang.text(key, pairs...) }

// Day and Minute write an instant, ISO gives it to machines, Euro writes eurocent.
func (p *page) Day(t wire.Time) string { return p.Lang.format.day(t.Std()) }

// Minute writes an instant with its time of day.
func (p *page) Minute(t wire.Time) string { return p.Lang.format.minute(t.Std()) }

// ISO is an instant as the attribute of a time element.
func (p *page) ISO(t wire.Time) string { return t.Std().In(rome).Format(time.RFC3339) }

// Euro writes an amount.
func (p *page) Euro(cents uint64) string { return p.Lang.format.euro(cents) }

// write answers with a page.
func (c *call) write(status int, name string, data any) error {
	buf, _ := c.web.buffers.Get().(*bytes.Buffer)
	if buf == nil {
		buf = new(bytes.Buffer)
	}
	defer c.web.buffers.Put(buf)
	buf.Reset()
	if err := c.web.pages[name].ExecuteTemplate(buf, "layout", data); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	h := c.W.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", c.lang.Code)
	h.Set("Content-Length", strconv.Itoa(buf.Len()))
	c.W.WriteHeader(status)
	c.W.Write(buf.Bytes()) // a client that left is nobody to tell
	return nil
}

// show answers with a page of a success.
func (c *call) show(name string, data any) error { return c.write(http.StatusOK, name, data) }

// plain is a text of others without what changes how the text around it reads: control characters,
// and those that turn the direction of writing.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069,
			r == 0x200e, r == 0x200f, r == 0x061c, r == 0xfeff:
			return -1
		}
		return r
	}, s)
}
