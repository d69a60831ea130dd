package evidence

import (
	"bytes"
	"io"
	"testing"

	"github.com/overlap-psi/overlap/policy"
)

// otherPolicy is the world's policy but for a comment.
func otherPolicy(t testing.TB, w *world) *policy.Policy {
	t.Helper()
	p, err := policy.Parse(append(w.policy.Bytes(), "# another document\n"...))
	must(t, err)
	return p
}

// good reports whether an auditor takes the file for proof that all is well.
func good(file []byte, c *Case) bool {
	report, err := Check(bytes.NewReader(file), c)
	return err == nil && report.Err() == nil
}

// No bit of a file can change: not of the header, of the openings, of the lengths
// between them, nor of a chunk.
func TestEveryByteCounts(t *testing.T) {
	w := newWorld(t, 2, cheat{})
	c := w.challengeAt(t, 2, 1)
	auditor, file := w.auditor(c), w.openings(t, c)
	if !good(file, auditor) {
		t.Fatal("the file is not good as it is")
	}
	body := bytes.Index(file, w.firstBody(t))
	for at := range file {
		if at > body+64 && at < body+32*1024-64 && at%509 != 0 {
			continue // within the chunk a few are enough: all go through one hash
		}
		file[at] ^= 1 << (at % 8)
		if good(file, auditor) {
			t.Errorf("byte %d of %d is changed and not missed", at, len(file))
		}
		file[at] ^= 1 << (at % 8)
	}
	for at := 0; at < len(file); at += 1 + len(file)/200 {
		if good(file[:at], auditor) {
			t.Errorf("%d of %d bytes are taken for the file", at, len(file))
		}
	}
	if !good(file, auditor) {
		t.Error("the file did not come back")
	}
}

func (w *world) firstBody(t testing.TB) []byte {
	t.Helper()
	s, err := Open(w.dir, w.sid)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	b, err := s.chunk(0)
	must(t, err)
	return b
}

// A piece that says the same in other bytes is refused.
func TestOneEncoding(t *testing.T) {
	opening := []byte{0x1a, 6, 8, 5, 0x12, 2, 1, 2} // leaf 5, salt 01 02
	if _, err := parsePiece(opening); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"long varint":            {0x1a, 7, 8, 0x85, 0, 0x12, 2, 1, 2},
		"long length":            {0x1a, 0x86, 0, 8, 5, 0x12, 2, 1, 2},
		"other order":            {0x1a, 6, 0x12, 2, 1, 2, 8, 5},
		"field twice":            {0x1a, 8, 8, 4, 8, 5, 0x12, 2, 1, 2},
		"empty field":            {0x1a, 8, 8, 5, 0x12, 2, 1, 2, 0x22, 0},
		"unknown field":          {0x1a, 9, 8, 5, 0x12, 2, 1, 2, 0xf8, 1, 1},
		"unknown field of piece": {0x1a, 6, 8, 5, 0x12, 2, 1, 2, 0xf8, 1, 1},
		"two pieces":             {0x12, 0, 0x1a, 6, 8, 5, 0x12, 2, 1, 2},
		"cut":                    opening[:7],
	} {
		if _, err := parsePiece(b); err != errOpenings {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever is read, Check neither panics nor finds all well but of the one file.
func FuzzCheck(f *testing.F) {
	w := newWorld(f, 2, cheat{})
	c := w.challengeAt(f, 3, 1)
	auditor, file := w.auditor(c), w.openings(f, c)
	f.Add(file)
	f.Add(file[:len(file)/2])
	f.Add([]byte{0, 0, 0, 2, 10, 0})
	f.Add([]byte{255, 255, 255, 255})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if good(b, auditor) && !bytes.Equal(b, file) {
			t.Error("another file is taken for proof")
		}
	})
}

// FuzzOpening fuzzes one piece after an honest header and chunk, where a fuzzer of
// whole files hardly comes.
func FuzzOpening(f *testing.F) {
	w := newWorld(f, 2, cheat{})
	c := w.challengeAt(f, 1, 1)
	auditor, file := w.auditor(c), w.openings(f, c)
	var head, last bytes.Buffer
	for r := bytes.NewReader(file); ; {
		p, err := readPiece(r)
		if err == io.EOF {
			break
		}
		must(f, err)
		if p.GetOpening() != nil {
			must(f, writePiece(&last, p))
		} else {
			must(f, writePiece(&head, p))
		}
	}
	f.Add(last.Bytes()[4:])
	f.Add([]byte{26, 0})
	f.Add([]byte{26, 2, 8, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePiece(b)
		if err != nil {
			return
		}
		var piece bytes.Buffer
		must(t, writePiece(&piece, p))
		if !bytes.Equal(piece.Bytes()[4:], b) {
			t.Fatal("a piece has two encodings")
		}
		if all := append(bytes.Clone(head.Bytes()), piece.Bytes()...); good(all, auditor) && !bytes.Equal(all, file) {
			t.Error("another opening is taken for proof")
		}
	})
}

func FuzzParseChallenge(f *testing.F) {
	f.Add([]byte(`{"format":"overlap-challenge-1","session":"` + string(bytes.Repeat([]byte("A"), 43)) + `=","challenge":"` +
		string(bytes.Repeat([]byte("A"), 43)) + `=","samples":3,"drawn":"2026-11-25T00:00:00Z"}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseChallenge(b)
		if err != nil {
			return
		}
		again, err := ParseChallenge(c.Bytes())
		if err != nil || !bytes.Equal(again.Bytes(), c.Bytes()) {
			t.Error("a challenge doesn't read as it was written")
		}
		if n := len(c.positions(1024)); n == 0 || n > c.Samples {
			t.Errorf("%d positions", n)
		}
	})
}
