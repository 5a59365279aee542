package load

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strconv"
	"sync"

	crand "crypto/rand"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/synthetic"
)

// corpus makes the requests of a run. It is safe for concurrent use.
type corpus struct {
	head    []byte // of every request, up to what differs
	codes   []fiscalcode.Code
	unknown float64
	keys    bool
	run     [8]byte // makes the idempotency keys those of this run alone

	mu        sync.Mutex
	messages  *synthetic.Messages
	strangers *synthetic.Citizens
	rng       *rand.Rand
	made      uint64
	body      []byte
}

// strangersSeed keeps the citizens that nobody knows apart from those that a federation was
// provisioned with.
const strangersSeed = 0x73747261_6e676572

func newCorpus(c *Config) *corpus {
	median := c.MedianBytes
	if median == 0 {
		median = synthetic.MedianBytes
	}
	out := &corpus{codes: c.Codes, unknown: c.UnknownPercent / 100, keys: c.Keys,
		messages:  synthetic.NewMessagesOf(c.Seed, median),
		strangers: synthetic.NewCitizens(c.Seed ^ strangersSeed),
		rng:       rand.New(rand.NewPCG(c.Seed, 1))}
	out.head = append(out.head, "Ocp-Apim-Subscription-Key: "+c.Key+
		"\r\nContent-Type: application/json\r\n"...)
	crand.Read(out.run[:]) // never fails
	return out
}

// next appends a request, behind its request line and host, and returns its body's size.
func (c *corpus) next(dst []byte) ([]byte, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var code fiscalcode.Code
	if c.unknown > 0 && c.rng.Float64() < c.unknown {
		code = c.strangers.Next().FiscalCode
	} else {
		code = c.codes[c.rng.IntN(len(c.codes))]
	}
	m := c.messages.Next()
	c.body = m.AppendJSON(c.body[:0], code)
	c.made++
	dst = append(dst, c.head...)
	if c.keys {
		dst = append(dst, "Idempotency-Key: "...)
		dst = hex.AppendEncode(dst, c.run[:])
		dst = hex.AppendEncode(dst, binary.BigEndian.AppendUint64(nil, c.made))
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(c.body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, c.body...), len(c.body)
}
