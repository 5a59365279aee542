package wire

import "testing"

// BenchmarkSeal collects a full block of records of 1.4 KB, and compresses it.
func BenchmarkSeal(b *testing.B) {
	c := newCoder(b)
	_, records := block(b, c, BlockRecordsMax)
	var builder Builder
	b.ReportAllocs()
	for b.Loop() {
		for i := range records {
			if !builder.Add(&records[i]) {
				b.Fatalf("record %d does not fit", i)
			}
		}
		builder.Seal(c)
	}
}

// BenchmarkDecodeBlock reads a full block, as somebody who keeps it and as somebody who is done
// with it before the next one.
func BenchmarkDecodeBlock(b *testing.B) {
	c := newCoder(b)
	frame, _ := block(b, c, BlockRecordsMax)
	b.Run("kept", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Decode(frame); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("reused", func(b *testing.B) {
		var into Block
		b.ReportAllocs()
		for b.Loop() {
			if err := c.DecodeInto(&into, frame); err != nil {
				b.Fatal(err)
			}
		}
	})
}
