package consent

import (
	"crypto/sha256"
	"testing"

	"github.com/overlap-psi/overlap/identifier"
)

// PROTOCOL.md §16, "leaf" and "pad leaf", as an auditor computes them.
func TestLeafHashKnownAnswers(t *testing.T) {
	salt, sum, record := run(0x20), sha256.Sum256([]byte("alice@example.com")), sha256.Sum256([]byte("kat consent record"))
	var account Handle
	for i := range account {
		account[i] = 0xaa
	}
	leaf := LeafHash(&salt, identifier.EmailUID2, &sum, &record, &account)
	if got, want := hexOf(leaf[:]), "8473998b96bff575d59b537cbafccf741acf0f9ed4fb4990c339724bd3ac9c85"; got != want {
		t.Errorf("leaf %s, want %s", got, want)
	}
	pad := PadHash(&salt)
	if got, want := hexOf(pad[:]), "fa111eb9aebaa176f68b0e1d8885a5f2ace61bd11de461467d52b1f0978c917c"; got != want {
		t.Errorf("pad leaf %s, want %s", got, want)
	}
}

// Every leaf of a snapshot can be made again from the record and the snapshot's
// id, and every pad from the id.
func TestLeavesOpen(t *testing.T) {
	records := ledgerOf(20)
	file, _, leaves, size := writeAll(t, records)
	s := open(t, file)
	if leaves != 20 || size != 32 {
		t.Fatalf("%d leaves of %d", leaves, size)
	}
	for i := range size {
		leaf, err := s.At(i)
		if err != nil {
			t.Fatal(err)
		}
		salt, hash := OpenPad(&s.id, i)
		again := PadHash(&salt)
		if i < leaves {
			rec := &records[i]
			recordHash := rec.Hash()
			salt, hash = OpenLeaf(rec, &s.id)
			again = LeafHash(&salt, rec.Class, &rec.Sum, &recordHash, &rec.Account)
		}
		if salt != leaf.Salt() || hash != leaf.Hash() || again != hash {
			t.Errorf("leaf %d doesn't open", i)
		}
	}
}

// Another record, another snapshot, or a record without its secret is another leaf.
func TestOpenLeafIsOfOneRecord(t *testing.T) {
	id, other := run(1), run(2)
	rec := granted()
	salt, leaf := OpenLeaf(&rec, &id)
	for name, changed := range map[string]func(*Record){
		"secret": func(r *Record) { r.Secret = [32]byte{} }, "purpose": func(r *Record) { r.Purpose = AccountSecurity2FA },
		"account": func(r *Record) { r.Account[0] ^= 1 }, "sum": func(r *Record) { r.Sum[0] ^= 1 },
		"notice": func(r *Record) { r.Notice += "." },
	} {
		r := rec
		changed(&r)
		if _, hash := OpenLeaf(&r, &id); hash == leaf {
			t.Errorf("a record with another %s opens the same leaf", name)
		}
	}
	if s, hash := OpenLeaf(&rec, &other); s == salt || hash == leaf {
		t.Error("two snapshots have one leaf")
	}
	r := rec
	r.Fact++
	if _, hash := OpenLeaf(&r, &id); hash != leaf {
		t.Error("the number of the fact is in the leaf")
	}
}

func TestLeafHashOfNoClassPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a leaf of class 0 would be taken for a pad")
		}
	}()
	var zero [32]byte
	LeafHash(&zero, 0, &zero, &zero, new(Handle))
}
