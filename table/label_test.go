package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/overlap-psi/overlap/psi"
)

// labelWorld is a Holder with a label on every third of its identifiers, and a
// Querier who asks about the even ones, one of them twice, and about strangers.
type labelWorld struct {
	o       Options
	id      [32]byte
	own     []psi.Output
	plain   *Table
	table   *Table
	asked   []psi.Output
	queries *Queries
	outputs *Outputs
}

func labelOf(i uint64) string {
	if i%3 == 0 {
		return fmt.Sprintf("label %d", i)
	}
	return ""
}

func newLabelWorld(t *testing.T, o Options, path string) *labelWorld {
	t.Helper()
	w := &labelWorld{o: o, id: [32]byte{1, 2, 3}, own: random(seeded(21), 1100)}
	plainOptions := o
	plainOptions.LabelLen = 0
	var builder *Builder
	w.plain, builder = inFull(t, plainOptions, w.own, "", &psi.Seed{9})
	builder.Close()
	behind := newQueries(t, plainOptions, w.own, 0)
	var err error
	w.table, err = w.plain.Labelled(ctx, o, path, &w.id, behind, newOutputs(t, plainOptions, w.own), func(i uint64) ([]byte, error) {
		return []byte(labelOf(i)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.table.Remove() })
	for i := 0; i < len(w.own); i += 2 {
		w.asked = append(w.asked, w.own[i])
	}
	w.asked = append(append(w.asked, w.own[6]), random(seeded(22), 50)...)
	w.queries, w.outputs = newQueries(t, o, w.asked, 0), newOutputs(t, o, w.asked)
	return w
}

func (w *labelWorld) chunks() []byte {
	var all []byte
	for chunk := range w.table.Chunks(100) {
		all = append(all, chunk...)
	}
	return all
}

// Every query that matched gets its entry's label, or the empty one; nobody else
// gets any; entries with labels, without and pads are of one length.
func TestLabels(t *testing.T) {
	for _, path := range []string{"", filepath.Join(t.TempDir(), "table")} {
		w := newLabelWorld(t, Options{TokenLen: 16, LabelLen: 32, Dir: t.TempDir()}, path)
		if w.table.Entries() != w.plain.Entries() || w.table.Root() == w.plain.Root() ||
			w.table.Root() != naiveRoot(w.chunks(), psi.EntryLen(16, 32)) {
			t.Error("a labelled table has another size, or not its own root")
		}
		matches, err := w.queries.Match(ctx, w.table.Chunks(64))
		if err != nil || matches.Count() != 551 {
			t.Errorf("%d matches: %v", matches.Count(), err)
		}
		got := map[uint64]string{}
		for label, err := range w.queries.Labels(ctx, w.table.Chunks(64), &w.id, w.outputs) {
			if err != nil || label.Err != nil {
				t.Fatal(err, label.Err)
			}
			got[label.Position] = string(label.Text)
		}
		if len(got) != 551 {
			t.Errorf("%d labels, want 551", len(got))
		}
		for position, text := range got {
			own := 2 * position
			if position == 550 {
				own = 6
			}
			if text != labelOf(own) {
				t.Errorf("query %d gets the label of another", position)
			}
		}
		if path == "" {
			continue
		}
		again, err := Open(path, w.o)
		if err != nil || again.Root() != w.table.Root() || again.Entries() != w.table.Entries() {
			t.Errorf("opened again: %v", err)
		}
		again.Close()
	}
}

// A label that was spoilt, or is of another table, is not opened, and the others
// are all the same.
func TestSpoiltLabels(t *testing.T) {
	w := newLabelWorld(t, Options{TokenLen: 16, LabelLen: 32, Dir: t.TempDir()}, "")
	entries, size := w.chunks(), psi.EntryLen(16, 32)
	spoilt := bytes.Clone(entries)
	for at := 16; at < len(spoilt); at += 2 * size { // every other entry
		spoilt[at] ^= 1
	}
	count := func(entries []byte, id *[32]byte) (opened, failed int) {
		for label, err := range w.queries.Labels(ctx, inChunks(entries, size, 64), id, w.outputs) {
			switch {
			case err != nil:
				t.Fatal(err)
			case errors.Is(label.Err, psi.ErrLabel) && label.Text == nil:
				failed++
			case label.Err == nil:
				opened++
			}
		}
		return opened, failed
	}
	if opened, failed := count(spoilt, &w.id); opened+failed != 551 || failed < 200 || opened < 200 {
		t.Errorf("%d open and %d fail of 551, half of them spoilt", opened, failed)
	}
	if opened, failed := count(entries, &[32]byte{}); opened != 0 || failed != 551 {
		t.Errorf("as another table: %d open, %d fail", opened, failed)
	}
	for range w.queries.Labels(ctx, inChunks(entries, size, 64), &w.id, w.outputs) {
		break // and nothing more is yielded
	}
}

func TestLabelsRefuse(t *testing.T) {
	w := newLabelWorld(t, Options{TokenLen: 16, LabelLen: 32, Dir: t.TempDir()}, "")
	plain := Options{TokenLen: 16, Dir: t.TempDir()}
	behind, outputs := newQueries(t, plain, w.own, 0), newOutputs(t, plain, w.own)
	broken := errors.New("no label")
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	none := func(uint64) ([]byte, error) { return nil, nil }
	for name, make := range map[string]func() (*Table, error){
		"no length": func() (*Table, error) { return w.plain.Labelled(ctx, plain, "", &w.id, behind, outputs, none) },
		"another length": func() (*Table, error) {
			o := plain
			o.LabelLen = 481
			return w.plain.Labelled(ctx, o, "", &w.id, behind, outputs, none)
		},
		"labels on labels": func() (*Table, error) { return w.table.Labelled(ctx, w.o, "", &w.id, behind, outputs, none) },
		"a label that fails": func() (*Table, error) {
			return w.plain.Labelled(ctx, w.o, "", &w.id, behind, outputs, func(uint64) ([]byte, error) { return nil, broken })
		},
		"a label too long": func() (*Table, error) {
			return w.plain.Labelled(ctx, w.o, "", &w.id, behind, outputs, func(uint64) ([]byte, error) { return bytes.Repeat([]byte{1}, 31), nil })
		},
		"cancelled": func() (*Table, error) { return w.plain.Labelled(cancelled, w.o, "", &w.id, behind, outputs, none) },
	} {
		if made, err := make(); err == nil || made != nil {
			t.Errorf("%s: a table", name)
		}
	}
	checkEmpty(t, plain.Dir)
	yields := func(seq func(func(Label, error) bool)) (errs []error) {
		for label, err := range seq {
			if err != nil && label.Text == nil {
				errs = append(errs, err)
			}
		}
		return errs
	}
	if errs := yields(behind.Labels(ctx, w.plain.Chunks(64), &w.id, outputs)); len(errs) != 1 {
		t.Errorf("labels of a table without: %v", errs)
	}
	if errs := yields(w.queries.Labels(cancelled, w.table.Chunks(64), &w.id, w.outputs)); len(errs) != 1 {
		t.Errorf("cancelled: %v", errs)
	}
	short := newOutputs(t, w.o, w.asked[:10]) // a store that lacks some
	if errs := yields(w.queries.Labels(ctx, w.table.Chunks(64), &w.id, short)); len(errs) != 1 {
		t.Errorf("outputs that are missing: %v", errs)
	}
}

// Of one list, labelled twice, nothing but the tokens is the same: a table_id is
// another key for each label.
func TestLabelsOfTwoTables(t *testing.T) {
	w := newLabelWorld(t, Options{TokenLen: 16, LabelLen: 32, Dir: t.TempDir()}, "")
	plain := Options{TokenLen: 16, Dir: t.TempDir()}
	other, err := w.plain.Labelled(ctx, w.o, "", &[32]byte{7}, newQueries(t, plain, w.own, 0), newOutputs(t, plain, w.own), func(i uint64) ([]byte, error) {
		return []byte(labelOf(i)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Remove()
	a, size := w.chunks(), psi.EntryLen(16, 32)
	own := w.table
	w.table = other
	b := w.chunks()
	w.table = own
	for i := 0; i < len(a); i += size {
		if !bytes.Equal(a[i:i+16], b[i:i+16]) || bytes.Equal(a[i+16:i+24], b[i+16:i+24]) {
			t.Fatal("another token, or the same label_ct")
		}
	}
	if slices.Equal(a, b) {
		t.Error("two tables are the same")
	}
}
