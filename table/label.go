package table

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"path/filepath"

	"github.com/overlap-psi/overlap/psi"
)

// Labelled makes of a sealed table one whose entries carry labels (PROTOCOL.md
// §7.3). own has the outputs that t was made of and outputs has them whole, both
// by the same positions; label returns what the entry of a position carries, the
// lowest position where several have one token, and nothing is a label too: which
// entries have one does not show. Pads carry random bytes.
//
// o has the label's length. The table is a file as Seal's is: at path, or without
// a name if that is empty. t stays as it is.
func (t *Table) Labelled(ctx context.Context, o Options, path string, tableID *[32]byte, own *Queries, outputs *Outputs,
	label func(position uint64) ([]byte, error)) (*Table, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	if o.LabelLen == 0 || psi.CheckLabelLen(o.LabelLen) != nil || t.entryLen != o.TokenLen {
		return nil, errors.New("table: labels of another length, or on a table that has some")
	}
	l := &labeller{o: o, id: tableID, own: own.Lookup(), outputs: outputs, label: label}
	defer l.own.Close()
	return t.rewritten(ctx, o, path, l.add)
}

// rewritten makes a table of t's entries, each as entry appends it to dst.
func (t *Table) rewritten(ctx context.Context, o Options, path string, entry func(dst, token []byte) ([]byte, error)) (*Table, error) {
	kept, commit, err := fileFor(o, path)
	if err != nil {
		return nil, err
	}
	made := &Table{kept: kept, path: path, entryLen: o.entryLen()}
	hash := psi.NewTableHash(o.TokenLen, o.LabelLen)
	var out []byte
	for chunk, err := range t.Chunks(psi.TableChunk(made.entryLen)) {
		if err == nil {
			err = ctx.Err()
		}
		for out = out[:0]; err == nil && len(chunk) > 0; chunk = chunk[t.entryLen:] {
			out, err = entry(out, chunk[:t.entryLen])
		}
		if err == nil {
			err = hash.Write(out)
		}
		if err == nil {
			_, err = kept.Write(out)
		}
		if err != nil {
			kept.Close()
			return nil, fmt.Errorf("table: labels: %w", err)
		}
	}
	if err := commit(); err != nil {
		kept.Close()
		return nil, err
	}
	made.root, made.entries = hash.Root()
	return made, nil
}

// fileFor returns a file that commit gives its name, or one without.
func fileFor(o Options, path string) (kept *file, commit func() error, err error) {
	if path == "" {
		kept, err = newScratch(o.Dir)
		return kept, func() error { return nil }, err
	}
	kept, err = newPending(filepath.Dir(path))
	return kept, func() error { return kept.commit(path) }, err
}

// labeller appends entries with their labels.
type labeller struct {
	o       Options
	id      *[32]byte
	own     *Lookup
	outputs *Outputs
	label   func(position uint64) ([]byte, error)
}

func (l *labeller) add(dst, entry []byte) ([]byte, error) {
	var token psi.Token
	copy(token[:], entry)
	dst = append(dst, entry...)
	position, found, err := l.own.Find(token)
	if err != nil {
		return dst, err
	}
	if !found { // a pad
		sealed := make([]byte, psi.EntryLen(0, l.o.LabelLen))
		rand.Read(sealed)
		return append(dst, sealed...), nil
	}
	text, err := l.label(position)
	if err != nil {
		return dst, err
	}
	out, err := l.outputs.At(position)
	if err != nil {
		return dst, err
	}
	defer clear(out[:])
	return out.SealLabel(dst, l.id, l.o.TokenLen, l.o.LabelLen, text)
}

// Label is what the entry that a query matched carries.
type Label struct {
	Position uint64 // the query's
	Text     []byte // nil if Err
	Err      error  // nil, or psi.ErrLabel
}

// Labels returns the labels of the queries that a verified table has, in the order
// of its entries: one for each position. A label that can't be opened is an Err of
// its own and ends nothing, because the Holder must not learn that it was looked
// for. outputs are the queries', whole.
func (q *Queries) Labels(ctx context.Context, entries iter.Seq2[[]byte, error], tableID *[32]byte, outputs *Outputs) iter.Seq2[Label, error] {
	return func(yield func(Label, error) bool) {
		l := q.Lookup()
		defer l.Close()
		size := q.o.entryLen()
		for chunk, err := range entries {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil && (q.o.LabelLen == 0 || len(chunk)%size != 0) {
				err = errors.New("table: entries have no labels of this length")
			}
			if err != nil {
				yield(Label{}, err)
				return
			}
			for ; len(chunk) > 0; chunk = chunk[size:] {
				if !q.open(l, chunk[:size], tableID, outputs, yield) {
					return
				}
			}
		}
	}
}

// open yields the label of one entry for each query that has its token.
func (q *Queries) open(l *Lookup, entry []byte, tableID *[32]byte, outputs *Outputs, yield func(Label, error) bool) bool {
	var token psi.Token
	copy(token[:], entry[:q.o.TokenLen])
	var label Label
	opened := false
	goOn := true
	err := l.each(token, func(position uint64) bool {
		if !opened { // all have one output
			out, err := outputs.At(position)
			if err != nil {
				yield(Label{}, err)
				goOn = false
				return false
			}
			label.Text, label.Err = out.OpenLabel(tableID, q.o.TokenLen, entry[q.o.TokenLen:])
			clear(out[:])
			opened = true
		}
		label.Position = position
		goOn = yield(label, nil)
		return goOn
	})
	if err != nil {
		yield(Label{}, err)
		return false
	}
	return goOn
}
