package wire

import (
	"bytes"
	"errors"
	"testing"
)

func newTestKey(t testing.TB, id uint32) (RegionKey, *RegionPrivateKey) {
	t.Helper()
	pair, err := NewRegionKey(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := pair.Validate(); err != nil {
		t.Fatal(err)
	}
	private, err := pair.Open()
	if err != nil {
		t.Fatal(err)
	}
	return RegionKey{ID: id, Public: pair.Public}, private
}

func TestSealOpens(t *testing.T) {
	key, private := newTestKey(t, 3)
	frame := bytes.Repeat([]byte("Avviso di prova. "), 100)
	s, err := Seal("test", "lazio", "sicilia", key, frame)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(s.Bytes, []byte("Avviso")) {
		t.Error("a sealed block shows what it says")
	}
	got, err := private.Open("test", s)
	if err != nil || !bytes.Equal(got, frame) {
		t.Fatalf("opened %d bytes, %v, want %d", len(got), err, len(frame))
	}
}

// TestSealBinds: nothing that a sealed block is bound to can be changed unnoticed.
func TestSealBinds(t *testing.T) {
	key, private := newTestKey(t, 3)
	_, other := newTestKey(t, 3)
	s, err := Seal("test", "lazio", "sicilia", key, []byte("frame"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open("test", s); err == nil {
		t.Error("another region's key opens the block")
	}
	if _, err := private.Open("prova", s); err == nil {
		t.Error("the block opens in another federation")
	}
	for name, change := range map[string]func(*SealedBlock){
		"owner":      func(s *SealedBlock) { s.Owner = "lazio" },
		"home":       func(s *SealedBlock) { s.Home = "sicilia" },
		"key":        func(s *SealedBlock) { s.KeyID = 4 },
		"ciphertext": func(s *SealedBlock) { s.Bytes[len(s.Bytes)-1] ^= 1 },
		"key bytes":  func(s *SealedBlock) { s.Bytes[0] ^= 1 },
		"short":      func(s *SealedBlock) { s.Bytes = s.Bytes[:sealEncapsulated] },
	} {
		changed := *s
		changed.Bytes = bytes.Clone(s.Bytes)
		change(&changed)
		if _, err := private.Open("test", &changed); !errors.Is(err, Malformed) {
			t.Errorf("with another %s: %v, want malformed", name, err)
		}
	}
}

func TestSealBounds(t *testing.T) {
	key, _ := newTestKey(t, 1)
	if _, err := Seal("test", "lazio", "sicilia", key,
		make([]byte, SealedBytesMax)); !errors.Is(err, TooLarge) {
		t.Errorf("a block over the bound: %v, want too-large", err)
	}
	// The largest block that a gateway makes fits, with its stubs, into one command.
	frame := make([]byte, BlockCloseBytes+RecordBytesMax+SeedSize+1<<10)
	s, err := Seal("test", "lazio", "sicilia", key, frame)
	if err != nil {
		t.Fatal(err)
	}
	b := Spool{Block: SpoolBlock{Sealed: *s}, BytesMax: 1 << 40, OldestAfter: 1 << 50}
	for range BlockRecordsMax {
		b.Block.Stubs = append(b.Block.Stubs, Record{ID: MessageID{1},
			Service:   ServiceID(bytes.Repeat([]byte("S"), ServiceIDBytesMax)),
			Recipient: Recipient{1}, Idempotency: Idempotency{1}, Digest: Digest{1},
			TimeToLive: 604800, FeatureLevel: Advanced})
	}
	if err := b.Block.Validate(); err != nil {
		t.Fatal(err)
	}
	if n := len(Encode(&b)); n > CommandBytesMax {
		t.Errorf("the largest spooled block takes %d bytes, a command %d", n, CommandBytesMax)
	}
}

func TestSpoolBlockRefused(t *testing.T) {
	key, _ := newTestKey(t, 1)
	s, err := Seal("test", "lazio", "sicilia", key, []byte("frame"))
	if err != nil {
		t.Fatal(err)
	}
	digest := Record{ID: MessageID{1}, Service: "S", Recipient: Recipient{1}}
	whole := Record{ID: MessageID{1}, Service: "S", FiscalCode: "RSSMRA71A64M955N",
		Content: Encode(&Content{Subject: "Un avviso"})}
	for name, b := range map[string]SpoolBlock{
		"no stubs":       {Sealed: *s},
		"too many stubs": {Sealed: *s, Stubs: make([]Record, BlockRecordsMax+1)},
		"content":        {Sealed: *s, Stubs: []Record{whole}},
		"no owner": {Sealed: SealedBlock{KeyID: 1, Home: "lazio", Bytes: s.Bytes},
			Stubs: []Record{digest}},
	} {
		if err := b.Validate(); !errors.Is(err, Malformed) {
			t.Errorf("%s: %v, want malformed", name, err)
		}
	}
}

func TestRegionKeyRefused(t *testing.T) {
	for _, k := range []RegionKey{{}, {ID: 1, Public: []byte("short")},
		{ID: 1, Public: make([]byte, regionKeyPublic+1)}} {
		if err := k.Validate(); !errors.Is(err, Malformed) {
			t.Errorf("key of %d bytes: %v, want malformed", len(k.Public), err)
		}
	}
}

func BenchmarkSealedBlock(b *testing.B) {
	key, private := newTestKey(b, 1)
	frame := make([]byte, 64<<10)
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Seal("test", "lazio", "sicilia", key, frame); err != nil {
				b.Fatal(err)
			}
		}
	})
	s, err := Seal("test", "lazio", "sicilia", key, frame)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := private.Open("test", s); err != nil {
				b.Fatal(err)
			}
		}
	})
}
