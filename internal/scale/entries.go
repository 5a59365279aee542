package scale

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/wire"
)

// logStart is the time of a log's first entry; entries follow each other by entryPeriod.
var logStart = wire.TimeOf(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))

const (
	entryPeriod = 5 * time.Millisecond
	sessionTime = 30 * 24 * time.Hour
	// citizensPerEntry fill an entry of at most wire.CommandsMax commands, six for a citizen.
	citizensPerEntry = wire.CommandsMax / 6
	// choosersPercent of the citizens have a preference, for one of servicesMax services; half
	// of these say no.
	choosersPercent = 10
	servicesMax     = 64
)

// regionLog makes a region's log, each entry from its index: first the anchor slots, then the
// citizens, then the messages. Owned by one goroutine.
type regionLog struct {
	citizens *citizens
	seed     uint64
	keyed    float64 // share of messages with an idempotency key
	coder    *wire.Coder
	messages *synthetic.Messages
}

func newRegionLog(cfg *RegionConfig, citizens, messages int) (*regionLog, error) {
	coder, err := wire.NewCoder(1)
	if err != nil {
		return nil, err
	}
	return &regionLog{citizens: newCitizens(citizens, messages), seed: cfg.Seed, coder: coder,
		keyed: cfg.KeyedPercent / 100, messages: synthetic.NewMessages(cfg.Seed)}, nil
}

func (l *regionLog) close() { l.coder.Close() }

// registered is the index after which every citizen is in the registry.
func (l *regionLog) registered() uint64 {
	return 1 + uint64((l.citizens.count+citizensPerEntry-1)/citizensPerEntry)
}

func timeOf(index uint64) wire.Time { return logStart.Add(time.Duration(index) * entryPeriod) }

// entry makes the entry of an index, and says how many citizens or messages it brings.
func (l *regionLog) entry(index uint64) (e wire.LogEntry, units int) {
	now := timeOf(index)
	kind, body := wire.CommandsEntry, []byte(nil)
	switch {
	case index == 1:
		all := wire.GrantSlots{SlotEpoch: 1}
		for s := range wire.Slots {
			all.Slots = append(all.Slots, wire.Slot(s))
		}
		body = wire.Encode(&wire.Commands{List: []wire.Command{command(wire.CmdGrantSlots, &all)}})
	case index <= l.registered():
		first := int(index-2) * citizensPerEntry
		end := min(first+citizensPerEntry, l.citizens.count)
		var list []wire.Command
		for n := first; n < end; n++ {
			list = append(list, l.register(n, index, now)...)
		}
		body, units = wire.Encode(&wire.Commands{List: list}), end-first
	default:
		kind = wire.BlockEntry
		body, units = l.block(index, now)
	}
	return wire.LogEntry{Index: index, Term: 1, Data: wire.EncodeEntry(kind, now, body)}, units
}

func command(kind wire.CommandKind, m codec.Message) wire.Command {
	return wire.Command{Kind: kind, Body: wire.Encode(m)}
}

// register is what a citizen's first login and acceptance of the terms log, with the leader's
// note that the directory knows, which removes the work left for it.
func (l *regionLog) register(n int, index uint64, now wire.Time) []wire.Command {
	code, name, token := l.citizens.code(n), l.citizens.name(n), l.citizens.token(n)
	r := l.citizens.hasher.Recipient(code)
	login := wire.Login{Email: fmt.Sprintf("citizen.%d@example.it", n), DateOfBirth: name.DateOfBirth,
		Session: wire.Session{Token: token, FiscalCode: code, Name: name.Name,
			FamilyName: name.FamilyName, CreatedAt: now, ExpiresAt: now.Add(sessionTime)}}
	list := []wire.Command{
		command(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r}),
		command(wire.CmdImport, &wire.Import{Recipient: r, Epoch: 1}),
		command(wire.CmdLogin, &login),
		command(wire.CmdSetProfile, &wire.SetProfile{Token: token, Update: wire.ProfileUpdate{
			AcceptedTos: 1, SetMode: true, Mode: wire.Auto}}),
		command(wire.CmdPendingDone, &wire.PendingDone{Recipient: r, Seq: index}),
	}
	if h := mix(uint64(n) ^ l.seed); h%100 < choosersPercent {
		list = append(list, command(wire.CmdSetPreference, &wire.SetPreference{Token: token,
			Preference: wire.Preference{Service: serviceOf(int(h / 100 % servicesMax)),
				Inbox: h/100/servicesMax%2 == 0}}))
	}
	return list
}

func serviceOf(n int) wire.ServiceID {
	return wire.ServiceID(fmt.Sprintf("01KZZZZZZZSERV1CE%09d", n))
}

// block makes a block of new messages. It closes as a gateway's does: at 128 records, or earlier
// in the rare case that they are large.
func (l *regionLog) block(index uint64, now wire.Time) (frame []byte, records int) {
	rng := rand.New(rand.NewPCG(l.seed, index))
	var b wire.Builder
	for b.Len() < wire.BlockRecordsMax {
		m := l.messages.Next()
		rec := wire.Record{ID: wire.NewMessageID(now, regionTag), TimeToLive: 3600,
			Service:    serviceOf(rng.IntN(servicesMax)),
			FiscalCode: l.citizens.code(l.citizens.draw(rng)), Content: contentOf(&m)}
		if m.TimeToLive != 0 {
			rec.TimeToLive = uint32(m.TimeToLive)
		}
		if rng.Float64() < l.keyed {
			binary.BigEndian.PutUint64(rec.Idempotency[:], rng.Uint64())
			binary.BigEndian.PutUint64(rec.Idempotency[8:], rng.Uint64())
			binary.BigEndian.PutUint64(rec.Digest[:], rng.Uint64()|1)
		}
		if !b.Add(&rec) {
			break
		}
	}
	records = b.Len()
	return b.Seal(l.coder), records
}

// contentOf is a message's content as a gateway encodes it.
func contentOf(m *synthetic.Message) []byte {
	c := wire.Content{Subject: m.Content.Subject, Markdown: m.Content.Markdown}
	if m.Content.RequireSecureChannels {
		c.RequireSecureChannels = &wire.Flag{Set: true}
	}
	if at, err := time.Parse(time.RFC3339, m.Content.DueDate); err == nil {
		c.DueDate = &wire.Date{At: wire.TimeOf(at)}
	}
	if p := m.Content.Payment; p != nil {
		c.Payment = &wire.Payment{Amount: p.Amount, NoticeNumber: p.NoticeNumber,
			InvalidAfterDueDate: p.InvalidAfterDueDate, Payee: "80000000010"}
	}
	return wire.Encode(&c)
}
