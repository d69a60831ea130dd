package evidence

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/internal/merkle"
	overlapv1 "github.com/overlap-psi/overlap/proto/overlap/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/receipt"
)

// judge says of each opening what it shows, to the report.
type judge struct {
	asked    *receipt.Questions
	rule     consent.Rule
	erasures map[[32]byte]time.Time
	drawn    time.Time
	report   *Report
	seen     func(position uint64, rec *consent.Record) // of good records; may be nil

	// Openings of which all is good but the question, which is made again for
	// many at a time: eight cost little more than one.
	positions []uint64
	records   []*consent.Record // nil of a pad
	inputs    []psi.Input
	blinds    [][32]byte
	questions []psi.Element
}

const batch = 1024

func (r *Report) bad(at uint64, why Reason) { r.Bad = append(r.Bad, Finding{at, why}) }

// opening judges the opening of a question that was asked.
func (j *judge) opening(o *overlapv1.Opening, question psi.Element) {
	switch {
	case len(o.GetErased()) > 0:
		j.erased(o)
	case len(o.GetRecord()) > 0:
		j.record(o, question)
	default:
		j.pad(o, question)
	}
}

func (j *judge) erased(o *overlapv1.Opening) {
	if len(o.GetErased()) != 32 || !onlyPath(o) || len(o.GetSalt()) > 0 || len(o.GetBlind()) > 0 {
		j.report.bad(o.GetLeaf(), ReasonForm)
		return
	}
	leaf := [32]byte(o.GetErased())
	logged, ok := j.erasures[leaf]
	switch {
	case !j.holds(o, &leaf):
		j.report.bad(o.GetLeaf(), ReasonLeaf)
	case !ok || !logged.Before(j.drawn):
		j.report.bad(o.GetLeaf(), ReasonNotErased)
	default:
		j.report.Erased++
	}
}

func (j *judge) pad(o *overlapv1.Opening, question psi.Element) {
	if len(o.GetSalt()) != 32 || len(o.GetBlind()) != 32 || !onlyPath(o) {
		j.report.bad(o.GetLeaf(), ReasonForm)
		return
	}
	leaf := consent.PadHash((*[32]byte)(o.GetSalt()))
	if !j.holds(o, &leaf) {
		j.report.bad(o.GetLeaf(), ReasonLeaf)
		return
	}
	j.ask(o, nil, psi.Input{}, question)
}

// onlyPath reports whether nothing is set that only a record has.
func onlyPath(o *overlapv1.Opening) bool {
	return len(o.GetRecord()) == 0 && len(o.GetH()) == 0 && o.GetClass() == 0 && len(o.GetRecordHash()) == 0 && len(o.GetAccount()) == 0
}

func (j *judge) record(o *overlapv1.Opening, question psi.Element) {
	if len(o.GetSalt()) != 32 || len(o.GetBlind()) != 32 {
		j.report.bad(o.GetLeaf(), ReasonForm)
		return
	}
	rec, err := consent.ParseRecord(o.GetRecord())
	if err != nil || !says(o, rec) {
		j.report.bad(o.GetLeaf(), ReasonRecord)
		return
	}
	eligible, err := j.admit(rec)
	if err != nil {
		var why consent.Refusal
		errors.As(err, &why)
		j.report.bad(o.GetLeaf(), refused(why))
		return
	}
	hash := rec.Hash()
	leaf := consent.LeafHash((*[32]byte)(o.GetSalt()), rec.Class, &rec.Sum, &hash, &rec.Account)
	if !j.holds(o, &leaf) {
		j.report.bad(o.GetLeaf(), ReasonLeaf)
		return
	}
	j.ask(o, rec, eligible.Input(), question)
}

// The snapshot was cut before OPEN_Q was sent, and at most so long before that the
// advertiser still waited (PROTOCOL.md §8.1). OPEN_Q tells whole seconds.
const (
	cutBefore = 30 * time.Minute
	second    = time.Second
)

// admit goes through the one door, at the moment of the snapshot: after it no
// record may be dated, and then or before a record may have become too old.
func (j *judge) admit(rec *consent.Record) (consent.Eligible, error) {
	eligible, err := j.rule.Admit(rec, j.asked.Opened.Add(second))
	if err == consent.RefusedAge {
		return j.rule.Admit(rec, j.asked.Opened.Add(-cutBefore))
	}
	return eligible, err
}

// says reports whether the opening's other fields are the record's.
func says(o *overlapv1.Opening, rec *consent.Record) bool {
	hash := rec.Hash()
	return bytes.Equal(o.GetH(), rec.Sum[:]) && o.GetClass() == uint32(rec.Class) &&
		bytes.Equal(o.GetRecordHash(), hash[:]) && bytes.Equal(o.GetAccount(), rec.Account[:])
}

// holds reports whether the snapshot has the leaf in the opening's place.
func (j *judge) holds(o *overlapv1.Opening, leaf *[32]byte) bool {
	path := make([]tlog.Hash, len(o.GetPath()))
	for i, node := range o.GetPath() {
		if len(node) != 32 {
			return false
		}
		path[i] = tlog.Hash(node)
	}
	return merkle.CheckProof(path, j.asked.Size, j.asked.ConsentRoot, o.GetLeaf(), leafNode(leaf))
}

// ask has the question made again, sooner or later.
func (j *judge) ask(o *overlapv1.Opening, rec *consent.Record, in psi.Input, question psi.Element) {
	j.positions = append(j.positions, o.GetLeaf())
	j.records = append(j.records, rec)
	j.inputs = append(j.inputs, in)
	j.blinds = append(j.blinds, [32]byte(o.GetBlind()))
	j.questions = append(j.questions, question)
	if len(j.positions) == batch {
		j.flush()
	}
}

// flush makes the questions again and counts those that are what was asked.
func (j *judge) flush() {
	again := make([]psi.Element, len(j.inputs))
	psi.Reblind(again, j.inputs, j.blinds)
	for i, question := range j.questions {
		switch {
		case again[i] != question || again[i] == psi.Element{}:
			j.report.bad(j.positions[i], ReasonQuestion)
		case j.inputs[i].IsZero():
			j.report.Pads++
		default:
			j.report.Records++
			if j.seen != nil {
				j.seen(j.positions[i], j.records[i])
			}
		}
	}
	j.records = j.records[:0]
	j.positions, j.inputs, j.blinds, j.questions = j.positions[:0], j.inputs[:0], j.blinds[:0], j.questions[:0]
	slices.SortFunc(j.report.Bad, func(a, b Finding) int { return cmp.Compare(a.Position, b.Position) })
}
