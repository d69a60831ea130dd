package consent

import "github.com/overlap-psi/overlap/identifier"

// A platform keeps no snapshot, but each record's secret, and each snapshot's id.
// From those it makes the leaf again, long after, to show it to an auditor
// (PROTOCOL.md §10). The auditor computes the leaf from what it is shown; to get
// from a record that it was shown to an Input, it goes through Rule.Admit like
// everybody.

// OpenLeaf returns the salt and the hash of the record's leaf in the snapshot
// with this id. The record is the one that was admitted then, with its secret;
// whether it is, the hash says, compared with the leaf that the session keeps.
func OpenLeaf(rec *Record, snapshotID *[32]byte) (salt, leaf [32]byte) {
	l := newLine(snapshotID, rec)
	return *l.salt(), *l.kept()
}

// OpenPad returns the salt and the hash of the pad at position i in the snapshot
// with this id.
func OpenPad(snapshotID *[32]byte, i uint64) (salt, leaf [32]byte) {
	l := newPad(snapshotID, i)
	return *l.salt(), *l.kept()
}

// newLine returns the line of an admitted record in the snapshot of the given id.
func newLine(id *[32]byte, rec *Record) line {
	b := newBatch(1)
	b.addLeaf(id, rec)
	b.seal()
	return *b.line(0)
}

// newPad returns the line of pad leaf i in the snapshot of the given id.
func newPad(id *[32]byte, i uint64) line {
	b := newBatch(1)
	b.addPad(id, i)
	b.seal()
	return *b.line(0)
}

// LeafHash returns leaf_i of PROTOCOL.md §10 from its parts: sum is h of the
// identifier, recordHash the Hash of its record. class is not 0.
func LeafHash(salt *[32]byte, class identifier.Class, sum, recordHash *[32]byte, account *Handle) [32]byte {
	if class == 0 {
		panic("consent: no leaf is of class 0")
	}
	l := unsalted(class, sum, recordHash, account)
	*l.salt() = *salt
	return l.hash()
}

// PadHash returns pad_i of PROTOCOL.md §10.
func PadHash(salt *[32]byte) [32]byte {
	var l line
	*l.salt() = *salt
	return l.hash()
}
