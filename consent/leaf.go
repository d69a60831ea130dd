package consent

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"

	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/internal/input"
)

// Domain separation of PROTOCOL.md §10, and of the salts, which it leaves open.
const (
	leafDST    = "AMPSI-V01-consent"
	padDST     = "AMPSI-V01-consent-pad"
	saltDST    = "AMPSI-V01-salt"
	padSaltDST = "AMPSI-V01-pad-salt"
)

// leafLen is the length of what a leaf is the hash of: salt, h, class, record
// hash, account. lineLen is that of its line, with the number of its fact and the
// leaf.
const (
	saltLen = 32
	leafLen = saltLen + 32 + 1 + 32 + 32
	hashAt  = leafLen + 8
	lineLen = hashAt + 32
)

// line is what a snapshot keeps of a leaf: what the leaf is the hash of, which
// fact of the ledger it was made from, and the leaf, which is needed again.
//
//	salt(32) ‖ h(32) ‖ I2OSP(class,1) ‖ SHA-256(consent record)(32) ‖ account_handle(32) ‖ I2OSP(fact,8) ‖ leaf(32)
//
// Between a pad's salt and its leaf are zeros; no leaf is of class 0.
type line [lineLen]byte

func (l *line) salt() *[32]byte       { return (*[32]byte)(l[0:32]) }
func (l *line) sum() *[32]byte        { return (*[32]byte)(l[32:64]) }
func (l *line) class() byte           { return l[64] }
func (l *line) recordHash() *[32]byte { return (*[32]byte)(l[65:97]) }
func (l *line) account() *[32]byte    { return (*[32]byte)(l[97:129]) }
func (l *line) fact() uint64          { return binary.BigEndian.Uint64(l[leafLen:]) }
func (l *line) kept() *[32]byte       { return (*[32]byte)(l[hashAt:]) } // hash, once it was written

func (l *line) isPad() bool { return l.class() == 0 }

// hash returns leaf_i or pad_i of PROTOCOL.md §10.
func (l *line) hash() (hash [32]byte) {
	hashLines(hash[:], l[:])
	return hash
}

// compare orders leaves by (account handle, class, h).
func (l *line) compare(m *line) int {
	if c := bytes.Compare(l.account()[:], m.account()[:]); c != 0 {
		return c
	}
	if c := int(l.class()) - int(m.class()); c != 0 {
		return c
	}
	return bytes.Compare(l.sum()[:], m.sum()[:])
}

func unsalted(class identifier.Class, sum, recordHash *[32]byte, account *Handle) (l line) {
	*l.sum(), *l.recordHash(), *l.account() = *sum, *recordHash, *account
	l[64] = byte(class)
	return l
}

// Leaf is one line of a Snapshot: an eligible identifier of one account, or a
// pad. It prints as REDACTED.
type Leaf struct {
	index uint64
	line  line
}

// Index returns the leaf's position in the tree, from 0.
func (l Leaf) Index() uint64 { return l.index }

// IsPad reports whether the leaf stands for nobody.
func (l Leaf) IsPad() bool { return l.line.isPad() }

// Input returns x, or the zero Input of a pad.
func (l Leaf) Input() input.Input {
	if l.IsPad() {
		return input.Input{}
	}
	return input.New(l.line.class(), l.line.sum())
}

// Class returns the identifier's class, 0 of a pad.
func (l Leaf) Class() identifier.Class { return identifier.Class(l.line.class()) }

// Account returns the account that the identifier belongs to, zero of a pad.
func (l Leaf) Account() Handle { return *l.line.account() }

// Fact returns the number of the ledger's line that the leaf was made from, 0 of
// a pad.
func (l Leaf) Fact() uint64 { return l.line.fact() }

// Salt returns salt_i, on which the blind of the query made from this leaf
// depends (PROTOCOL.md §10). It is secret.
func (l Leaf) Salt() [32]byte { return *l.line.salt() }

// Hash returns leaf_i or pad_i of PROTOCOL.md §10, as the snapshot has it.
func (l Leaf) Hash() [32]byte { return *l.line.kept() }

// Format prints REDACTED whatever the verb.
func (Leaf) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue keeps the leaf out of structured logs.
func (Leaf) LogValue() slog.Value { return slog.StringValue(redacted) }
