package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// assets are the style, the script and the fonts. Each is served under a name with a part of its
// hash, and may be kept for ever: another content has another name.
type assets struct {
	byPath map[string]asset
	Style  string // paths
	Script string
	Icon   string
	Fonts  []string // those of the first screen
}

type asset struct {
	content []byte
	kind    string
}

var assetKinds = map[string]string{".css": "text/css; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".woff2": "font/woff2", ".svg": "image/svg+xml"}

// newAssets reads the files. The style names the fonts, and is made of two files: what is left of
// Bootstrap Italia, and what is ours.
func newAssets() (*assets, error) {
	a := &assets{byPath: map[string]asset{}}
	var style []byte
	for _, name := range []string{"bootstrap-italia.css", "staffetta.css"} {
		b, err := files.ReadFile("assets/" + name)
		if err != nil {
			return nil, err
		}
		style = append(style, b...)
	}
	for _, name := range []string{"titillium-web-400.woff2", "titillium-web-600.woff2"} {
		b, err := files.ReadFile("assets/" + name)
		if err != nil {
			return nil, err
		}
		at := a.add(name, b)
		style = bytes.ReplaceAll(style, []byte("url("+name+")"), []byte("url("+at+")"))
		a.Fonts = append(a.Fonts, at)
	}
	a.Style = a.add("style.css", style)
	for name, at := range map[string]*string{"staffetta.js": &a.Script, "icon.svg": &a.Icon} {
		b, err := files.ReadFile("assets/" + name)
		if err != nil {
			return nil, err
		}
		*at = a.add(name, b)
	}
	return a, nil
}

func (a *assets) add(name string, content []byte) string {
	sum := sha256.Sum256(content)
	kind := path.Ext(name)
	at := "/assets/" + strings.TrimSuffix(name, kind) + "-" + hex.EncodeToString(sum[:6]) + kind
	a.byPath[at] = asset{content, assetKinds[kind]}
	return at
}

// register serves the assets on mux.
func (a *assets) register(mux *http.ServeMux) {
	for at, file := range a.byPath {
		mux.HandleFunc("GET "+at, func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Type", file.kind)
			h.Set("Content-Length", strconv.Itoa(len(file.content)))
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
			h.Set("Cross-Origin-Resource-Policy", "same-origin")
			w.Write(file.content)
		})
	}
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", a.Icon)
		w.WriteHeader(http.StatusFound)
	})
}
