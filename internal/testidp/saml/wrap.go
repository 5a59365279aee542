package saml

import (
	"time"

	"github.com/beevik/etree"
)

// wrappings are the eight classic ways to wrap a signed element: the signature stays valid for what
// it is about, and a reader who looks elsewhere than the verifier did reads what was never signed.
// The first two are about a signed response, the others about a signed assertion.
var wrappings = []Fault{
	around("wrapped-1", func(response, original *etree.Element) {
		signatureIn(response).AddChild(original)
	}),
	around("wrapped-2", func(response, original *etree.Element) {
		response.InsertChildAt(signatureIn(response).Index(), original)
	}),
	wrapped("wrapped-3", func(response, evil, original *etree.Element) {
		evil.RemoveChild(signatureIn(evil))
		response.InsertChildAt(original.Index(), evil)
	}),
	wrapped("wrapped-4", func(response, evil, original *etree.Element) {
		evil.RemoveChild(signatureIn(evil))
		response.RemoveChild(original)
		evil.AddChild(original)
		response.AddChild(evil)
	}),
	wrapped("wrapped-5", func(response, evil, original *etree.Element) {
		original.RemoveChild(signatureIn(original))
		response.InsertChildAt(original.Index(), evil)
	}),
	wrapped("wrapped-6", func(response, evil, original *etree.Element) {
		response.RemoveChild(original)
		original.RemoveChild(signatureIn(original))
		signatureIn(evil).AddChild(original)
		response.AddChild(evil)
	}),
	wrapped("wrapped-7", func(response, evil, original *etree.Element) {
		evil.RemoveChild(signatureIn(evil))
		extensions := etree.NewElement("samlp:Extensions")
		extensions.AddChild(evil)
		response.InsertChildAt(original.Index(), extensions)
	}),
	wrapped("wrapped-8", func(response, evil, original *etree.Element) {
		response.RemoveChild(original)
		original.RemoveChild(signatureIn(original))
		signatureIn(evil).CreateElement("ds:Object").AddChild(original)
		response.AddChild(evil)
	}),
}

func signatureIn(e *etree.Element) *etree.Element { return e.FindElement("./Signature") }

// around wraps a signed response: evil answers under another ID and carries the original's
// signature; put places the original.
func around(name string, put func(response, original *etree.Element)) Fault {
	return Fault{Name: name, says: func(r *Response, _ time.Time) { r.SignResponse = true },
		tree: func(response *etree.Element) {
			original := response.Copy()
			original.RemoveChild(signatureIn(original))
			response.CreateAttr("ID", newID())
			impersonate(assertionOf(response))
			put(response, original)
		}}
}

// wrapped wraps a signed assertion beside an evil one of another ID.
func wrapped(name string, put func(response, evil, original *etree.Element)) Fault {
	return Fault{Name: name, tree: func(response *etree.Element) {
		original := assertionOf(response)
		evil := original.Copy()
		evil.CreateAttr("ID", newID())
		impersonate(evil)
		put(response, evil, original)
	}}
}
