package wire_test

import (
	"fmt"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// Submissions for one region travel together, in a block whose records can be proved one by one.
func ExampleBuilder() {
	coder, err := wire.NewCoder(1)
	if err != nil {
		panic(err)
	}
	defer coder.Close()
	code, _ := fiscalcode.Parse("RSSMRA85T10A562S") // synthetic
	var b wire.Builder
	b.Add(&wire.Record{
		ID:         wire.NewMessageID(wire.TimeOf(time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)), 12),
		Service:    "01KZZZZZZZSERV1CE000000001",
		FiscalCode: code,
		TimeToLive: 3600,
		Content:    wire.Encode(&wire.Content{Subject: "Carta d'identità pronta"}),
	})
	frame := b.Seal(coder)

	block, err := coder.Decode(frame)
	if err != nil {
		panic(err)
	}
	proved := wire.VerifyInclusion(block.Leaf(0), 0, len(block.Records), block.Proof(0), block.Root())
	fmt.Println(len(block.Records), "record, proved:", proved)
	// Output: 1 record, proved: true
}

// Regions know a citizen who has not claimed a code by its keyed hash alone.
func ExampleHasher() {
	code, err := fiscalcode.Parse("RSSMRA85T10A562S")
	if err != nil {
		panic(err)
	}
	one, same := wire.NewHasher(wire.DirectoryKey{1}), wire.NewHasher(wire.DirectoryKey{1})
	other := wire.NewHasher(wire.DirectoryKey{2})
	fmt.Println("same federation:", one.Recipient(code) == same.Recipient(code))
	fmt.Println("another federation:", one.Recipient(code) == other.Recipient(code))
	// Output:
	// same federation: true
	// another federation: false
}

// An entry of a log carries its leader's time.
func ExampleEncodeEntry() {
	now := wire.TimeOf(time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC))
	b := wire.EncodeEntry(wire.CommandsEntry, now, []byte("body"))
	e, err := wire.DecodeEntry(b)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s %s\n", e.Time.Std().UTC().Format(time.RFC3339), e.Body)
	// Output: 2026-12-01T09:00:00Z body
}
