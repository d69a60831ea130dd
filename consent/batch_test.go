package consent

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"testing"
)

// Of any number of messages of any length, each under its key; and another time,
// when the buffers hold what was there before.
func TestMACsAreHMAC(t *testing.T) {
	random := rand.NewChaCha8([32]byte{})
	m := newMACs(3, 50) // what there is no room for finds some
	for length := range 130 {
		for _, n := range []int{0, 1, 2, 5, 6, 16, 17, 40} {
			var want []byte
			for range n {
				var key [32]byte
				message := make([]byte, length)
				random.Read(key[:])
				random.Read(message)
				h := hmac.New(sha256.New, key[:])
				h.Write(message)
				want = h.Sum(want)
				m.add(&key, message[:length/3], message[length/3:])
			}
			got := make([]byte, n*sha256.Size)
			if m.sum(got); !bytes.Equal(got, want) {
				t.Fatalf("%d messages of %d bytes: they differ from crypto/hmac's", n, length)
			}
		}
	}
}

// Keys do not stay in memory for longer than they are needed.
func TestMACsForget(t *testing.T) {
	m := newMACs(40, len("message"))
	inner, outer := m.inner[:cap(m.inner)], m.outer[:cap(m.outer)]
	key := run(1)
	for range 40 {
		m.add(&key, []byte("message"))
	}
	m.sum(make([]byte, 40*sha256.Size))
	for _, b := range [][]byte{inner, outer} {
		if len(b) == 0 || bytes.Count(b, []byte{0}) != len(b) {
			t.Error("keys or messages are still there")
		}
	}
}

// The salts as addLeaf's and addPad's comments say, by crypto/hmac.
func TestSalts(t *testing.T) {
	id, rec := run(0x40), granted()
	m := hmac.New(sha256.New, rec.Secret[:])
	m.Write([]byte("AMPSI-V01-salt"))
	m.Write(id[:])
	m.Write(rec.Account[:])
	m.Write([]byte{byte(rec.Class)})
	m.Write(rec.Sum[:])
	leaf := newLine(&id, &rec)
	if !bytes.Equal(leaf.salt()[:], m.Sum(nil)) {
		t.Error("salt of a leaf differs")
	}
	m = hmac.New(sha256.New, id[:])
	m.Write([]byte("AMPSI-V01-pad-salt"))
	m.Write([]byte{0, 0, 0, 0, 0, 0, 3, 1})
	pad := newPad(&id, 0x301)
	if !bytes.Equal(pad.salt()[:], m.Sum(nil)) {
		t.Error("salt of a pad differs")
	}
}

func TestSaltDependsOnSnapshotAndRecord(t *testing.T) {
	id, rec := run(0x40), granted()
	seen := map[[32]byte]bool{}
	add := func(id [32]byte, rec Record) {
		leaf := newLine(&id, &rec)
		seen[*leaf.salt()] = true
	}
	add(id, rec)
	add(run(0x41), rec)
	for _, change := range []func(*Record){
		func(r *Record) { r.Secret[0] ^= 1 }, func(r *Record) { r.Account[0] ^= 1 },
		func(r *Record) { r.Class++ }, func(r *Record) { r.Sum[0] ^= 1 },
	} {
		other := rec
		change(&other)
		add(id, other)
	}
	if len(seen) != 6 {
		t.Errorf("%d salts of 6 are different", len(seen))
	}
}

// Wherever a batch is full, and wherever in it the pads begin, the snapshot is the
// one that is written a line at a time.
func TestBatchesMakeNoDifference(t *testing.T) {
	sizes := []int{0, 1, 5, 6, 15, 16, 17, 100, batchLen - 1, batchLen, batchLen + 1, 2*batchLen - 16, 2 * batchLen, 3*batchLen + 7}
	for _, n := range sizes {
		records := ledgerOf(n)
		file, _, _, size := writeAll(t, records)
		lines := make([]line, 0, size)
		for i := range records {
			lines = append(lines, newLine(&testID, &records[i]))
		}
		for i := uint64(n); i < size; i++ {
			lines = append(lines, newPad(&testID, i))
		}
		if !bytes.Equal(file, forge(lines, uint64(n))) {
			t.Errorf("%d records: another file", n)
		}
		open(t, file)
	}
}

// A line that differs is found in any batch, whatever stands around it.
func TestEveryLineIsRead(t *testing.T) {
	file, _, _, size := writeAll(t, ledgerOf(2*batchLen+5))
	for i := range size {
		for _, at := range []int{0, 40, 100, hashAt} { // salt, h, account, leaf
			at += int(lineOffset(i))
			file[at] ^= 1
			if _, err := ReadSnapshot(bytes.NewReader(file), int64(len(file))); !errors.Is(err, ErrSnapshot) {
				t.Fatalf("line %d, byte %d changed: %v", i, at, err)
			}
			file[at] ^= 1
		}
	}
}
