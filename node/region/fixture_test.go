package region

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
)

// start is when the tests' logs begin.
var start = wire.TimeOf(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))

var testKey = wire.DirectoryKey{1, 2, 3}

const testTag wire.RegionTag = 7

// fixture is a state with the log that made it.
type fixture struct {
	*State
	t      testing.TB
	cfg    Config
	hasher *wire.Hasher
	coder  *wire.Coder
	log    []wire.LogEntry
	now    wire.Time
	minted uint64
}

func newCoder(t testing.TB) *wire.Coder {
	t.Helper()
	coder, err := wire.NewCoder(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(coder.Close)
	return coder
}

func testConfig(fs vfs.FS, region wire.RegionID, coder *wire.Coder) Config {
	return Config{Region: region, Hasher: wire.NewHasher(testKey), Coder: coder,
		CacheBytes: cacheMin, CitizenCacheBytes: cacheMin,
		Store: store.Config{Dir: "state", FS: fs, MemTableBytes: 1 << 20,
			Identity: store.Identity{Federation: "test"}}}
}

func newFixture(t testing.TB, region wire.RegionID) *fixture {
	t.Helper()
	return openFixture(t, testConfig(vfs.NewMem(), region, newCoder(t)))
}

func openFixture(t testing.TB, cfg Config) *fixture {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{State: s, t: t, cfg: cfg, hasher: cfg.Hasher, coder: cfg.Coder, now: start}
	t.Cleanup(func() { f.Close() })
	return f
}

// restart closes and opens the state.
func (f *fixture) restart() {
	f.t.Helper()
	if err := f.Close(); err != nil {
		f.t.Fatal(err)
	}
	s, err := Open(f.cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.State = s
}

// entry appends an entry to the log without applying it.
func (f *fixture) entry(kind wire.EntryKind, body []byte) wire.LogEntry {
	index := uint64(2)
	if n := len(f.log); n > 0 {
		index = f.log[n-1].Index + 1
	}
	e := wire.LogEntry{Index: index, Term: 1 + index/50, Data: wire.EncodeEntry(kind, f.now, body)}
	f.log = append(f.log, e)
	return e
}

func (f *fixture) apply(e ...wire.LogEntry) []any {
	f.t.Helper()
	results, err := f.Apply(e)
	if err != nil {
		f.t.Fatal(err)
	}
	return results
}

func command(kind wire.CommandKind, m codec.Message) wire.Command {
	return wire.Command{Kind: kind, Body: wire.Encode(m)}
}

// do applies one command in an entry of its own.
func (f *fixture) do(kind wire.CommandKind, m codec.Message) wire.Result {
	f.t.Helper()
	return f.doAll(command(kind, m))[0]
}

func (f *fixture) doAll(list ...wire.Command) []wire.Result {
	f.t.Helper()
	body := wire.Encode(&wire.Commands{List: list})
	return f.apply(f.entry(wire.CommandsEntry, body))[0].(*wire.Results).List
}

// must is do for a command that succeeds.
func (f *fixture) must(kind wire.CommandKind, m codec.Message) []byte {
	f.t.Helper()
	r := f.do(kind, m)
	if r.Err != nil {
		f.t.Fatalf("command %d: %v", kind, r.Err)
	}
	return r.Body
}

// refuse is do for a command that fails with code and leaves nothing but the clock.
func (f *fixture) refuse(code wire.Code, kind wire.CommandKind, m codec.Message) *wire.Error {
	f.t.Helper()
	before := f.rows()
	r := f.do(kind, m)
	if r.Err == nil || r.Err.Code != code {
		f.t.Fatalf("command %d: got %v, want %v", kind, r.Err, code)
	}
	delete(before, string(clockKey()))
	after := f.rows()
	delete(after, string(clockKey()))
	if diff := diffRows(after, before); diff != "" {
		f.t.Fatalf("refused command %d changed rows: %s", kind, diff)
	}
	return r.Err
}

func (f *fixture) seal(records ...wire.Record) []byte {
	f.t.Helper()
	var b wire.Builder
	for i := range records {
		if !b.Add(&records[i]) {
			f.t.Fatal("records do not fit one block")
		}
	}
	return b.Seal(f.coder)
}

func (f *fixture) submit(records ...wire.Record) []wire.Outcome {
	f.t.Helper()
	e := f.entry(wire.BlockEntry, f.seal(records...))
	return f.apply(e)[0].(*wire.Outcomes).List
}

func (f *fixture) submitOne(r wire.Record) wire.Outcome { return f.submit(r)[0] }

// id mints the next message id at the log's time, the same ones in every run.
func (f *fixture) id() wire.MessageID {
	f.minted++
	id := wire.NewMessageID(f.now, testTag)
	binary.BigEndian.PutUint64(id[6:], f.minted)
	id[14], id[15] = 0, byte(testTag)
	return id
}

// aged is a message whose id was minted some time ago.
func aged(m wire.Record, age time.Duration) wire.Record {
	at := firstAt(m.ID.Time().Add(-age))
	copy(m.ID[:6], at[:6])
	return m
}

const someService wire.ServiceID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"

func content(text string) []byte {
	return wire.Encode(&wire.Content{Subject: "Avviso: " + text,
		Markdown: text + strings.Repeat(" Gentile cittadino, la informiamo.", 4)})
}

// message is a whole record.
func (f *fixture) message(code fiscalcode.Code, service wire.ServiceID, text string) wire.Record {
	return wire.Record{ID: f.id(), Service: service, FiscalCode: code, TimeToLive: 3600,
		Content: content(text)}
}

// redact is a record without content.
func (f *fixture) redact(r wire.Record) wire.Record { return r.Redact(f.hasher) }

// keyed gives a record an idempotency key, as a gateway does.
func (f *fixture) keyed(r wire.Record, key string) wire.Record {
	r.Idempotency = wire.IdempotencyOf(r.Service, key)
	r.Digest = r.Canonical(r.RecipientUnder(f.hasher), "key")
	return r
}

// codeOf makes a synthetic fiscal code from any word.
func codeOf(word string) fiscalcode.Code {
	sum := sha256.Sum256([]byte(word))
	letter := func(i int) byte { return 'A' + sum[i]%26 }
	digit := func(i int) byte { return '0' + sum[i]%10 }
	b := []byte{letter(0), letter(1), letter(2), letter(3), letter(4), letter(5),
		digit(6), digit(7), "ABCDEHLMPRST"[sum[8]%12], '0' + sum[9]%3, '1' + sum[10]%8, letter(11),
		digit(12), digit(13), digit(14)}
	return fiscalcode.Code(append(b, fiscalcode.CheckCharacter(string(b))))
}

func tokenOf(word string) wire.TokenHash { return sha256.Sum256([]byte("token " + word)) }

func allSlots() *wire.GrantSlots {
	g := &wire.GrantSlots{SlotEpoch: 1}
	for i := range wire.Slots {
		g.Slots = append(g.Slots, wire.Slot(i))
	}
	return g
}

// own makes the region the owner of a code.
func (f *fixture) own(code fiscalcode.Code) {
	f.t.Helper()
	r := f.hasher.Recipient(code)
	f.must(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r})
	f.must(wire.CmdImport, &wire.Import{Recipient: r, Epoch: 1})
}

func (f *fixture) loginAs(code fiscalcode.Code, token wire.TokenHash) wire.Login {
	return wire.Login{Email: "mail@example.it", DateOfBirth: "1983-11-18",
		Session: wire.Session{Token: token, FiscalCode: code, Name: "Nome",
			FamilyName: "Cognome", CreatedAt: f.now, ExpiresAt: f.now.Add(30 * 24 * time.Hour)}}
}

func (f *fixture) login(code fiscalcode.Code) wire.TokenHash {
	f.t.Helper()
	token := tokenOf(string(code))
	l := f.loginAs(code, token)
	f.must(wire.CmdLogin, &l)
	return token
}

// openAs is a session of a citizen's set, whose token and id are of a word.
func (f *fixture) openAs(code fiscalcode.Code, word string) wire.OpenSession {
	l := f.loginAs(code, tokenOf(word))
	l.Session.ID = wire.SessionID(l.Session.Token[:])
	l.Session.Level, l.Session.Device, l.Session.Provider = wire.Level2, "telefono", "test"
	return wire.OpenSession{Session: l.Session, Email: l.Email, DateOfBirth: l.DateOfBirth}
}

func (f *fixture) open(code fiscalcode.Code, word string) wire.TokenHash {
	f.t.Helper()
	o := f.openAs(code, word)
	f.must(wire.CmdOpenSession, &o)
	return o.Session.Token
}

// update changes the profile at its present version.
func (f *fixture) update(token wire.TokenHash, u wire.ProfileUpdate) *wire.Profile {
	f.t.Helper()
	p, err := f.Profile(token, f.now)
	if err != nil {
		f.t.Fatal(err)
	}
	u.Version = p.Version
	var after wire.Profile
	if err := wire.Decode(f.must(wire.CmdSetProfile,
		&wire.SetProfile{Token: token, Update: u}), &after); err != nil {
		f.t.Fatal(err)
	}
	return &after
}

// activate makes a citizen whom messages reach.
func (f *fixture) activate(code fiscalcode.Code) wire.TokenHash {
	f.t.Helper()
	f.own(code)
	token := f.login(code)
	f.update(token, wire.ProfileUpdate{AcceptedTos: 1})
	return token
}

// rows reads the whole state.
func (f *fixture) rows() map[string]string {
	f.t.Helper()
	rows := map[string]string{}
	err := f.db.Iterate([]byte{store.ReservedPrefix + 1}, []byte{0xff}, false,
		func(k, v []byte) (bool, error) {
			rows[string(k)] = string(v)
			return true, nil
		})
	if err != nil {
		f.t.Fatal(err)
	}
	return rows
}

func diffRows(got, want map[string]string) string {
	for k, v := range got {
		if w, ok := want[k]; !ok {
			return fmt.Sprintf("additional row %q", k)
		} else if v != w {
			return fmt.Sprintf("row %q differs", k)
		}
	}
	for k := range want {
		if _, ok := got[k]; !ok {
			return fmt.Sprintf("missing row %q", k)
		}
	}
	return ""
}

// standingNow computes a standing from ownership and profile.
func (f *fixture) standingNow(c *change, r wire.Recipient) (standing, error) {
	own, err := c.ownership(r)
	st := standing{State: own.State}
	var row profileRow
	ok, e := c.getRow(recipientKey(profilePrefix, r), &row)
	if ok && own.State == wire.Owned {
		st = row.standing()
	}
	return st, errors.Join(err, e)
}

// checkCaches compares what is cached with the state.
func (f *fixture) checkCaches() {
	f.t.Helper()
	c := newChange()
	err := f.db.View(func(r pebble.Reader) error {
		c.open(r, nil, clock{}, wire.VersionMin, [32]byte{})
		owners := map[cachedKey]wire.Recipient{} // any other has no row
		for k := range f.rows() {
			if k[0] == ownerPrefix {
				r := wire.Recipient([]byte(k)[1:])
				owners[keyOf(r)] = r
			}
		}
		f.standings.mu.Lock() // the table may still be warming
		cached := maps.Collect(f.standings.citizens.all())
		f.standings.mu.Unlock()
		for k, got := range cached {
			want, err := f.standingNow(c, owners[k])
			if err != nil || got != want {
				return fmt.Errorf("cached standing %+v, the state has %+v, %v", got, want, err)
			}
		}
		for k, got := range f.standings.choices.All() {
			want := wire.Unset
			var p wire.Preference
			ok, err := c.getRow(preferenceKey(k.recipient, k.version, k.service), &p)
			if ok {
				want = wire.TriOf(p.Inbox)
			}
			if err != nil || got != want {
				return fmt.Errorf("cached choice %v, the state has %v, %v", got, want, err)
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	for k := range f.rows() {
		if k[0] != inboxPrefix && k[0] != rejectedPrefix {
			continue
		}
		r, id := wire.Recipient([]byte(k[1:17])), wire.MessageID([]byte(k[17:]))
		if f.recent.unknown(r, id) {
			f.t.Fatalf("the filter of recent ids denies %v, which is stored", id)
		}
	}
}
