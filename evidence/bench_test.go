package evidence

import (
	"bytes"
	"io"
	"testing"
)

// An audit of 4 603 samples over 20 480 positions: what the platform does, and what
// the auditor does.
func BenchmarkAudit(b *testing.B) {
	w := newWorld(b, 20_000, cheat{})
	c := w.challenge(4603, 1)
	s, err := Open(w.dir, w.sid)
	must(b, err)
	defer func() { must(b, s.Close()) }()
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			must(b, s.WriteOpenings(io.Discard, c, w.source()))
		}
	})
	b.Run("check", func(b *testing.B) {
		file := w.openings(b, c)
		for b.Loop() {
			report, err := Check(bytes.NewReader(file), w.auditor(c))
			must(b, err)
			must(b, report.Err())
		}
		b.ReportMetric(float64(len(file)), "file-bytes")
	})
}

// One pass over the leaves of a session, whatever is opened of it.
func BenchmarkLeaf(b *testing.B) {
	w := newWorld(b, 1, cheat{})
	s, err := Open(w.dir, w.sid)
	must(b, err)
	defer func() { must(b, s.Close()) }()
	for b.Loop() {
		o := &opener{s: s, src: w.source(), positions: []uint64{7}}
		must(b, o.prove(w.root))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1024, "ns/leaf")
}
