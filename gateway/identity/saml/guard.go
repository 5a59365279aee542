package saml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/beevik/etree"
)

// The namespaces that are read.
const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"
	nsSignature = "http://www.w3.org/2000/09/xmldsig#"
	nsExclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
)

// shape is what a document is held to before anything is built of it.
type shape struct {
	bytes, elements, depth int
	// attributes bounds those of one element.
	attributes int
	// comments may stand in it: in metadata that people edit, never in what a provider asserts.
	comments bool
	// foreign elements, of namespaces that are not ours, may stand in it.
	foreign bool
}

var (
	// A signed answer of SPID has some 10 KB, 60 elements and a depth of 8. What is kept of a login
	// as evidence bounds it too: identity.DocumentsMax.
	answerShape = shape{bytes: 60 << 10, elements: 400, depth: 16, attributes: 24}
	// The registry of SPID describes a dozen providers in some 150 KB; CIE's is one of 10 KB.
	metadataShape = shape{bytes: 4 << 20, elements: 20000, depth: 24, attributes: 48,
		comments: true, foreign: true}
)

// declaration is the only form of an XML declaration that is read: in another encoding, what
// follows could mean something else to another reader.
var declaration = regexp.MustCompile(`^<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*` +
	`("1\.0"|'1\.0')([ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*("(?i:utf-8)"|'(?i:utf-8)'))?` +
	`([ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*("(yes|no)"|'(yes|no)'))?[ \t\r\n]*\?>`)

// read makes a tree of a document that has the shape. In well-formed XML "<!" and "<?" begin
// document types, entities, comments, CDATA and processing instructions, and nothing else: they are
// looked for in the bytes, so that no parser sees one. What is left means the same to all readers.
func (s *shape) read(text []byte) (*etree.Element, error) {
	switch {
	case len(text) > s.bytes:
		return nil, fmt.Errorf("%d bytes, at most %d", len(text), s.bytes)
	case !utf8.Valid(text):
		return nil, errors.New("not UTF-8")
	}
	text = bytes.TrimRight(text, " \t\r\n")
	body := text[len(declaration.Find(text)):]
	if bytes.Contains(body, []byte("<?")) {
		return nil, errors.New("a processing instruction, or an unknown XML declaration")
	}
	for rest := body; ; {
		_, after, found := bytes.Cut(rest, []byte("<!"))
		if !found {
			break
		}
		if !s.comments || !bytes.HasPrefix(after, []byte("--")) {
			return nil, errors.New("a document type, entity, comment or CDATA section")
		}
		rest = after
	}
	if err := s.walk(body); err != nil {
		return nil, err
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(body); err != nil {
		return nil, errors.New("not well-formed")
	}
	return doc.Root(), nil
}

// walk holds the document to the shape, token by token, in constant memory but for its depth.
func (s *shape) walk(body []byte) error {
	d := xml.NewDecoder(bytes.NewReader(body))
	elements, depth := 0, 0
	for {
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF) && elements > 0:
			return nil
		case err != nil:
			return errors.New("not well-formed")
		}
		switch token := token.(type) {
		case xml.StartElement:
			if elements++; elements > s.elements {
				return fmt.Errorf("more than %d elements", s.elements)
			}
			if depth == 0 && elements > 1 {
				return errors.New("two roots")
			}
			if depth++; depth > s.depth {
				return fmt.Errorf("deeper than %d elements", s.depth)
			}
			if err := s.element(&token); err != nil {
				return err
			}
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 0 && len(bytes.TrimSpace(token)) > 0 {
				return errors.New("text outside of the root")
			}
		}
	}
}

func (s *shape) element(e *xml.StartElement) error {
	if strings.Contains(e.Name.Local, ":") {
		return errors.New("an element's name with two colons")
	}
	switch e.Name.Space {
	case nsProtocol, nsAssertion, nsMetadata, nsSignature, nsExclusive:
	default:
		if !s.foreign {
			return errors.New("an element of a namespace that has no place here")
		}
	}
	if len(e.Attr) > s.attributes {
		return fmt.Errorf("an element with more than %d attributes", s.attributes)
	}
	for i, a := range e.Attr {
		if strings.Contains(a.Name.Local, ":") {
			return errors.New("an attribute's name with two colons")
		}
		for _, other := range e.Attr[:i] {
			if other.Name == a.Name {
				return errors.New("an attribute twice")
			}
		}
	}
	return nil
}
