package web

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/staffetta/staffetta/wire"
)

// What may be left of somebody else's markdown: elements with their attributes.
var allowed = map[string][]string{"p": nil, "br": nil, "hr": nil, "h2": nil, "h3": nil, "h4": nil,
	"h5": nil, "h6": nil, "strong": nil, "em": nil, "del": nil, "ul": nil, "ol": {"start"},
	"li": nil, "blockquote": nil, "pre": nil, "code": {"class"}, "a": {"href"}}

var (
	allowedHref  = regexp.MustCompile(`^(https?://[A-Za-z0-9]|mailto:[^?]|tel:[^?])`)
	allowedClass = regexp.MustCompile(`^language-`)
)

// checkBody parses what is left of a markdown text and reports everything that is not allowed, and
// links that do not say where they lead.
func checkBody(t *testing.T, body string) {
	t.Helper()
	root := &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div}
	nodes, err := html.ParseFragment(strings.NewReader(body), root)
	if err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	var visit func(n *html.Node)
	visit = func(n *html.Node) {
		if n.Type == html.CommentNode || n.Type == html.DoctypeNode {
			t.Errorf("%q has a comment", body)
		}
		if n.Type == html.ElementNode {
			attributes, ok := allowed[n.Data]
			if !ok {
				t.Errorf("%q has the element %s", body, n.Data)
			}
			for _, a := range n.Attr {
				if !slices.Contains(attributes, a.Key) ||
					a.Key == "href" && !allowedHref.MatchString(a.Val) ||
					a.Key == "class" && !allowedClass.MatchString(a.Val) {
					t.Errorf("%q has %s=%q of %s", body, a.Key, a.Val, n.Data)
				}
				if a.Key == "href" {
					checkShown(t, n, a.Val)
				}
			}
		}
		for child := n.FirstChild; child != nil; child = child.NextSibling {
			visit(child)
		}
	}
	for _, n := range nodes {
		visit(n)
	}
}

// checkShown holds a link against its text: whose host it leads to stands at its end.
func checkShown(t *testing.T, n *html.Node, href string) {
	t.Helper()
	u, err := url.Parse(href)
	if err != nil {
		t.Errorf("%q is no address", href)
		return
	}
	if text := strings.ToLower(textOf(n)); u.Host != "" && !strings.Contains(text, strings.ToLower(u.Host)) {
		t.Errorf("the link to %q says %q", href, text)
	}
}

func textOf(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	var all strings.Builder
	for child := n.FirstChild; child != nil; child = child.NextSibling {
		all.WriteString(textOf(child))
	}
	return all.String()
}

// hostile are texts by which institutions, or whoever has their keys, might try something.
var hostile = []string{
	"<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "a <b onclick=x>b</b>",
	"[x](javascript:alert(1))", "[x](JaVaScRiPt:alert(1))", "[x](  javascript:alert(1))",
	"[x](java\nscript:alert(1))", "[x](&#106;avascript:alert(1))", "[x](data:text/html,x)",
	"[x](vbscript:x)", "[x](file:///etc/passwd)", "[x](//evil.example)", "[x](/sign-out)",
	"[x](https://bank.example@evil.example/)", "[x](https://bank.example\\@evil.example/)",
	"[https://bank.example](https://evil.example)", "[x](https://evil.example \"onclick=x\")",
	"![x](https://evil.example/pixel.png)", "![x](javascript:alert(1))",
	"[![x](https://evil.example/a.png)](https://evil.example/b)",
	"<javascript:alert(1)>", "<https://evil.example/\">", "<x@evil.example>", "www.evil.example",
	"[x]: javascript:alert(1)\n\n[x]", "[x][y]\n\n[y]: https://evil.example/<script>",
	"<!-- x --> <!DOCTYPE x> <?php x ?> <![CDATA[x]]>", "<div>\n<iframe src=x>\n</div>",
	"```<script>\nx\n```", "``` \"onclick=x\nx\n```", "`</code><script>`", "~~~a b\" c\n~~~",
	"# x {onclick=alert(1)}", "x\u202egnp.exe", "[\u202emoc.knab](https://evil.example)",
	"\x00<script>", "\xff\xfe<script>", "&lt;script&gt;", "&#60;script&#62;", "<sc\x00ript>",
	strings.Repeat(">", 3000) + "x", strings.Repeat("* ", 2000) + "x", strings.Repeat("[", 5000),
	strings.Repeat("![", 2000) + strings.Repeat("](x)", 2000), strings.Repeat("`", 5000),
	"1. a\n" + strings.Repeat(" ", 40) + "<svg onload=x>", "<svg/onload=alert(1)>", "<a\nhref=x>",
	"[x](mailto:a@b.it?bcc=c@d.it%0d%0aSubject:x)", "[x](tel:+39)", "[x](ioit://main/wallet)",
	"[x](https://пример.example)", "[x](http://[::1]/)", "[x](https://evil.example:443/)",
	"[x](https:evil.example)", "[x](https:///evil.example)", "[x](HTTPS://EVIL.example)",
	"| a |\n|---|\n| <b> |", "***~~<x>~~***", "[a](<https://e.example/ x>)", "\\<script>",
}

func TestHostileMarkdown(t *testing.T) {
	for _, text := range hostile {
		checkBody(t, string(renderMarkdown(text)))
	}
	for text, want := range map[string]string{
		"[Comune](https://www.comune.prova.it/a)": `<p><a href="https://www.comune.prova.it/a">Comune (www.comune.prova.it)</a></p>`,
		"[x](javascript:alert(1))":                `<p>x</p>`,
		"![uno scudo](https://evil.example/a)":    `<p>uno scudo</p>`,
		"# Titolo":                                `<h2>Titolo</h2>`,
		"<b>x</b>":                                `<p>&lt;b&gt;x&lt;/b&gt;</p>`,
		"<a@b.it>":                                `<p><a href="mailto:a@b.it">a@b.it</a></p>`,
	} {
		if got := strings.TrimSpace(string(renderMarkdown(text))); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, text := range hostile {
		f.Add(text)
		f.Add("---\nit:\n  cta_1:\n    text: \"" + text + "\"\n    action: \"" + text + "\"\n---\n" + text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 10_000 { // the contract's bound
			return
		}
		body, buttons := cutButtons(text, "it")
		checkBody(t, string(renderMarkdown(body)))
		checkButtons(t, buttons)
	})
}

func checkButtons(t *testing.T, buttons []button) {
	t.Helper()
	if len(buttons) > 2 {
		t.Errorf("%d buttons", len(buttons))
	}
	for _, b := range buttons {
		u, err := url.Parse(b.Action)
		if err != nil || !allowedHref.MatchString(b.Action) || b.Text == "" || b.Host == "" ||
			u.Host != "" && !strings.EqualFold(u.Host, b.Host) || plain(b.Text) != b.Text {
			t.Errorf("button %+v", b)
		}
	}
}

func TestButtons(t *testing.T) {
	front := func(text, action string) string {
		return "---\nit:\n  cta_1:\n    text: \"" + text + "\"\n    action: \"" + action + "\"\n---\nIl testo."
	}
	for action, want := range map[string]button{
		"https://www.comune.prova.it/a":              {"Vai", "https://www.comune.prova.it/a", "www.comune.prova.it", true},
		"ioHandledLink://http://www.comune.prova.it": {"Vai", "http://www.comune.prova.it", "www.comune.prova.it", true},
		"iohandledlink://tel:+3906":                  {"Vai", "tel:+3906", "+3906", true},
		"mailto:urp@comune.prova.it?subject=x":       {"Vai", "mailto:urp@comune.prova.it?subject=x", "urp@comune.prova.it", true},
		"ioit://main/wallet":                         {},
		"iosso://https://a.it":                       {},
		"sms:+39":                                    {},
		"copy:x":                                     {},
		"javascript:alert(1)":                        {},
		"ioHandledLink://javascript:x":               {},
		"data:text/html,x":                           {},
		"https://a@evil.example":                     {},
		"/sign-out":                                  {},
		"https://" + strings.Repeat("a", addressMax): {},
		"mailto:a@b.it?bcc=x%0d%0aBcc:y":             {},
	} {
		body, got := cutButtons(front("Vai", action), "de")
		checkButtons(t, got)
		if body != "Il testo." || (len(got) == 1) != (want != button{}) || len(got) == 1 && got[0] != want {
			t.Errorf("%q: got %+v and %q, want %+v", action, got, body, want)
		}
	}
	for name, text := range map[string]string{
		"no text":        front("", "https://a.it"),
		"a long one":     front(strings.Repeat("x", buttonTextMax+1), "https://a.it"),
		"no YAML":        "---\n\tit: [\n---\nx",
		"another type":   "---\nit: 1\n---\nx",
		"a bomb":         "---\na: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a]\nit: *b\n---\nx",
		"too large":      "---\nit: " + strings.Repeat("x", frontMax) + "\n---\nx",
		"no end":         "---\nit:\n x",
		"not at the top": " ---\nit:\n---\nx",
	} {
		if _, got := cutButtons(text, "it"); got != nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	two := "---\r\nit:\r\n  cta_1: {text: Uno, action: 'https://a.it'}\r\n  cta_2: {text: Due, action: 'tel:1'}\r\n" +
		"en:\r\n  cta_1: {text: One, action: 'https://a.it/en'}\r\n---\r\n\r\nx"
	if _, got := cutButtons(two, "it"); len(got) != 2 || got[1].Text != "Due" || got[1].Primary {
		t.Errorf("got %+v", got)
	}
	if _, got := cutButtons(two, "en"); len(got) != 1 || got[0].Text != "One" {
		t.Errorf("got %+v", got)
	}
}

// TestHostileNames: what institutions say of themselves is text, wherever it is shown.
func TestHostileNames(t *testing.T) {
	for _, text := range hostile[:20] {
		text = strings.ToValidUTF8(text, "?")
		b := entered(t)
		b.fed.sender.Service.Name, b.fed.sender.Institution.Name = text, text
		id := b.fed.deliver(wire.Content{Subject: text, Markdown: text, DueDate: &wire.Date{At: 1},
			Payment: &wire.Payment{Amount: 1, NoticeNumber: text, Payee: wire.InstitutionID(text)}})
		for _, path := range []string{"/inbox", "/inbox/" + id.String(),
			"/inbox?view=" + url.QueryEscape(text), "/inbox?before=" + url.QueryEscape(text),
			"/?ended=" + url.QueryEscape(text), "/help?" + url.QueryEscape(text)} {
			checkPage(t, path, b.want(b.get(path), 200).body)
		}
	}
}

// checkPage parses a page of ours and reports what only an attack brings in: scripts that are not
// ours, handlers, images, frames, forms and links that leave the site unmarked.
func checkPage(t *testing.T, path, page string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var visit func(n *html.Node)
	visit = func(n *html.Node) {
		if n.Type == html.ElementNode {
			if slices.Contains([]string{"img", "iframe", "svg", "object", "embed", "base", "style"}, n.Data) {
				t.Errorf("%s has the element %s", path, n.Data)
			}
			for _, a := range n.Attr {
				bad := strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "srcdoc" ||
					n.Data == "script" && a.Key == "src" && !strings.HasPrefix(a.Val, "/assets/") ||
					a.Key == "action" && !strings.HasPrefix(a.Val, "/") ||
					a.Key == "href" && !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") &&
						!allowedHref.MatchString(a.Val)
				if bad {
					t.Errorf("%s: %s has %s=%q", path, n.Data, a.Key, a.Val)
				}
			}
			if n.Data == "script" && textOf(n) != "" {
				t.Errorf("%s has a script within", path)
			}
			if n.Data == "title" && strings.Contains(textOf(n), "evil") {
				t.Errorf("%s: the title says %q", path, textOf(n))
			}
		}
		for child := n.FirstChild; child != nil; child = child.NextSibling {
			visit(child)
		}
	}
	visit(doc)
}

// TestCalendar: the file of a due date, and what a subject cannot add to it.
func TestCalendar(t *testing.T) {
	b := entered(t)
	id := b.fed.deliver(wire.Content{Subject: "Rata; seconda, parte\r\nEND:VEVENT\nATTENDEE:x \\ " +
		strings.Repeat("è", 60), DueDate: &wire.Date{At: 1798671599000}}) // 2026-12-30T22:59:59Z
	got := b.want(b.get("/inbox/"+id.String()+"/due.ics"), 200)
	if got.Header.Get("Content-Type") != "text/calendar; charset=utf-8" ||
		!strings.HasPrefix(got.Header.Get("Content-Disposition"), "attachment;") {
		t.Errorf("headers %v", got.Header)
	}
	if !strings.HasSuffix(got.body, "\r\n") || strings.Count(got.body, "\n") != strings.Count(got.body, "\r\n") {
		t.Error("a line does not end as it must")
	}
	for line := range strings.SplitSeq(got.body, "\r\n") {
		if len(line) > lineBytesMax {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	whole := strings.ReplaceAll(got.body, "\r\n ", "")
	for line, want := range map[string]int{"DTSTART;VALUE=DATE:20261230\r\n": 1,
		"DTEND;VALUE=DATE:20261231\r\n": 1, "\r\nEND:VEVENT\r\n": 1, "\r\nATTENDEE": 0,
		"UID:" + id.String() + "@staffetta\r\n":                       1,
		`SUMMARY:Rata\; seconda\, parte\nEND:VEVENT\nATTENDEE:x \\ è`: 1} {
		if got := strings.Count(whole, line); got != want {
			t.Errorf("%q is there %d times, want %d", line, got, want)
		}
	}
	none := b.fed.deliver(wire.Content{Subject: "Un avviso qualunque"})
	b.want(b.get("/inbox/"+none.String()+"/due.ics"), 404)
}
