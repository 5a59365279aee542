package web

import (
	"bytes"
	"html/template"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"
)

// depthMax bounds what stands within each other, lists and quotations above all: browsers stop at
// some depth, and no text for people needs this one.
const depthMax = 40

// markdown reads and writes what institutions write.
var markdown = goldmark.New(
	goldmark.WithExtensions(extension.NewLinkify(), extension.Strikethrough),
	goldmark.WithRendererOptions(html.WithXHTML()),
)

// renderMarkdown renders a text that somebody else wrote. Raw HTML is text, an image is its
// description, a link that safeAddress refuses is its text, and any other shows whose host it leads
// to. A text that nests too deep is shown as it was written.
func renderMarkdown(s string) template.HTML {
	source := []byte(plain(strings.ToValidUTF8(s, "\ufffd")))
	doc := markdown.Parser().Parse(text.NewReader(source))
	var out bytes.Buffer
	if !defuse(doc, source) || markdown.Renderer().Render(&out, source, doc) != nil {
		return template.HTML("<pre>" + template.HTMLEscapeString(string(source)) + "</pre>")
	}
	return template.HTML(out.String())
}

// defuse changes a parsed text into one that is safe to render. ok is false for one that nests too
// deep, which is left half done.
func defuse(doc ast.Node, source []byte) (ok bool) {
	var nodes []ast.Node // changing a tree while it is walked loses parts of it
	depth := 0
	ok = true
	ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			depth--
			return ast.WalkContinue, nil
		}
		if depth++; depth > depthMax {
			ok = false
			return ast.WalkStop, nil
		}
		nodes = append(nodes, n)
		return ast.WalkContinue, nil
	})
	for _, n := range nodes {
		defuseNode(n, source)
	}
	return ok
}

// defuseNode replaces a node by what is left of it.
func defuseNode(n ast.Node, source []byte) {
	switch n := n.(type) {
	case *ast.Heading: // the page's own heading is the first
		n.Level = min(n.Level+1, 6)
	case *ast.RawHTML:
		replaceByText(n, n.Segments.Value(source))
	case *ast.HTMLBlock:
		p := ast.NewParagraph()
		written := n.Lines().Value(source)
		if n.HasClosure() {
			written = append(written, n.ClosureLine.Value(source)...)
		}
		p.AppendChild(p, ast.NewString(written))
		n.Parent().ReplaceChild(n.Parent(), n, p)
	case *ast.Image:
		unwrap(n)
	case *ast.AutoLink:
		address := string(n.URL(source))
		if n.AutoLinkType == ast.AutoLinkEmail {
			address = "mailto:" + address
		}
		if _, _, ok := safeAddress(address); !ok {
			replaceByText(n, n.Label(source))
		}
	case *ast.Link:
		address, shown, ok := safeAddress(string(n.Destination))
		if !ok {
			unwrap(n)
			return
		}
		n.Destination, n.Title = []byte(address), nil
		n.AppendChild(n, ast.NewString([]byte(" ("+shown+")")))
	}
}

// replaceByText puts a text in the place of a node. A string node is escaped when it is rendered.
func replaceByText(n ast.Node, s []byte) {
	n.Parent().ReplaceChild(n.Parent(), n, ast.NewString(s))
}

// unwrap puts a node's children in its place.
func unwrap(n ast.Node) {
	parent := n.Parent()
	for child := n.FirstChild(); child != nil; {
		next := child.NextSibling()
		parent.InsertBefore(parent, n, child)
		child = next
	}
	parent.RemoveChild(parent, n)
}
