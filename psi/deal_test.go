package psi

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// inputs returns n inputs of both kinds.
func inputs(n int) []Input {
	in := make([]Input, n)
	for i := range in {
		in[i] = inputOf(byte(1+i%3), fmt.Sprintf("person-%d@example.com", i))
	}
	return in
}

// queries returns n queries; two of three have a salt, as at a platform, and
// every fifth is a pad, such as a withdrawn identifier leaves in the middle.
func queries(n int) []Query {
	out := make([]Query, n)
	for i, in := range inputs(n) {
		if i%5 != 3 {
			out[i].Input = in
		}
		if i%3 != 0 {
			out[i].Salt = [32]byte{1, byte(i), byte(i >> 8)}
		}
	}
	return out
}

// deal is one session's start: what both sides know, and what each has.
type deal struct {
	Params
	key   *Key
	seed  *Seed
	in    []Query // fewer than Queries: the rest are pads
	table []byte  // Entries tokens in order
}

// newDeal deals a session of so many queries, in chunks, and a table of so many
// entries, which contains the tokens of the even queries.
func newDeal(t testing.TB, queried, chunkElems, entries int) *deal {
	t.Helper()
	d := &deal{key: newTestKey(t), seed: &Seed{1, 2, 3}, in: queries(queried)}
	d.Params = Params{SID: ascending(9), ChunkElems: chunkElems, Window: 2, TokenLen: 16,
		Queries: uint64(queried), Entries: uint64(entries), Key: d.key.Public()}
	var even []Input
	for i := 0; i < len(d.in) && len(even) < entries; i += 2 {
		if !d.in[i].Input.IsZero() {
			even = append(even, d.in[i].Input)
		}
	}
	out := make([]Output, len(even))
	d.key.Evaluate(out, even)
	tokens := make([]Token, 0, entries)
	for i := range out {
		tokens = append(tokens, out[i].Token(d.TokenLen))
	}
	for i := uint64(0); len(tokens) < entries; i++ {
		tokens = append(tokens, PadToken(d.seed, i, d.TokenLen))
	}
	slices.SortFunc(tokens, func(a, b Token) int { return bytes.Compare(a[:], b[:]) })
	for _, token := range tokens {
		d.table = append(d.table, token[:d.TokenLen]...)
	}
	d.Root = rootOf(t, d.table, d.TokenLen)
	return d
}

// newTestKey is always the same, so that every process of a fuzz test has it.
func newTestKey(t testing.TB) *Key {
	t.Helper()
	key, err := DeriveKey(&[32]byte{4}, []byte("a key of the tests"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rootOf(t testing.TB, table []byte, tokenLen int) (root [32]byte) {
	t.Helper()
	h := NewTableHash(tokenLen, 0)
	if err := h.Write(table); err != nil {
		t.Fatal(err)
	}
	root, _ = h.Root()
	return root
}

func (d *deal) querier(t testing.TB) *Querier {
	t.Helper()
	q, err := NewQuerier(d.Params, d.seed)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func (d *deal) holder(t testing.TB) *Holder {
	t.Helper()
	h, err := NewHolder(d.Params, d.key)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// chunk returns the queries of chunk seq.
func (d *deal) chunk(seq uint32) []Query {
	lo := min(len(d.in), int(seq)*d.ChunkElems)
	return d.in[lo:min(len(d.in), lo+d.ChunkElems)]
}

// tableBodies returns the bodies of the TABLE frames.
func (d *deal) tableBodies() [][]byte {
	return slices.Collect(slices.Chunk(d.table, TableChunk(d.TokenLen)*d.TokenLen))
}

// play is a whole honest session's frames.
type play struct {
	blinded, evaluated, tables []Frame
	release                    Frame
	outputs                    []Output
	th                         [64]byte // what SEAL says
	end                        [64]byte // after RELEASE
}

// play runs both machines, one chunk in flight at a time, and checks that they
// agree at the end.
func (d *deal) play(t testing.TB) *play {
	t.Helper()
	q, h, p := d.querier(t), d.holder(t), new(play)
	for seq := range d.Chunks() {
		b, err := q.Blind(d.chunk(seq))
		must(t, err)
		e, err := h.Evaluate(b)
		must(t, err)
		out, err := q.Finalize(e)
		must(t, err)
		p.blinded, p.evaluated, p.outputs = append(p.blinded, b), append(p.evaluated, e), append(p.outputs, out...)
	}
	checkOutputs(t, d.key, append(slices.Clone(d.in), make([]Query, int(d.Queries)-len(d.in))...), p.outputs)
	p.th = q.Transcript()
	must(t, q.Seal(p.th))
	must(t, h.Seal(p.th))
	for _, body := range d.tableBodies() {
		f, err := h.WriteTable(body)
		must(t, err)
		got, err := q.ReadTable(f)
		must(t, err)
		if !bytes.Equal(got, body) {
			t.Error("ReadTable returns other entries than were written")
		}
		p.tables = append(p.tables, f)
	}
	must(t, q.Verified())
	p.release = Frame{Type: FrameRelease, Body: []byte("a count")}
	must(t, q.Released(p.release))
	must(t, h.Released(p.release))
	must(t, q.Verified())
	if p.end = q.Transcript(); p.end != h.Transcript() {
		t.Error("the sides have different transcripts at the end")
	}
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantAbort checks that err is a failure of the given code.
func wantAbort(t testing.TB, what string, err error, code AbortCode) {
	t.Helper()
	var got AbortCode
	if !errors.As(err, &got) || got != code {
		t.Errorf("%s: %v, want %v", what, err, code)
	}
}
