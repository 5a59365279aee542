package measure

import (
	"math/rand/v2"
	"sync"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/synthetic"
)

// textsMax is how many texts a loop invents before it begins; then they come again, to other
// recipients. It is what internal/load does, for the same reason: inventing a message takes
// longer than sending it.
const textsMax = 8192

// Bodies makes the bodies of messages: for the same seed the texts that internal/load sends, in
// the same order, to recipients drawn at random. It is safe for concurrent use.
type Bodies struct {
	codes []fiscalcode.Code
	texts [][]byte // bodies without a recipient

	// Guarded by mu.
	mu   sync.Mutex
	rng  *rand.Rand
	made int
}

// NewBodies invents up to n texts, or as many as are needed for any number of messages when n is
// 0. Recipients are drawn from codes.
func NewBodies(seed uint64, n int64, codes []fiscalcode.Code) *Bodies {
	if n == 0 {
		n = textsMax
	}
	b := &Bodies{codes: codes, rng: rand.New(rand.NewPCG(seed, 1))}
	messages := synthetic.NewMessages(seed)
	for range min(n, textsMax) {
		m := messages.Next()
		b.texts = append(b.texts, m.AppendJSON(nil, ""))
	}
	return b
}

// Codes invents n citizens.
func Codes(n int) []fiscalcode.Code {
	citizens := synthetic.NewCitizens(1)
	codes := make([]fiscalcode.Code, n)
	for i := range codes {
		codes[i] = citizens.Next().FiscalCode
	}
	return codes
}

// Next makes n bodies as JSON. They are the caller's.
func (b *Bodies) Next(n int) [][]byte {
	bodies := make([][]byte, n)
	for i := range bodies {
		code, text := b.draw()
		body := make([]byte, 0, len(text)+64)
		body = append(body, `{"fiscal_code":"`...)
		body = append(body, code...)
		body = append(body, `",`...)
		bodies[i] = append(body, text[1:]...)
	}
	return bodies
}

func (b *Bodies) draw() (fiscalcode.Code, []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := b.texts[b.made%len(b.texts)]
	b.made++
	return b.codes[b.rng.IntN(len(b.codes))], text
}
