package scale

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/wire"
)

// Births that tell citizens apart: as many days of the years 1935 to 2007, places M500 to M999,
// which no municipality has, and two sexes. namesMax names are shared by all citizens.
const (
	placeFirst = 500
	places     = 500
	namesMax   = 4096
	// stride is a prime, so it walks over all births in an order that looks random.
	stride = 15_485_863
)

var (
	birthFirst = time.Date(1935, 1, 1, 0, 0, 0, 0, time.UTC)
	births     = uint64(time.Date(2008, 1, 1, 0, 0, 0, 0, time.UTC).Sub(birthFirst)/
		(24*time.Hour)) * places * 2
)

// citizens are those of a grown region, each by number. They take no memory: ten million codes
// held here would be in every figure of the memory that a state needs.
type citizens struct {
	count  int
	hasher *wire.Hasher
	names  [namesMax]synthetic.Citizen
	// busy of them have some messagesOfBusy messages each; busyShare of the messages are theirs.
	busy int
}

const (
	messagesOfBusy = 1000
	busyShare      = 0.05
)

func newCitizens(count, messages int) *citizens {
	c := &citizens{count: count, hasher: wire.NewHasher(Key)}
	c.busy = min(max(int(float64(messages)*busyShare/messagesOfBusy), 1), count)
	invent := synthetic.NewCitizens(1)
	for i := range c.names {
		c.names[i] = invent.Next()
	}
	return c
}

func (c *citizens) name(n int) *synthetic.Citizen {
	return &c.names[mix(uint64(n))%namesMax]
}

// code is the citizen's, different for each number below births.
func (c *citizens) code(n int) fiscalcode.Code {
	birth := uint64(n) * stride % births
	woman := birth % 2
	birth /= 2
	day := birthFirst.AddDate(0, 0, int(birth/places))
	text := fmt.Sprintf("%s%02d%c%02dM%03d", c.name(n).FiscalCode[:6], day.Year()%100,
		"ABCDEHLMPRST"[day.Month()-1], uint64(day.Day())+40*woman, placeFirst+birth%places)
	return fiscalcode.Code(text + string(fiscalcode.CheckCharacter(text)))
}

// token is the hash of the citizen's session token.
func (c *citizens) token(n int) wire.TokenHash {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte("token"), uint64(n)))
}

// draw picks a recipient: a busy one now and then, else one by a law that gives the first
// hundredth of the citizens a tenth of the messages, and a quarter of them half.
func (c *citizens) draw(rng *rand.Rand) int {
	if rng.Float64() < busyShare {
		return rng.IntN(c.busy)
	}
	u := rng.Float64()
	return min(int(u*u*float64(c.count)), c.count-1)
}

// mix scatters a number (splitmix64); different numbers stay different.
func mix(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// recipientOf is a recipient of the directory by number: as random as a hash, all different.
func recipientOf(n uint64) (r wire.Recipient) {
	a := mix(n)
	binary.BigEndian.PutUint64(r[:], a)
	binary.BigEndian.PutUint64(r[8:], bits.ReverseBytes64(mix(a^math.MaxUint64)))
	return r
}
