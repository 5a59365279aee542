package web

import (
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/text/language"

	"github.com/staffetta/staffetta/wire"
)

// lang is a language that the pages have.
type lang struct {
	Code    string // as in HTML
	Name    string // its own
	Profile string // as in a profile
	texts   catalogue
	tag     language.Tag
	format  format
}

// langs are the languages, Italian first: it is what a page has when nothing else is wanted. They
// are the contract's, and Slovene, which is official in Friuli-Venezia Giulia.
var langs = mustLangs()

func mustLangs() []*lang {
	all := []*lang{
		{Code: "it", Name: "Italiano", Profile: "it_IT"},
		{Code: "en", Name: "English", Profile: "en_GB"},
		{Code: "de", Name: "Deutsch", Profile: "de_DE"},
		{Code: "fr", Name: "Français", Profile: "fr_FR"},
		{Code: "sl", Name: "Slovenščina", Profile: "sl_SI"},
		{Code: "es", Name: "Español", Profile: "es_ES"},
	}
	for _, l := range all {
		var err error
		if l.texts, err = readCatalogue("text/" + l.Code + ".json"); err != nil {
			panic(fmt.Sprintf("web: texts of %s: %v", l.Code, err)) // files of the program
		}
		l.tag, l.format = language.MustParse(l.Code), formats[l.Code]
	}
	return all
}

var matcher = func() language.Matcher {
	tags := make([]language.Tag, len(langs))
	for i, l := range langs {
		tags[i] = l.tag
	}
	return language.NewMatcher(tags)
}()

const (
	// langCookie remembers what was chosen in this browser.
	langCookie = "__Host-staffetta-language"
	// acceptMax bounds an Accept-Language that is looked at.
	acceptMax = 256
)

// langNamed returns the language with a code.
func langNamed(code string) (*lang, bool) {
	for _, l := range langs {
		if l.Code == code {
			return l, true
		}
	}
	return nil, false
}

// langOf is the language of a request's page: what was chosen in this browser, since that was the
// last word of whoever sits before it; else the first of the profile that there is; else what the
// browser asks for.
func langOf(r *http.Request, p *wire.Profile) *lang {
	if cookie, err := r.Cookie(langCookie); err == nil {
		if l, ok := langNamed(cookie.Value); ok {
			return l
		}
	}
	if p != nil {
		for _, wanted := range p.Languages {
			code, _, _ := strings.Cut(wanted, "_")
			if l, ok := langNamed(code); ok {
				return l
			}
		}
	}
	accept := r.Header.Get("Accept-Language")
	if len(accept) > acceptMax {
		return langs[0]
	}
	wanted, _, err := language.ParseAcceptLanguage(accept)
	if err != nil || len(wanted) == 0 {
		return langs[0]
	}
	_, i, confidence := matcher.Match(wanted...)
	if confidence == language.No {
		return langs[0]
	}
	return langs[i]
}

// setLanguage remembers the language for this browser, and returns to the page that asked.
func (c *call) setLanguage() error {
	form, err := c.form()
	if err != nil {
		return err
	}
	l, ok := langNamed(form.Get("language"))
	if !ok {
		return errForm
	}
	setLangCookie(c.W, l)
	return redirect(ownPath(form.Get("back")))
}

func setLangCookie(w http.ResponseWriter, l *lang) {
	http.SetCookie(w, &http.Cookie{Name: langCookie, Value: l.Code, Path: "/",
		MaxAge: 365 * 24 * 3600, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}
