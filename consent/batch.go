package consent

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash"

	"github.com/overlap-psi/overlap/internal/sha256x16"
)

// batch is a few lines of a snapshot, all of leaves or all of pads. What is hashed
// for one is as long as for any other, so they are hashed together.
type batch struct {
	lines   []byte // one after the other, as a snapshot has them
	salts   macs   // what the lines' salts are computed from
	digests []byte // one for each line, the salt and then the leaf
}

// batchLen is the number of lines that are read or written at once.
const batchLen = 256

// newBatch returns a batch with room for n lines.
func newBatch(n int) batch {
	const saltInput = len(saltDST) + 32 + 32 + 1 + 32 // a pad's is shorter
	return batch{
		lines:   make([]byte, 0, n*lineLen),
		salts:   newMACs(n, saltInput),
		digests: make([]byte, n*sha256.Size),
	}
}

func (b *batch) len() int { return len(b.lines) / lineLen }

func (b *batch) line(i int) *line { return (*line)(b.lines[i*lineLen:]) }

// addLeaf adds the line of an admitted record in the snapshot of the given id and
// returns it, without its salt, which is
//
//	HMAC-SHA-256(record's secret, "AMPSI-V01-salt" ‖ id(32) ‖ account(32) ‖ I2OSP(class,1) ‖ h(32))
//
// so that erasing the record, and with it the secret, closes its leaf in every
// snapshot there ever was.
func (b *batch) addLeaf(id *[32]byte, rec *Record) *line {
	recordHash := rec.Hash()
	l := unsalted(rec.Class, &rec.Sum, &recordHash, &rec.Account)
	binary.BigEndian.PutUint64(l[leafLen:], rec.Fact)
	b.lines = append(b.lines, l[:]...)
	b.salts.add(&rec.Secret, []byte(saltDST), id[:], rec.Account[:], []byte{byte(rec.Class)}, rec.Sum[:])
	return b.line(b.len() - 1)
}

// addPad adds the line of pad leaf i without its salt, which is
//
//	HMAC-SHA-256(id, "AMPSI-V01-pad-salt" ‖ I2OSP(i,8))
func (b *batch) addPad(id *[32]byte, i uint64) {
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], i)
	b.lines = append(b.lines, make([]byte, lineLen)...)
	b.salts.add(id, []byte(padSaltDST), at[:])
}

// seal sets the salts that are missing, and the leaf at each line's end. It
// returns the leaves, one after the other, until the batch is used again.
func (b *batch) seal() (leaves []byte) {
	b.salts.sum(b.digests[:b.len()*sha256.Size])
	for i := range b.len() {
		copy(b.line(i).salt()[:], b.digests[i*sha256.Size:])
	}
	leaves = b.hash()
	for i := range b.len() {
		copy(b.line(i).kept()[:], leaves[i*sha256.Size:])
	}
	return leaves
}

// hash returns leaf_i or pad_i of PROTOCOL.md §10 of each line, one after the
// other, until the batch is used again.
func (b *batch) hash() (leaves []byte) {
	leaves = b.digests[:b.len()*sha256.Size]
	hashLines(leaves, b.lines)
	return leaves
}

// addFacts adds the numbers of the lines' facts to their hash.
func (b *batch) addFacts(sum hash.Hash) {
	for i := range b.len() {
		sum.Write(b.line(i)[leafLen:hashAt])
	}
}

// reset takes all lines out.
func (b *batch) reset() { b.lines = b.lines[:0] }

// hashLines writes leaf_i or pad_i of PROTOCOL.md §10 of each line to hashes. The
// lines are all of leaves or all of pads.
func hashLines(hashes, lines []byte) {
	switch {
	case len(lines) == 0:
	case (*line)(lines).isPad():
		sha256x16.Sum(hashes, []byte(padDST), lines, saltLen, lineLen)
	default:
		sha256x16.Sum(hashes, []byte(leafDST), lines, leafLen, lineLen)
	}
}

// macs are messages of one length, each under a key of its own, for HMAC-SHA-256
// (RFC 2104): what crypto/hmac computes, of many at once. As long as there is room
// for them, no copy of a key stays behind.
type macs struct {
	inner []byte // of each: key ⊕ ipad ‖ message
	outer []byte // of each: key ⊕ opad ‖ digest of inner
}

// newMACs returns macs with room for n messages of up to longest bytes.
func newMACs(n, longest int) macs {
	return macs{make([]byte, 0, n*(sha256.BlockSize+longest)), make([]byte, 0, n*outerLen)}
}

// ipad and opad of RFC 2104.
var (
	ipad = bytes.Repeat([]byte{0x36}, sha256.BlockSize)
	opad = bytes.Repeat([]byte{0x5c}, sha256.BlockSize)
)

const outerLen = sha256.BlockSize + sha256.Size

// add adds a message, which is the concatenation of its parts.
func (m *macs) add(key *[32]byte, parts ...[]byte) {
	m.inner = appendKey(m.inner, key, ipad)
	for _, part := range parts {
		m.inner = append(m.inner, part...)
	}
	m.outer = append(appendKey(m.outer, key, opad), make([]byte, sha256.Size)...)
}

// appendKey appends the key, filled up to a block with zeros, ⊕ pad.
func appendKey(b []byte, key *[32]byte, pad []byte) []byte {
	b = append(b, pad...)
	block := b[len(b)-len(pad):]
	subtle.XORBytes(block, block, key[:])
	return b
}

// sum writes the digests of the messages, one after the other, and forgets keys
// and messages.
func (m *macs) sum(digests []byte) {
	n := len(m.outer) / outerLen
	if n == 0 {
		return
	}
	innerLen := len(m.inner) / n
	sha256x16.Sum(digests, nil, m.inner, innerLen, innerLen)
	for i := range n {
		copy(m.outer[i*outerLen+sha256.BlockSize:], digests[i*sha256.Size:][:sha256.Size])
	}
	sha256x16.Sum(digests, nil, m.outer, outerLen, outerLen)
	m.forget()
}

// forget takes all messages out and overwrites them and their keys.
func (m *macs) forget() {
	clear(m.inner)
	clear(m.outer)
	m.inner, m.outer = m.inner[:0], m.outer[:0]
}
