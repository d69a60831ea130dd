package psi

import (
	"bytes"
	"crypto/sha512"
	"errors"
	"testing"
)

// TestLabelAnswers: label_ct is that of an independent implementation, and opens.
func TestLabelAnswers(t *testing.T) {
	kat := load[claimAnswers](t, "testdata/claims.json")
	id, out := [32]byte(kat.TableID), Output(kat.Output)
	for i, l := range kat.Labels {
		sealed, err := out.SealLabel(nil, &id, 16, l.LabelLen, l.Label)
		must(t, err)
		if !bytes.Equal(sealed, l.LabelCT) || len(sealed) != EntryLen(0, l.LabelLen) {
			t.Errorf("label %d is sealed otherwise", i)
		}
		label, err := out.OpenLabel(&id, 16, l.LabelCT)
		if err != nil || !bytes.Equal(label, l.Label) {
			t.Errorf("label %d opens to %d bytes: %v", i, len(label), err)
		}
	}
}

// TestLabelsOfOthers: a label opens with its own output, table and token only,
// and no failure has a code that could be sent.
func TestLabelsOfOthers(t *testing.T) {
	out, id := Output(sha512.Sum512([]byte("an output"))), ascending(1)
	sealed, err := out.SealLabel(nil, &id, 16, 32, []byte("gold"))
	must(t, err)
	other, otherID := Output(sha512.Sum512([]byte("another"))), ascending(2)
	sameTail := out
	sameTail[0] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"another output":        func() ([]byte, error) { return other.OpenLabel(&id, 16, sealed) },
		"another table":         func() ([]byte, error) { return out.OpenLabel(&otherID, 16, sealed) },
		"another token":         func() ([]byte, error) { return sameTail.OpenLabel(&id, 16, sealed) },
		"another token length":  func() ([]byte, error) { return out.OpenLabel(&id, 15, sealed) },
		"a byte short":          func() ([]byte, error) { return out.OpenLabel(&id, 16, sealed[1:]) },
		"nothing":               func() ([]byte, error) { return out.OpenLabel(&id, 16, nil) },
		"a changed bit":         func() ([]byte, error) { b := bytes.Clone(sealed); b[9] ^= 1; return out.OpenLabel(&id, 16, b) },
		"a label too long":      func() ([]byte, error) { return out.OpenLabel(&id, 16, out.seal(&id, []byte{0, 3, 'a', 'b'})) },
		"padding of other than": func() ([]byte, error) { return out.OpenLabel(&id, 16, out.seal(&id, []byte{0, 1, 'a', 'b'})) },
		"no length":             func() ([]byte, error) { return out.OpenLabel(&id, 16, out.seal(&id, []byte{0})) },
	} {
		label, err := open()
		var code AbortCode
		if !errors.Is(err, ErrLabel) || errors.As(err, &code) || label != nil {
			t.Errorf("%s: %d bytes, %v", name, len(label), err)
		}
	}
}

// seal seals a plaintext that SealLabel would not make.
func (o *Output) seal(id *[32]byte, plain []byte) []byte {
	aead, nonce := o.labelKey(id)
	return aead.Seal(nil, nonce, plain, o.labelContext(id, 16))
}

func TestLabelLengths(t *testing.T) {
	out, id := Output(sha512.Sum512([]byte("an output"))), ascending(1)
	for _, c := range []struct {
		labelLen, label int
		ok              bool
	}{
		{2, 0, true}, {2, 1, false}, {480, 478, true}, {480, 479, false}, {1, 0, false}, {0, 0, false}, {481, 4, false}, {-1, 0, false},
	} {
		sealed, err := out.SealLabel([]byte("before"), &id, 16, c.labelLen, make([]byte, c.label))
		if (err == nil) != c.ok || c.ok && len(sealed) != 6+c.labelLen+16 {
			t.Errorf("label of %d in %d: %v", c.label, c.labelLen, err)
		}
	}
	for labelLen, ok := range map[int]bool{0: true, 2: true, 480: true, 1: false, 481: false, -1: false} {
		if (CheckLabelLen(labelLen) == nil) != ok {
			t.Errorf("label length %d: want %v", labelLen, ok)
		}
	}
}

// TestTableWithLabels: a session whose entries have labels, and one that lacks
// them.
func TestTableWithLabels(t *testing.T) {
	c := newClaimDeal(t)
	id := ascending(3)
	c.LabelLen = 8
	var table []byte
	for token := range bytesOf(c.table, 16) {
		out := Output(append(bytes.Clone(token), make([]byte, 48)...))
		for i := range c.matched {
			if bytes.Equal(c.matched[i][:16], token) {
				out = c.matched[i]
			}
		}
		var err error
		table, err = out.SealLabel(append(table, token...), &id, 16, 8, []byte("gold"))
		must(t, err)
	}
	h := NewTableHash(16, 8)
	must(t, h.Write(table))
	c.Root, _ = h.Root()
	at := func() (*Querier, *Holder) {
		q, err := NewQuerier(c.Params, c.seed)
		must(t, err)
		h, err := NewHolder(c.Params, c.key)
		must(t, err)
		q.state, h.state = sealed, sealed
		return q, h
	}
	q, holder := at()
	f, err := holder.WriteTable(table)
	must(t, err)
	entries, err := q.ReadTable(f)
	must(t, err)
	must(t, q.Verified())
	found := 0
	for entry := range bytesOf(entries, EntryLen(16, 8)) {
		for i := range c.matched {
			if label, err := c.matched[i].OpenLabel(&id, 16, entry[16:]); err == nil && string(label) == "gold" {
				found++
			}
		}
	}
	if found != len(c.matched) {
		t.Errorf("%d labels open, want %d", found, len(c.matched))
	}
	q, _ = at()
	_, err = q.ReadTable(Frame{Type: FrameTable, Body: c.table})
	wantAbort(t, "a table without labels", err, AbortMalformed)
	q, _ = at()
	f.Body = bytes.Clone(table)
	f.Body[20] ^= 1
	_, err = q.ReadTable(f)
	wantAbort(t, "a label that was changed", err, AbortTable)
}

// bytesOf returns n bytes of b at a time.
func bytesOf(b []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for ; len(b) > 0 && yield(b[:n]); b = b[n:] {
		}
	}
}
