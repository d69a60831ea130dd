package client

import (
	"slices"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/table"
)

// What a platform has spoiled, or is no text, is its row's alone: the row matches
// without a label, and is counted.
func TestSpoiltLabels(t *testing.T) {
	const labelLen, n = 20, 6
	rows := map[uint64]string{}
	r := &run{c: &Client{c: Config{Dir: t.TempDir()}}, report: new(Report), labelLen: labelLen, tableID: [32]byte{7}}
	r.c.c.Matched = func(m Match) error { rows[m.Row] = m.Label; return nil }
	defer r.close(t.Context())
	noError := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	o := table.Options{Dir: t.TempDir(), TokenLen: session.TokenLen, LabelLen: labelLen}
	noError(r.register())
	var err error
	r.queries, err = table.NewQueries(o)
	noError(err)
	r.outputs, err = table.NewOutputs(o)
	noError(err)
	r.spool, err = table.NewSpool(o)
	noError(err)

	in, outs := make([]psi.Input, n), make([]psi.Output, n)
	rule := consent.Rule{Classes: []identifier.Class{identifier.EmailUID2}}
	for i := range in {
		rec := consent.Record{Class: identifier.EmailUID2, Sum: [32]byte{byte(i + 1)}, Purpose: consent.AdsMatching, Status: consent.Granted, Basis: consent.BasisConsent}
		e, err := rule.Admit(&rec, time.Now())
		noError(err)
		noError(r.list.Add(e, uint64(i+1)))
		in[i] = e.Input()
	}
	psi.NewKey().Evaluate(outs, in)
	noError(r.queries.Add(outs, 0))
	noError(r.outputs.Add(outs, 0))
	texts := []string{"segment", "", "tampered", "\xff no text", "of another table", "18 bytes are enough"[:18]}
	var entries [][]byte
	for i := range outs {
		id := r.tableID
		if i == 4 {
			id[0]++
		}
		entry, err := outs[i].SealLabel(slices.Clone(outs[i][:session.TokenLen]), &id, session.TokenLen, labelLen, []byte(texts[i]))
		noError(err)
		if i == 2 {
			entry[session.TokenLen] ^= 1
		}
		entries = append(entries, entry)
	}
	slices.SortFunc(entries, slices.Compare)
	noError(r.spool.Append(slices.Concat(entries...)))
	r.matches, err = r.queries.Match(t.Context(), r.spool.Chunks())
	noError(err)
	noError(r.tell(t.Context()))
	for i, want := range []string{texts[0], "", "", "", "", texts[5]} {
		if label, told := rows[uint64(i+1)]; !told || label != want {
			t.Errorf("row %d is told: %v, %q, want %q", i+1, told, label, want)
		}
	}
	if m := r.report.Matched; *m != (Matched{Email: n, Unreadable: 3}) {
		t.Errorf("%+v", m)
	}
}
