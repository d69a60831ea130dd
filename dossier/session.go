package dossier

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/evidence"
	"github.com/overlap-psi/overlap/receipt"
)

// session checks what is in the file of one session.
func (v *verifier) session(s *Session) {
	label := func(what string) string { return "session " + text(s.SID)[:12] + ": " + what }
	people := v.people[s.SID]
	if !s.Signed {
		what := "nobody matched in a session that broke before it was signed"
		if s.Unkept {
			what = "nobody matched in a session that broke, and of which nothing was kept that could be opened"
		}
		v.check(label(what), func() error { return v.unsigned(s, people) })
		return
	}
	var r *receipt.Receipt
	v.check(label("both companies signed it, under that policy and snapshot"), func() (err error) {
		r, err = v.receipt(s)
		return err
	})
	if r == nil {
		return
	}
	if s.advertiserAsks() {
		v.check(label("the platform was asked: "+inItsWord(s)), func() error { return v.unopened(s, people) })
		return
	}
	if s.Matched {
		v.check(label("the matches are those that were fixed when they were found"), func() error { return v.matches(s, people) })
	}
	if len(people) > 0 {
		v.check(label("each affected identifier was asked about, on that record"), func() error { return v.proofs(s, r, people) })
		if !s.Matched {
			v.check(label("who of them matched"), func() error { return v.noneFound(s, r, people) })
		}
	}
	if s.Audited {
		v.check(label("positions that somebody drew were consented records, nobody, or erased in time"), func() error { return v.audit(s, r) })
	}
}

// unsigned checks a session without a receipt. Whoever it asked about was exposed,
// and that can't be proven; it learned nothing.
func (v *verifier) unsigned(s *Session, people map[uint64]*Person) error {
	for _, p := range people {
		if p.Matched {
			return errors.New("it has no receipt")
		}
	}
	if s.Outcome != "failed" {
		return errors.New("it is said to be complete, and has no receipt")
	}
	if _, fixed := v.matched[s.SID]; fixed {
		return errors.New("its matches are in the log, and it has no receipt")
	}
	return nil
}

// inItsWord says what of a session in which the advertiser asked is not proven.
func inItsWord(s *Session) string {
	if s.MatchesUnknown() {
		return "it learned of no match, and which records it was asked about is its word"
	}
	return "which records it was asked about, and which matched, is its word"
}

// unopened checks a session in which the platform was asked. It kept no positions
// that could be opened; whoever it says matched, matches were fixed in the log.
func (v *verifier) unopened(s *Session, people map[uint64]*Person) error {
	_, fixed := v.matched[s.SID]
	if s.Matched || s.Audited {
		return errors.New("it is said to have matches or openings in the file, which this mode does not have")
	}
	if fixed && s.MatchesUnknown() {
		return errors.New("matches are in the log, of a mode in which the platform learns none")
	}
	for _, p := range people {
		if p.Matched && !fixed {
			return errors.New("somebody is said to have matched, and no matches are in the log")
		}
	}
	return nil
}

func (v *verifier) receipt(s *Session) (*receipt.Receipt, error) {
	file, err := v.read(receiptName(s.SID))
	if err != nil {
		return nil, err
	}
	r, err := receipt.Parse(file)
	if err != nil {
		return nil, err
	}
	signed, err := r.Sealed()
	if err != nil {
		return nil, err
	}
	if r.Complete() {
		if _, err := r.Verify(); err != nil {
			return nil, err
		}
	} else if s.Outcome == "complete" {
		return nil, errors.New("it ended before both companies had signed")
	}
	snapshot := v.snapshots[s.SID]
	switch {
	case signed.SID != s.SID || signed.Platform != v.trust.Platform || signed.Advertiser != s.Advertiser || signed.Mode.String() != s.Mode:
		return nil, errors.New("the receipt is of another session")
	case audit.Hash(signed.PolicyHash) != s.Policy || audit.Hash(signed.ConsentRoot) != snapshot.ConsentRoot || signed.Records != s.Asked || signed.Listed != s.Listed:
		return nil, errors.New("the receipt has another policy, snapshot or size")
	case !v.logged(s.SID, r.RecordHash()):
		return nil, errors.New("the log has another record of the session")
	}
	return r, nil
}

func (v *verifier) logged(sid audit.Hash, record [32]byte) bool {
	for _, b := range v.ended {
		if b.SID == sid {
			return b.Record == record
		}
	}
	return false
}

// matches checks the matches' list against its commitment, and the people
// against the list.
func (v *verifier) matches(s *Session, people map[uint64]*Person) error {
	f, err := v.files.Open(matchesName(s.SID))
	if err != nil {
		return errors.New("they are not in the file")
	}
	defer f.Close()
	sum := sha256.New()
	in := bufio.NewReader(io.TeeReader(f, sum))
	if _, err := in.Discard(32); err != nil {
		return errDossier
	}
	found := 0
	var b [8]byte
	for last, n := uint64(0), 0; ; n++ {
		if _, err := io.ReadFull(in, b[:]); err == io.EOF {
			break
		} else if err != nil {
			return errDossier
		}
		at := binary.BigEndian.Uint64(b[:])
		if n > 0 && at <= last {
			return errDossier
		}
		last = at
		if p := people[at]; p != nil {
			if !p.Matched {
				return errors.New("somebody matched who is said not to have")
			}
			found++
		}
	}
	commitment, ok := v.matched[s.SID]
	if !ok || audit.Hash(sum.Sum(nil)) != commitment.Commitment {
		return errors.New("they are not those of the log")
	}
	for _, p := range people {
		if p.Matched {
			found--
		}
	}
	if found != 0 {
		return errors.New("somebody is said to have matched who did not")
	}
	return nil
}

// noneFound checks a session whose matches are not in the file: it broke before it
// found any.
func (v *verifier) noneFound(s *Session, r *receipt.Receipt, people map[uint64]*Person) error {
	_, fixed := v.matched[s.SID]
	for _, p := range people {
		fixed = fixed || p.Matched
	}
	if fixed || s.Outcome != "failed" || r.Complete() {
		return errors.New("the matches are not in the file")
	}
	return nil
}

// proofs checks that the position of each person is opened and shows what the
// list says.
func (v *verifier) proofs(s *Session, r *receipt.Receipt, people map[uint64]*Person) error {
	f, err := v.files.Open(proofsName(s.SID))
	if err != nil {
		return errors.New("the proofs are not in the file")
	}
	defer f.Close()
	shown, wrong := 0, 0
	report, err := evidence.CheckChosen(bufio.NewReader(f), &evidence.Case{Receipt: r, Policy: v.agreed[s.Policy]}, func(at uint64, rec *consent.Record) {
		if p := people[at]; p != nil && p.is(rec) {
			shown++
		} else {
			wrong++
		}
	})
	switch {
	case err != nil:
		return err
	case report.Err() != nil:
		return report.Err()
	case wrong > 0:
		return errors.New("an opened record is not the one in the list")
	case shown != len(people):
		return fmt.Errorf("%d of %d positions are opened", shown, len(people))
	}
	return nil
}

// is reports whether the record is what the list says of the person.
func (p *Person) is(rec *consent.Record) bool {
	return p.Handle == rec.Account && p.Kind == rec.Class.Kind().String() && p.Purpose == rec.Purpose.String() && p.Basis == rec.Basis.String() &&
		p.Notice == rec.Notice && p.Surface == rec.Surface && p.Reference == rec.Reference && p.Source == rec.Source && p.Collected.Equal(rec.CollectedAt)
}

func (v *verifier) audit(s *Session, r *receipt.Receipt) error {
	drawn, err := v.read(challengeName(s.SID))
	if err != nil {
		return err
	}
	challenge, err := evidence.ParseChallenge(drawn)
	if err != nil {
		return err
	}
	if !bytes.Equal(challenge.Session, s.SID[:]) {
		return errDossier
	}
	if own := v.trust.challenge(s.SID); own != nil && !bytes.Equal(own.Bytes(), challenge.Bytes()) {
		return errors.New("the positions were not drawn with the challenge that was given")
	}
	erased, err := v.erasedBefore(challenge)
	if err != nil {
		return err
	}
	f, err := v.files.Open(openingsName(s.SID))
	if err != nil {
		return errors.New("the openings are not in the file")
	}
	defer f.Close()
	report, err := evidence.Check(bufio.NewReader(f), &evidence.Case{Receipt: r, Policy: v.agreed[s.Policy], Challenge: challenge, Erasures: erased, Covered: challenge.Checkpoint != nil})
	if err != nil {
		return err
	}
	v.report.Audits = append(v.report.Audits, report)
	return report.Err()
}

// erasedBefore returns the erasures that may be an excuse: those that the challenge's
// checkpoint covers. Without one they are all, and the time decides.
func (v *verifier) erasedBefore(c *evidence.Challenge) (map[[32]byte]time.Time, error) {
	end := v.tree.Size()
	if c.Checkpoint != nil {
		seen, err := audit.ParseCheckpoint(c.Checkpoint, v.key, audit.Quorum{})
		if err == nil {
			err = v.tree.Extends(seen)
		}
		if err != nil {
			return nil, fmt.Errorf("the log and the challenge's checkpoint: %w", err)
		}
		end = seen.Size
	}
	erased := map[[32]byte]time.Time{}
	for leaf, e := range v.erased {
		if e.entry < end {
			erased[leaf] = e.logged
		}
	}
	return erased, nil
}
