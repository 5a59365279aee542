package saml

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/beevik/etree"
)

func is(e *etree.Element, space, tag string) bool {
	return e.Tag == tag && e.NamespaceURI() == space
}

// children are e's children of one name.
func children(e *etree.Element, space, tag string) []*etree.Element {
	var found []*etree.Element
	for _, child := range e.ChildElements() {
		if is(child, space, tag) {
			found = append(found, child)
		}
	}
	return found
}

// one is e's only child of a name.
func one(e *etree.Element, space, tag string) (*etree.Element, error) {
	found := children(e, space, tag)
	if len(found) != 1 {
		return nil, fmt.Errorf("%d elements %s in %s, want 1", len(found), tag, e.Tag)
	}
	return found[0], nil
}

// text is what an element holds, if that is one run of text: nothing beside it could be skipped by
// one reader and seen by another. White space around it is dropped.
func text(e *etree.Element) (string, error) {
	if len(e.Child) > 1 {
		return "", fmt.Errorf("%s holds more than text", e.Tag)
	}
	if len(e.Child) == 1 {
		data, ok := e.Child[0].(*etree.CharData)
		if !ok {
			return "", fmt.Errorf("%s holds more than text", e.Tag)
		}
		if value := strings.Trim(data.Data, " \t\r\n"); value != "" {
			return value, nil
		}
	}
	return "", fmt.Errorf("%s is empty", e.Tag)
}

// textOf is the text of e's only child of a name.
func textOf(e *etree.Element, space, tag string) (string, error) {
	child, err := one(e, space, tag)
	if err != nil {
		return "", err
	}
	return text(child)
}

// attribute is that of no namespace; "" if there is none.
func attribute(e *etree.Element, name string) string {
	for _, a := range e.Attr {
		if a.Space == "" && a.Key == name {
			return a.Value
		}
	}
	return ""
}

// instantOf reads an attribute that is a point in time: one with its zone, since without one a time
// is some other.
func instantOf(e *etree.Element, name string) (time.Time, error) {
	value := attribute(e, name)
	if value == "" {
		return time.Time{}, fmt.Errorf("%s of %s is missing", name, e.Tag)
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s of %s is no time with its zone", name, e.Tag)
	}
	return t, nil
}

// every visits e and all elements below it.
func every(e *etree.Element, visit func(*etree.Element) error) error {
	if err := visit(e); err != nil {
		return err
	}
	for _, child := range e.ChildElements() {
		if err := every(child, visit); err != nil {
			return err
		}
	}
	return nil
}

// placed holds what a signature is about to its one place: one Assertion at most, in the Response
// itself; signatures in those two only; identifiers that stand for one element each. Whoever moves
// a signed element elsewhere and puts another in its place breaks one of them.
func placed(response *etree.Element) error {
	seen := map[string]bool{}
	assertions := 0
	return every(response, func(e *etree.Element) error {
		parent := e.Parent()
		switch {
		case strings.HasPrefix(e.Tag, "Encrypted"):
			return fmt.Errorf("%s: nothing is to be encrypted", e.Tag)
		case e.Tag == "Response" && e != response:
			return errors.New("a Response within a Response")
		case e.Tag == "Assertion":
			if assertions++; assertions > 1 {
				return errors.New("more than one Assertion")
			}
			if parent != response || !is(e, nsAssertion, "Assertion") {
				return errors.New("an Assertion out of its place")
			}
		case e.Tag == "Signature":
			if parent != response && (parent == nil || parent.Parent() != response ||
				!is(parent, nsAssertion, "Assertion")) {
				return errors.New("a Signature out of its place")
			}
		}
		for _, a := range e.Attr {
			if strings.EqualFold(a.Key, "id") {
				if seen[a.Value] {
					return errors.New("two elements of one ID")
				}
				seen[a.Value] = true
			}
		}
		return nil
	})
}
