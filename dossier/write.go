package dossier

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/evidence"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/receipt"
)

// Writer writes a dossier, one part after the other. The first error stays, and
// Finish returns it.
type Writer struct {
	zip  *zip.Writer
	sums bytes.Buffer
	err  error
}

// NewWriter starts a dossier.
func NewWriter(w io.Writer) *Writer { return &Writer{zip: zip.NewWriter(w)} }

// add writes one file of the archive and notes its hash.
func (w *Writer) add(name string, write func(io.Writer) error) {
	if w.err != nil {
		return
	}
	f, err := w.zip.Create(name)
	if err != nil {
		w.err = fmt.Errorf("dossier: %w", err)
		return
	}
	sum := sha256.New()
	if w.err = write(io.MultiWriter(f, sum)); w.err == nil {
		fmt.Fprintf(&w.sums, "%x  %s\n", sum.Sum(nil), name)
	}
}

func (w *Writer) addBytes(name string, content []byte) {
	w.add(name, func(f io.Writer) error {
		_, err := f.Write(content)
		return err
	})
}

// Log adds the public log as it is at the tree's checkpoint.
func (w *Writer) Log(t *audit.Tree) {
	if w.err != nil {
		return
	}
	if err := t.Copy(func(name string, content []byte) error {
		w.addBytes(logDir+name, content)
		return w.err
	}); w.err == nil {
		w.err = err
	}
}

// Policy adds a policy, and the file of its signatures if that is not nil.
func (w *Writer) Policy(p *policy.Policy, signed []byte) {
	name := policyName(p.Hash())
	w.addBytes(name, p.Bytes())
	if signed != nil {
		w.addBytes(name+policy.SignedSuffix, signed)
	}
}

// Receipt adds what both companies signed of a session.
func (w *Writer) Receipt(sid audit.Hash, r *receipt.Receipt) { w.addBytes(receiptName(sid), r.Bytes()) }

// Matches adds which positions of a session matched, in increasing order.
func (w *Writer) Matches(sid audit.Hash, seed [32]byte, positions iter.Seq2[uint64, error]) {
	w.add(matchesName(sid), func(f io.Writer) error {
		c := NewCommitment(seed)
		if _, err := f.Write(c.opening[:]); err != nil {
			return err
		}
		for at, err := range positions {
			if err == nil {
				_, err = f.Write(binary.BigEndian.AppendUint64(nil, at))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Proofs adds the openings of the positions of the affected of a session, which
// write writes (evidence.Session.WriteChosen).
func (w *Writer) Proofs(sid audit.Hash, write func(io.Writer) error) { w.add(proofsName(sid), write) }

// Audit adds a challenge that somebody drew, and its openings, which write writes
// (evidence.Session.WriteOpenings).
func (w *Writer) Audit(c *evidence.Challenge, write func(io.Writer) error) {
	sid := audit.Hash(c.Session)
	w.addBytes(challengeName(sid), c.Bytes())
	w.add(openingsName(sid), write)
}

// Affected adds the list that WriteAffected wrote.
func (w *Writer) Affected(list io.Reader) {
	w.add(affectedName, func(f io.Writer) error {
		_, err := io.Copy(f, list)
		return err
	})
}

// Finish adds the contents and their summary, and signs all of it. The caller
// closes what the dossier was written to.
func (w *Writer) Finish(c *Contents, signer note.Signer) error {
	c.Format = Format
	w.add(contentsName, func(f io.Writer) error {
		e := json.NewEncoder(f)
		e.SetIndent("", "  ")
		return e.Encode(c)
	})
	w.add(summaryName, func(f io.Writer) error { return writeSummary(f, c) })
	if w.err != nil {
		return w.err
	}
	signed, err := note.Sign(&note.Note{Text: sumsText(w.sums.Bytes())}, signer)
	if err != nil {
		return errors.New("dossier: signing failed")
	}
	w.addBytes(sumsName, w.sums.Bytes())
	w.addBytes(sigName, signed)
	return errors.Join(w.err, w.zip.Close())
}

// sumsText is what the platform signs. Its first line keeps it apart from
// everything else that an identity signs.
func sumsText(sums []byte) string {
	return fmt.Sprintf("overlap dossier\n%x\n", sha256.Sum256(sums))
}

// Commitment fixes which positions of a session matched without telling which, or
// how many: SHA-256 of 32 bytes that only the platform knows and the positions,
// 8 bytes each, in increasing order. The log has it (audit.Matched).
type Commitment struct {
	opening [32]byte
	sum     hash.Hash
}

// NewCommitment starts the commitment of the session of the given seed, from
// which its 32 secret bytes derive.
func NewCommitment(seed [32]byte) *Commitment {
	c := &Commitment{opening: sha256.Sum256(append([]byte("AMPSI-V01-matched"), seed[:]...)), sum: sha256.New()}
	c.sum.Write(c.opening[:])
	return c
}

// Add adds the next position.
func (c *Commitment) Add(position uint64) { c.sum.Write(binary.BigEndian.AppendUint64(nil, position)) }

// Sum returns the commitment.
func (c *Commitment) Sum() (sum [32]byte) {
	c.sum.Sum(sum[:0])
	return sum
}

// WriteAffected writes affected.csv. Its first line is the 32 random bytes given.
func WriteAffected(w io.Writer, random [32]byte, people iter.Seq2[Person, error]) error {
	if _, err := fmt.Fprintf(w, "%x\n", random); err != nil {
		return err
	}
	rows := csv.NewWriter(w)
	rows.Write(affectedColumns) // the writer keeps its first error
	for p, err := range people {
		if err != nil {
			return err
		}
		rows.Write(p.columns())
	}
	rows.Flush()
	return rows.Error()
}

// The grades of a person's line.
const (
	gradeExposed = "exposed"
	gradeMatched = "matched"
)

func (p *Person) columns() []string {
	grade := gradeExposed
	if p.Matched {
		grade = gradeMatched
	}
	return []string{p.Account, hex.EncodeToString(p.Handle[:]), text(p.SID), grade, p.Kind, p.Purpose, p.Basis, p.Notice, p.Surface, p.Reference, p.Source,
		p.Collected.UTC().Format(time.RFC3339Nano), strconv.FormatUint(p.Fact, 10), strconv.FormatUint(p.Position, 10)}
}

// readAffected reads what WriteAffected wrote.
func readAffected(r io.Reader) iter.Seq2[Person, error] {
	return func(yield func(Person, error) bool) {
		rows := csv.NewReader(r)
		rows.FieldsPerRecord = -1
		for n := 0; ; n++ {
			columns, err := rows.Read()
			if err == io.EOF {
				if n < 2 {
					yield(Person{}, errAffected)
				}
				return
			}
			if err == nil && n < 2 {
				if n == 0 && len(columns) != 1 || n == 1 && len(columns) != len(affectedColumns) {
					err = errAffected
				} else {
					continue
				}
			}
			var p Person
			if err == nil {
				p, err = parsePerson(columns)
			}
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

var errAffected = errors.New("dossier: the list of the affected cannot be read")

func parsePerson(c []string) (p Person, err error) {
	if len(c) != len(affectedColumns) {
		return p, errAffected
	}
	handle, err1 := hex.DecodeString(c[1])
	err2 := p.SID.UnmarshalText([]byte(c[2]))
	collected, err3 := time.Parse(time.RFC3339Nano, c[11])
	fact, err4 := strconv.ParseUint(c[12], 10, 64)
	position, err5 := strconv.ParseUint(c[13], 10, 64)
	if errors.Join(err1, err2, err3, err4, err5) != nil || len(handle) != 32 || c[3] != gradeExposed && c[3] != gradeMatched {
		return p, errAffected
	}
	p = Person{Account: c[0], Handle: [32]byte(handle), SID: p.SID, Matched: c[3] == gradeMatched, Kind: c[4], Purpose: c[5], Basis: c[6],
		Notice: c[7], Surface: c[8], Reference: c[9], Source: c[10], Collected: collected.UTC(), Fact: fact, Position: position}
	return p, nil
}
