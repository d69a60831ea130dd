package evidence

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/internal/input"
	overlapv1 "github.com/overlap-psi/overlap/proto/overlap/v1"
	"github.com/overlap-psi/overlap/psi"
)

// secure is a number that was given for two-factor authentication.
func secure(fact uint64) *consent.Record {
	rec := recordOf(fact)
	rec.Purpose = consent.AccountSecurity2FA
	rec.Secret = [32]byte{9}
	return rec
}

func inputOf(rec *consent.Record) psi.Input { return input.New(byte(rec.Class), &rec.Sum) }

// commit puts a record in a place of the snapshot, whatever it says, and asks
// about it.
func (w *world) commit(at uint64, rec *consent.Record) {
	salt, leaf := consent.OpenLeaf(rec, &w.id)
	w.ledger[rec.Fact] = rec
	w.positions[at] = position{leaf, rec.Fact, psi.Query{Input: inputOf(rec), Salt: salt}}
}

// Each way of cheating at position 7 is found if position 7 is drawn, in what the
// platform's own program would open, and in whatever else the platform shows.
func TestCheatingPlatform(t *testing.T) {
	refusedPurpose := refused(consent.RefusedPurpose)
	honest := newWorld(t, 40, cheat{})
	for _, test := range []struct {
		name  string
		cheat cheat
		forge func(w *world, o *overlapv1.Opening)
		want  Reason
	}{
		{name: "a security identifier is asked about in place of the leaf's",
			cheat: cheat{questions: func(w *world) { w.positions[7].query.Input = inputOf(secure(99)) }}, want: ReasonQuestion},
		{name: "and shown as the record, with its leaf",
			cheat: cheat{questions: func(w *world) { w.positions[7].query.Input = inputOf(secure(99)) }},
			forge: func(w *world, o *overlapv1.Opening) { showRecord(o, secure(99)) }, want: refusedPurpose},
		{name: "and shown as a record that lies about its purpose",
			cheat: cheat{questions: func(w *world) { w.positions[7].query.Input = inputOf(secure(99)) }},
			forge: func(w *world, o *overlapv1.Opening) { showRecord(o, recordOf(99)) }, want: ReasonLeaf},
		{name: "a record for another purpose is in the snapshot",
			cheat: cheat{snapshot: func(w *world) { w.commit(7, secure(8)) }}, want: refusedPurpose},
		{name: "and its purpose is lied about",
			cheat: cheat{snapshot: func(w *world) { w.commit(7, secure(8)) }},
			forge: func(w *world, o *overlapv1.Opening) { showRecord(o, recordOf(8)) }, want: ReasonLeaf},
		{name: "a withdrawn record is in the snapshot",
			cheat: cheat{snapshot: func(w *world) {
				rec := recordOf(8)
				rec.Status = consent.Withdrawn
				w.commit(7, rec)
			}}, want: refused(consent.RefusedWithdrawn)},
		{name: "a record of after the snapshot is in it",
			cheat: cheat{snapshot: func(w *world) {
				rec := recordOf(8)
				rec.CollectedAt = started.Add(2 * time.Second)
				w.commit(7, rec)
			}}, want: refused(consent.RefusedFuture)},
		{name: "a record of no class is in the snapshot",
			cheat: cheat{snapshot: func(w *world) {
				rec := recordOf(8)
				rec.Class = 0
				w.commit(7, rec)
			}}, want: refused(consent.RefusedClass)},
		{name: "two leaves are swapped in the questions",
			cheat: cheat{questions: func(w *world) {
				w.positions[7].query, w.positions[8].query = w.positions[8].query, w.positions[7].query
			}},
			want: ReasonQuestion},
		{name: "and opened as each other",
			cheat: cheat{questions: func(w *world) {
				w.positions[7].query, w.positions[8].query = w.positions[8].query, w.positions[7].query
			}},
			forge: func(w *world, o *overlapv1.Opening) { openAs(w, o, 8) }, want: ReasonLeaf},
		{name: "one leaf is asked about in two positions",
			cheat: cheat{questions: func(w *world) { w.positions[7].query = w.positions[6].query }}, want: ReasonQuestion},
		{name: "and opened in both",
			cheat: cheat{questions: func(w *world) { w.positions[7].query = w.positions[6].query }},
			forge: func(w *world, o *overlapv1.Opening) { openAs(w, o, 6) }, want: ReasonLeaf},
		{name: "the blind is another than the leaf's",
			cheat: cheat{questions: func(w *world) { w.positions[7].query.Salt[0] ^= 1 }}, want: ReasonQuestion},
		{name: "the blind shown is another",
			forge: func(_ *world, o *overlapv1.Opening) { o.Blind[0] ^= 1 }, want: ReasonQuestion},
		{name: "the blind shown is no scalar",
			forge: func(_ *world, o *overlapv1.Opening) { o.Blind = bytes.Repeat([]byte{255}, 32) }, want: ReasonQuestion},
		{name: "the position is said to be erased",
			forge: func(w *world, o *overlapv1.Opening) {
				*o = overlapv1.Opening{Leaf: o.Leaf, Path: o.Path, Erased: w.positions[7].leaf[:]}
			}, want: ReasonNotErased},
		{name: "another leaf is said to be erased",
			forge: func(w *world, o *overlapv1.Opening) {
				*o = overlapv1.Opening{Leaf: o.Leaf, Path: o.Path, Erased: w.positions[5].leaf[:]}
			}, want: ReasonLeaf},
		{name: "a leaf is opened as a pad",
			forge: func(_ *world, o *overlapv1.Opening) {
				*o = overlapv1.Opening{Leaf: o.Leaf, Path: o.Path, Salt: o.Salt, Blind: o.Blind}
			}, want: ReasonLeaf},
		{name: "the opening has no salt", forge: func(_ *world, o *overlapv1.Opening) { o.Salt = nil }, want: ReasonForm},
		{name: "the blind is short", forge: func(_ *world, o *overlapv1.Opening) { o.Blind = o.Blind[1:] }, want: ReasonForm},
		{name: "a record has an erased leaf too", forge: func(_ *world, o *overlapv1.Opening) { o.Erased = o.H }, want: ReasonForm},
		{name: "the record is not one", forge: func(_ *world, o *overlapv1.Opening) { o.Record = o.Record[1:] }, want: ReasonRecord},
		{name: "h is another", forge: func(_ *world, o *overlapv1.Opening) { o.H[0] ^= 1 }, want: ReasonRecord},
		{name: "the class is another", forge: func(_ *world, o *overlapv1.Opening) { o.Class += 256 }, want: ReasonRecord},
		{name: "the record's hash is another", forge: func(_ *world, o *overlapv1.Opening) { o.RecordHash[0] ^= 1 }, want: ReasonRecord},
		{name: "the account is another", forge: func(_ *world, o *overlapv1.Opening) { o.Account[0] ^= 1 }, want: ReasonRecord},
		{name: "the path is another", forge: func(_ *world, o *overlapv1.Opening) { o.Path[3][0] ^= 1 }, want: ReasonLeaf},
		{name: "the path is too long", forge: func(_ *world, o *overlapv1.Opening) { o.Path = append(o.Path, o.Path[0]) }, want: ReasonLeaf},
		{name: "a node of the path is short", forge: func(_ *world, o *overlapv1.Opening) { o.Path[0] = o.Path[0][1:] }, want: ReasonLeaf},
		{name: "there is no path", forge: func(_ *world, o *overlapv1.Opening) { o.Path = nil }, want: ReasonLeaf},
	} {
		w := honest
		if test.cheat.snapshot != nil || test.cheat.questions != nil {
			w = newWorld(t, 40, test.cheat)
		}
		c := w.challengeAt(t, 300, 7)
		file := w.openings(t, c)
		if test.forge != nil {
			file = forgeOpening(t, file, 7, func(o *overlapv1.Opening) { test.forge(w, o) })
		}
		report, err := Check(bytes.NewReader(file), w.auditor(c))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if report.Err() == nil || !slices.Contains(report.Bad, Finding{7, test.want}) {
			t.Errorf("%s: bad %v, want %q", test.name, report.Bad, test.want)
		}
		for _, f := range report.Bad {
			if f.Position < 6 || f.Position > 8 {
				t.Errorf("%s: position %d is called bad", test.name, f.Position)
			}
		}
		if sum := report.Records + report.Pads + report.Erased + uint64(len(report.Bad)); sum != uint64(report.Drawn) {
			t.Errorf("%s: %d positions drawn, %d told of", test.name, report.Drawn, sum)
		}
	}
}

// openAs opens the position as if it were another one's leaf, with that one's
// salt and the blind that was used.
func openAs(w *world, o *overlapv1.Opening, other uint64) {
	salt := w.positions[other].query.Salt
	r := psi.BlindScalar(&w.seed, &salt, o.GetLeaf())
	o.Salt, o.Blind = salt[:], r[:]
	showRecord(o, w.ledger[other+1])
}

// A pad that hides an identifier is found, opened as what it is or as what it
// hides.
func TestPadThatHidesAnIdentifier(t *testing.T) {
	const at = 1000
	w := newWorld(t, 40, cheat{questions: func(w *world) { w.positions[at].query.Input = inputOf(secure(99)) }})
	c := w.challengeAt(t, 300, at)
	for _, test := range []struct {
		want   Reason
		change func(o *overlapv1.Opening)
	}{
		{ReasonQuestion, func(*overlapv1.Opening) {}},
		{ReasonLeaf, func(o *overlapv1.Opening) { showRecord(o, recordOf(99)) }},
		{refused(consent.RefusedPurpose), func(o *overlapv1.Opening) { showRecord(o, secure(99)) }},
		{ReasonNotErased, func(o *overlapv1.Opening) {
			*o = overlapv1.Opening{Leaf: at, Path: o.Path, Erased: w.positions[at].leaf[:]}
		}},
		{ReasonForm, func(o *overlapv1.Opening) { o.Class = 1 }},
		{ReasonForm, func(o *overlapv1.Opening) { o.H = make([]byte, 32) }},
		{ReasonForm, func(o *overlapv1.Opening) { o.Blind = nil }},
		{ReasonLeaf, func(o *overlapv1.Opening) { o.Salt[0] ^= 1 }},
	} {
		report, err := Check(bytes.NewReader(forgeOpening(t, w.openings(t, c), at, test.change)), w.auditor(c))
		must(t, err)
		if !slices.Equal(report.Bad, []Finding{{at, test.want}}) {
			t.Errorf("bad %v, want %q", report.Bad, test.want)
		}
	}
}

// What another session signed, sent or was asked is worth nothing here.
func TestSplicedSessions(t *testing.T) {
	w, other := newWorld(t, 40, cheat{}), newWorld(t, 41, cheat{})
	c := w.challenge(50, 1)
	file, foreign := w.openings(t, c), other.openings(t, other.challenge(50, 1))
	header := func(file []byte) (h *overlapv1.Header) {
		forge(t, file, func(p *overlapv1.Piece) *overlapv1.Piece {
			if p.GetHeader() != nil {
				h = p.GetHeader()
			}
			return p
		})
		return h
	}
	theirs := header(foreign)
	var body []byte
	forge(t, foreign, func(p *overlapv1.Piece) *overlapv1.Piece {
		if p.GetChunk() != nil {
			body = p.GetChunk().GetBody()
		}
		return p
	})
	inHeader := func(change func(h *overlapv1.Header)) []byte {
		return forge(t, file, func(p *overlapv1.Piece) *overlapv1.Piece {
			if h := p.GetHeader(); h != nil {
				change(h)
			}
			return p
		})
	}
	inChunk := func(change func(c *overlapv1.Chunk)) []byte {
		return forge(t, file, func(p *overlapv1.Piece) *overlapv1.Piece {
			if c := p.GetChunk(); c != nil {
				change(c)
			}
			return p
		})
	}
	without := func(what func(p *overlapv1.Piece) bool) []byte {
		return forge(t, file, func(p *overlapv1.Piece) *overlapv1.Piece {
			if what(p) {
				return nil
			}
			return p
		})
	}
	var again []byte
	forge(t, file, func(p *overlapv1.Piece) *overlapv1.Piece {
		var b bytes.Buffer
		must(t, writePiece(&b, p))
		again = b.Bytes() // the last opening
		return p
	})
	for _, test := range []struct {
		name string
		file []byte
		want error
	}{
		{"all of it", foreign, errReceipts},
		{"receipt", inHeader(func(h *overlapv1.Header) { h.Receipt = theirs.Receipt }), errReceipts},
		{"digests", inHeader(func(h *overlapv1.Header) { h.Digests = theirs.Digests }), errTranscript},
		{"digest of BLINDED", inHeader(func(h *overlapv1.Header) { copy(h.Digests[:66], theirs.Digests) }), errTranscript},
		{"one digest less", inHeader(func(h *overlapv1.Header) { h.Digests = h.Digests[66:] }), errTranscript},
		{"digests in another order", inHeader(func(h *overlapv1.Header) { h.Digests = append(h.Digests[66:], h.Digests[:66]...) }), errTranscript},
		{"chunk", inChunk(func(c *overlapv1.Chunk) { c.Body = body }), errChunk},
		{"short chunk", inChunk(func(c *overlapv1.Chunk) { c.Body = c.Body[32:] }), errChunk},
		{"chunk that isn't there", inChunk(func(c *overlapv1.Chunk) { c.Seq = 1 }), errOrder},
		{"version", inHeader(func(h *overlapv1.Header) { h.Version = 2 }), errOpenings},
		{"no header", without(func(p *overlapv1.Piece) bool { return p.GetHeader() != nil }), errOpenings},
		{"no chunk", without(func(p *overlapv1.Piece) bool { return p.GetChunk() != nil }), errOrder},
		{"two headers", append(slices.Clone(file[:0]), append(slices.Clone(file), file...)...), errOrder},
		{"an opening twice", append(slices.Clone(file), again...), errOrder},
		{"nothing", nil, errOpenings},
		{"half", file[:len(file)-1], errOpenings},
	} {
		if _, err := Check(bytes.NewReader(test.file), w.auditor(c)); err != test.want {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	auditor := w.auditor(c)
	auditor.Receipt = other.receipt
	if _, err := Check(bytes.NewReader(file), auditor); err == nil {
		t.Error("another session's receipt is taken for this one's")
	}
	auditor = w.auditor(c)
	auditor.Policy = otherPolicy(t, w)
	if _, err := Check(bytes.NewReader(file), auditor); err != errPolicy {
		t.Errorf("another policy: %v", err)
	}
	early := *c
	early.Drawn = started
	auditor = w.auditor(&early)
	if _, err := Check(bytes.NewReader(file), auditor); err != nil {
		t.Errorf("a challenge drawn a minute before SEAL: %v", err)
	}
	early.Drawn = started.Add(-time.Second)
	if _, err := Check(bytes.NewReader(file), auditor); err == nil {
		t.Error("a challenge drawn before SEAL is accepted")
	}
	broken := *w.receipt
	broken.ReceiptHSig = bytes.Clone(broken.ReceiptHSig)
	broken.ReceiptHSig[0] ^= 1
	auditor = w.auditor(c)
	auditor.Receipt = &broken
	if _, err := Check(bytes.NewReader(file), auditor); err == nil {
		t.Error("a receipt that doesn't verify is accepted")
	}
}

// A platform that leaves out what it can't open is caught doing so, and so is one
// that opens what wasn't drawn.
func TestOtherPositions(t *testing.T) {
	w := newWorld(t, 40, cheat{})
	c := w.challenge(50, 1)
	drawn := c.positions(uint64(len(w.positions)))
	file := w.openings(t, c)
	for _, at := range []uint64{drawn[0], drawn[len(drawn)/2], drawn[len(drawn)-1]} {
		report, err := Check(bytes.NewReader(forge(t, file, func(p *overlapv1.Piece) *overlapv1.Piece {
			if o := p.GetOpening(); o != nil && o.GetLeaf() == at {
				return nil
			}
			return p
		})), w.auditor(c))
		must(t, err)
		if !slices.Equal(report.Bad, []Finding{{at, ReasonMissing}}) {
			t.Errorf("position %d left out: bad %v", at, report.Bad)
		}
	}
	other := w.openings(t, w.challenge(50, 2))
	if _, err := Check(bytes.NewReader(other), w.auditor(c)); err != errOrder {
		t.Errorf("the positions of another challenge: %v", err)
	}
	// A position that wasn't drawn, well opened, in the place of one that was.
	instead := slices.IndexFunc(drawn, func(at uint64) bool { return at > 0 && !slices.Contains(drawn, at-1) })
	more := w.openings(t, w.challengeAt(t, 20_000, drawn...))
	if _, err := Check(bytes.NewReader(forge(t, more, func(p *overlapv1.Piece) *overlapv1.Piece {
		o := p.GetOpening()
		if o == nil || o.GetLeaf() == drawn[instead]-1 || o.GetLeaf() != drawn[instead] && slices.Contains(drawn, o.GetLeaf()) {
			return p
		}
		return nil
	})), w.auditor(c)); err != errOrder {
		t.Errorf("a position that wasn't drawn: %v", err)
	}
	report, err := Check(bytes.NewReader(forge(t, file, func(p *overlapv1.Piece) *overlapv1.Piece {
		if p.GetHeader() == nil {
			return nil
		}
		return p
	})), w.auditor(c))
	must(t, err)
	if len(report.Bad) != report.Drawn {
		t.Errorf("nothing is opened, and %d of %d positions are bad", len(report.Bad), report.Drawn)
	}
}

// The probability that the report states is how often audits find a platform of
// which one position in a hundred is bad: within 4 standard deviations over 200
// audits.
func TestDetectionIsAsStated(t *testing.T) {
	const bad, samples, audits = 20, 100, 200
	w := newWorld(t, 2048, cheat{questions: func(w *world) {
		for i := range bad {
			w.positions[i*101].query.Input = inputOf(secure(uint64(5000 + i)))
		}
	}})
	found, p := 0, 0.0
	for n := range uint64(audits) {
		report := w.audit(t, w.challenge(samples, n))
		p = report.Detects(bad / 2048.0)
		if report.Err() != nil {
			found++
		}
		for _, f := range report.Bad {
			if f.Position%101 != 0 || f.Position >= bad*101 || f.Reason != ReasonQuestion {
				t.Fatalf("a good position is called bad: %v", f)
			}
		}
	}
	if want, sd := p*audits, math.Sqrt(audits*p*(1-p)); math.Abs(float64(found)-want) > 4*sd {
		t.Errorf("%d of %d audits found it, want %.0f ± %.0f", found, audits, want, 4*sd)
	}
	t.Logf("%d of %d audits of %d samples found %d bad of 2048; stated %.4f", found, audits, samples, bad, p)
}
