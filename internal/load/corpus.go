package load

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/bits"
	"strconv"
	"sync"
	"sync/atomic"

	crand "crypto/rand"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/synthetic"
)

// bodiesMax is how many messages a run invents, as they are needed, some 12 MB; then their texts
// come again, in the same order. To invent one takes longer than to send it, and the generator
// shares the machine with what it measures. No block should hold a text twice, and compress better
// for it: the 128 records that one region gets in a row are far fewer than these of all regions.
const bodiesMax = 8192

// corpus makes the messages of a run, which follow from the seed and their number. It is safe for
// concurrent use.
type corpus struct {
	config   *Config
	run      [8]byte // makes the idempotency keys those of this run alone
	made     atomic.Uint64
	bodies   [bodiesMax][]byte // without recipients
	invented atomic.Uint64     // bodies that are there for ever

	mu        sync.Mutex
	messages  *synthetic.Messages
	strangers *synthetic.Citizens
}

// strangersSeed keeps the citizens that nobody knows apart from those that a federation was
// provisioned with.
const strangersSeed = 0x73747261_6e676572

func newCorpus(c *Config) *corpus {
	median := c.MedianBytes
	if median == 0 {
		median = synthetic.MedianBytes
	}
	out := &corpus{config: c, messages: synthetic.NewMessagesOf(c.Seed, median),
		strangers: synthetic.NewCitizens(c.Seed ^ strangersSeed)}
	crand.Read(out.run[:]) // never fails
	return out
}

// body is the message's text, and all of it but the recipient.
func (c *corpus) body(number uint64) []byte {
	at := number % bodiesMax
	if at < c.invented.Load() {
		return c.bodies[at]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.invented.Load()
	for ; n <= at; n++ {
		m := c.messages.Next()
		c.bodies[n] = m.AppendJSON(nil, "")
	}
	c.invented.Store(n)
	return c.bodies[at]
}

// next is the number of another message.
func (c *corpus) next() uint64 { return c.made.Add(1) - 1 }

// request appends headers and body of a message, and returns the body's size.
func (c *corpus) request(dst []byte) ([]byte, int) {
	number := c.next()
	dst = append(dst, "Ocp-Apim-Subscription-Key: "...)
	dst = append(dst, c.config.Key...)
	dst = append(dst, "\r\nContent-Type: application/json\r\n"+
		"Prefer: return=representation\r\n"...)
	if c.config.Keys {
		dst = append(dst, "Idempotency-Key: "...)
		dst = c.appendKey(dst, number)
		dst = append(dst, "\r\n"...)
	}
	code, body := c.recipient(number), c.body(number)
	size := len(recipientOpen) + len(code) + len(recipientClose) + len(body) - 1
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(size), 10)
	dst = append(dst, "\r\n\r\n{"...)
	return appendMessage(dst, code, body), size
}

// line appends a message as a line of a stream, and returns its size.
func (c *corpus) line(dst []byte) ([]byte, int) {
	number, before := c.next(), len(dst)
	dst = append(dst, '{')
	if c.config.Keys {
		dst = append(dst, `"idempotency_key":"`...)
		dst = c.appendKey(dst, number)
		dst = append(dst, `",`...)
	}
	dst = appendMessage(dst, c.recipient(number), c.body(number))
	dst = append(dst, '\n')
	return dst, len(dst) - before
}

// What stands around the recipient, which is a message's first member.
const recipientOpen, recipientClose = `{"fiscal_code":"`, `",`

// appendMessage appends what follows the opening brace.
func appendMessage(dst []byte, code fiscalcode.Code, body []byte) []byte {
	dst = append(dst, recipientOpen[1:]...)
	dst = append(dst, code...)
	dst = append(dst, recipientClose...)
	return append(dst, body[1:]...)
}

func (c *corpus) appendKey(dst []byte, number uint64) []byte {
	var key [16]byte
	copy(key[:], c.run[:])
	binary.BigEndian.PutUint64(key[8:], number)
	return hex.AppendEncode(dst, key[:])
}

func (c *corpus) recipient(number uint64) fiscalcode.Code {
	codes := c.config.Codes
	if c.config.inTurn {
		return codes[number%uint64(len(codes))]
	}
	if share := c.config.UnknownPercent / 100; share > 0 && unit(c.config.Seed, 2*number) < share {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.strangers.Next().FiscalCode
	}
	n := len(codes)
	if c.config.Zipf { // P(rank < k) = log(k+1) / log(n+1)
		rank := math.Pow(float64(n+1), unit(c.config.Seed, 2*number+1)) - 1
		return codes[min(int(rank), n-1)]
	}
	at, _ := bits.Mul64(mix(c.config.Seed, 2*number+1), uint64(n))
	return codes[at]
}

// unit is random in [0, 1), mix among all numbers (SplitMix64).
func unit(seed, number uint64) float64 { return float64(mix(seed, number)>>11) / (1 << 53) }

func mix(seed, number uint64) uint64 {
	z := (seed + 1) * 0xd1342543de82ef95
	z += (number + 1) * 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
